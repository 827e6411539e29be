//! The host's side of the port: one job, and the frames that answer it.

mod contents;

use std::io;

use self::contents::Contents;
use super::error::Error;
use super::port::Port;
use super::wire::{self, Chain, CommandResult, Frame, Kind, Written};
use super::{Boot, Failure, ReadError, Walked, Writer};
use crate::case::escape::escape;

/// The most that a tree's listing may have, in bytes.
const LISTING_BYTES_MAX: usize = 1 << 30;

/// The most read errors that are kept; the guest may send more.
const READ_ERRORS_MAX: usize = 10_000;

/// Why a conversation did not end with its sentinel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The guest is gone.
    Ended,
    /// The deadline came; this is what it was doing.
    TimedOut(String),
    /// A frame that our init does not send.
    Forged(String),
}

/// Waits for the guest to ask for its job.
pub(super) fn wait_ready(port: &mut Port<'_>) -> Result<(), Error> {
    let frame = wire::read_frame(port).map_err(Error::io("wait for the guest's init"))?;
    if frame.kind == Kind::Ready && frame.payload == wire::VERSION.to_le_bytes() {
        Ok(())
    } else {
        Err(Error::guest(format!(
            "its init begins with {:?}",
            frame.kind
        )))
    }
}

/// Hands the job to a waiting guest. Until this has succeeded, the image has not been touched.
pub(super) fn hand_over(port: &mut Port<'_>, job: &wire::Job) -> Result<Chain, Error> {
    let operation = "hand the job to the guest";
    wire::write_frame(port, Kind::Job, &job.encode()).map_err(Error::io(operation))?;
    let frame = wire::read_frame(port).map_err(Error::io(operation))?;
    if frame.kind != Kind::Accepted || !frame.payload.is_empty() {
        return Err(Error::guest(format!(
            "its init answers the job with {:?}",
            frame.kind
        )));
    }
    let mut chain = Chain::new(&job.nonce);
    chain.add(frame.kind, &frame.payload);
    Ok(chain)
}

/// Collects the answer to a job. What was collected is kept when the conversation breaks.
pub(super) fn collect(
    port: &mut Port<'_>,
    job: &wire::Job,
    chain: Chain,
) -> (Boot, Option<Broken>) {
    let mut answer = Answer {
        chain,
        boot: Boot::default(),
        entries: Vec::new(),
        hardlinks: Vec::new(),
        xattrs: Vec::new(),
        contents: Contents::default(),
        walked: 0,
    };
    let broken = answer.collect(port, job).err();
    (answer.boot, broken)
}

struct Answer {
    chain: Chain,
    boot: Boot,
    entries: Vec<u8>,
    hardlinks: Vec<u8>,
    xattrs: Vec<u8>,
    contents: Contents,
    /// The trees whose walk is over, one way or the other.
    walked: usize,
}

impl Answer {
    fn collect(&mut self, port: &mut Port<'_>, job: &wire::Job) -> Result<(), Broken> {
        loop {
            let frame = wire::read_frame(port).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Broken::TimedOut(self.doing(job)),
                io::ErrorKind::InvalidData => Broken::Forged(error.to_string()),
                _ => Broken::Ended,
            })?;
            if frame.kind == Kind::Sentinel {
                return self.end(&frame.payload, job);
            }
            match frame.kind {
                Kind::SmallContents | Kind::Piece => {
                    self.chain.add_content(frame.kind, frame.payload.len());
                }
                _ => self.chain.add(frame.kind, &frame.payload),
            }
            self.take(frame, job)
                .map_err(|error| Broken::Forged(error.to_string()))?;
        }
    }

    fn take(&mut self, frame: Frame, job: &wire::Job) -> io::Result<()> {
        let walking = self.walked < job.walks() && self.boot.failure.is_none();
        match frame.kind {
            Kind::SmallContents if walking => self.contents.add_small(&frame.payload)?,
            Kind::Piece if walking => self.contents.add_piece(&frame.payload),
            Kind::PieceEnd if walking => self.contents.end_piece(frame.payload == [1]),
            Kind::Entries if walking => self.contents.resolve(&frame.payload, &mut self.entries)?,
            Kind::Xattrs if walking => self.xattrs.extend(frame.payload),
            Kind::Hardlinks if walking => self.hardlinks.extend(frame.payload),
            Kind::ReadError if walking => {
                let (errno, path) = wire::decode_error(&frame.payload)?;
                if self.boot.read_errors.len() < READ_ERRORS_MAX {
                    self.boot.read_errors.push(ReadError {
                        path: path.to_vec(),
                        errno,
                    });
                }
            }
            Kind::WalkDone if walking => self.finish_walk(&frame.payload, job)?,
            Kind::StackFailed if walking && job.walks_several() && self.is_between(job) => {
                let (_, why) = wire::decode_error(&frame.payload)?;
                let why = String::from_utf8_lossy(why).into_owned();
                self.boot.stacks.push(Err(why));
                self.walked += 1;
            }
            Kind::MountFailed if self.walked == 0 && self.boot.commands.is_empty() => {
                let (_, why) = wire::decode_error(&frame.payload)?;
                let why = String::from_utf8_lossy(why).into_owned();
                self.boot.failure = Some(Failure::Mount(why));
            }
            Kind::Command | Kind::Written if job.is_shelf() => self.take_on_shelf(&frame, job)?,
            Kind::Command if self.boot.commands.len() < job.commands.len() => {
                self.boot
                    .commands
                    .push(CommandResult::decode(&frame.payload)?);
            }
            Kind::UpperFailed if self.walked == 0 && self.boot.commands.is_empty() => {
                let (_, why) = wire::decode_error(&frame.payload)?;
                let why = String::from_utf8_lossy(why).into_owned();
                self.boot.failure = Some(Failure::Upper(why));
            }
            Kind::Written if self.may_be_written(job) => {
                self.boot.written = Some(judge(Written::decode(&frame.payload)?, &job.mark));
            }
            Kind::InitFailed => {
                let why = String::from_utf8_lossy(&frame.payload).into_owned();
                self.boot.failure = Some(Failure::Init(why));
            }
            kind => return Err(unexpected(format!("a frame {kind:?} out of turn"))),
        }
        if self.entries.len() + self.xattrs.len() + self.hardlinks.len() > LISTING_BYTES_MAX {
            return Err(unexpected("a listing of over 1 GiB".to_owned()));
        }
        Ok(())
    }

    /// What comes of a command or of the file in the image of a shelf that was walked last.
    fn take_on_shelf(&mut self, frame: &Frame, job: &wire::Job) -> io::Result<()> {
        let last = self.last_on_shelf();
        if frame.kind == Kind::Command {
            let commands = last
                .map(|last| &mut last.commands)
                .filter(|all| all.len() < job.commands.len());
            let commands = commands.ok_or_else(|| unexpected("a command too many".to_owned()))?;
            commands.push(CommandResult::decode(&frame.payload)?);
            return Ok(());
        }
        let written = last
            .filter(|last| last.commands.len() == job.commands.len() && !job.mark.is_empty())
            .map(|last| &mut last.written)
            .filter(|written| written.is_none());
        let written = written.ok_or_else(|| unexpected("a file too many".to_owned()))?;
        *written = Some(judge(Written::decode(&frame.payload)?, &job.mark));
        Ok(())
    }

    /// Whether all that comes before the file that is written has come, and the file is wanted.
    fn may_be_written(&self, job: &wire::Job) -> bool {
        let is_wanted = !job.mark.is_empty() && self.boot.written.is_none();
        is_wanted && self.boot.commands.len() == job.commands.len()
    }

    fn finish_walk(&mut self, payload: &[u8], job: &wire::Job) -> io::Result<()> {
        if !self.is_answered(job) {
            return Err(unexpected(
                "a tree before the commands of the last".to_owned(),
            ));
        }
        let lines = self.entries.iter().filter(|byte| **byte == b'\n').count() as u64;
        if payload != lines.to_le_bytes() {
            return Err(unexpected(format!(
                "a walk of {lines} lines that says another number"
            )));
        }
        let mut mtree = b"#mtree v2.0\n".to_vec();
        mtree.append(&mut self.entries);
        mtree.append(&mut self.hardlinks);
        mtree.append(&mut self.xattrs);
        self.contents = Contents::default();
        self.walked += 1;
        if job.walks_several() {
            let walked = Walked {
                mtree,
                read_errors: std::mem::take(&mut self.boot.read_errors),
                commands: Vec::new(),
                written: None,
            };
            self.boot.stacks.push(Ok(walked));
        } else {
            self.boot.mtree = Some(mtree);
        }
        Ok(())
    }

    /// The sentinel is right only over what was really received, and only after all was answered.
    fn end(&self, sentinel: &[u8], job: &wire::Job) -> Result<(), Broken> {
        if sentinel != self.chain.sentinel() {
            return Err(Broken::Forged("a sentinel that does not match".to_owned()));
        }
        let is_told = job.is_shelf()
            || self.boot.commands.len() == job.commands.len()
                && self.boot.written.is_some() != job.mark.is_empty();
        let complete = self.walked == job.walks() && self.is_answered(job) && is_told;
        if complete || self.boot.failure.is_some() {
            Ok(())
        } else {
            Err(Broken::Forged(
                "a sentinel before all was answered".to_owned(),
            ))
        }
    }

    /// Whether nothing of the next tree has come, and all of the last.
    fn is_between(&self, job: &wire::Job) -> bool {
        self.entries.is_empty() && self.is_answered(job)
    }

    /// Whether, on a shelf, all that was asked of the image that was walked last has its answer.
    fn is_answered(&self, job: &wire::Job) -> bool {
        match self.boot.stacks.last() {
            Some(Ok(walked)) if job.is_shelf() => {
                walked.commands.len() == job.commands.len()
                    && walked.written.is_some() != job.mark.is_empty()
            }
            _ => true,
        }
    }

    /// The image that was walked last, while nothing of the next has come.
    fn last_on_shelf(&mut self) -> Option<&mut Walked> {
        match self.boot.stacks.last_mut() {
            Some(Ok(walked)) if self.entries.is_empty() => Some(walked),
            _ => None,
        }
    }

    /// What the guest was at when nothing more came.
    fn doing(&self, job: &wire::Job) -> String {
        if self.walked < job.walks() {
            let lines = String::from_utf8_lossy(self.entries.trim_ascii_end());
            let last = lines
                .rsplit('\n')
                .next()
                .and_then(|line| line.split(' ').next());
            return match last {
                Some(path) if !path.is_empty() => format!("walking, somewhere after {path}"),
                _ => "mounting or beginning to walk".to_owned(),
            };
        }
        match job.commands.get(self.boot.commands.len()) {
            Some(command) => format!("running `{}`", String::from_utf8_lossy(command)),
            None if self.may_be_written(job) => "writing a file or reading it back".to_owned(),
            None => "ending".to_owned(),
        }
    }
}

/// The file must be what was to be written, to the last byte.
fn judge(written: Written, mark: &[u8]) -> Result<Writer, String> {
    let read = written.read?;
    if read != [mark, b"\n"].concat() {
        let bytes = escape(&read[..read.len().min(100)]);
        return Err(format!("it is another one after a remount: `{bytes}`"));
    }
    Ok(match written.by_shell {
        true => Writer::Shell,
        false => Writer::Init,
    })
}

/// For what our init does not send.
fn unexpected(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
