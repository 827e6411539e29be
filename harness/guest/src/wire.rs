//! What travels over the port between the harness and the guest's init.
//!
//! Host and guest compile this very file. The conversation is: the guest says [`Kind::Ready`]; the
//! host sends one [`Job`]; the guest answers with frames and ends with [`Kind::Sentinel`], whose
//! payload is the SHA-256 of the host's nonce and of every frame since the job. So a transcript of
//! an older run, a guest that stops half-way and a frame slipped in by somebody else all differ
//! from a finished conversation.
//!
//! A frame is one kind byte, a length of four bytes (little-endian) and the payload.

use std::io::{self, Read, Write};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The name of the virtio port, as the guest finds it under `/sys/class/virtio-ports`.
pub(crate) const PORT: &str = "harness";

/// The longest payload that a frame may have, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// The keyword in an entry's line that the host replaces by the digest of a content.
pub(crate) const DIGEST_OF: &str = " sha256=@";

/// How many bytes of a command's output are kept from its beginning, and as many from its end.
pub(crate) const OUTPUT_BYTES_KEPT: usize = 512 << 10;

/// The version of this protocol; a guest of another version is refused.
pub(crate) const VERSION: u32 = 5;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Guest to host: init waits for the job. Payload: [`VERSION`].
    Ready,
    /// Host to guest: what to do. Payload: [`Job::encode`].
    Job,
    /// Guest to host: the job has arrived; from here on it is about the image. No payload.
    Accepted,
    /// The image could not be mounted. Payload: errno and a sentence. No tree, no commands follow.
    MountFailed,
    /// The disk of the writable layer could not be used, which is not the image's doing. Payload: errno
    /// and a sentence. No tree, no commands follow.
    UpperFailed,
    /// Whole files, each a length of four bytes and its bytes. Contents are numbered in the order
    /// in which they are complete, from zero.
    SmallContents,
    /// A part of one large file.
    Piece,
    /// The end of one large file. Payload: 1 if it is complete, 0 if it could not be read.
    PieceEnd,
    /// Whole mtree lines of entries, in order; for a file's digest, [`DIGEST_OF`] and the number of
    /// its content, which was sent before.
    Entries,
    /// Whole `#@ xattr` lines, in order.
    Xattrs,
    /// Whole `#@ hardlink` lines, in order.
    Hardlinks,
    /// A path that could not be read. Payload: errno, then the path below the root.
    ReadError,
    /// The walk is over. Payload: the number of entries, eight bytes.
    WalkDone,
    /// One of the job's stacks, or of the images of a shelf, could not be mounted. Payload: errno and a sentence.
    StackFailed,
    /// The result of one command. Payload: [`CommandResult::encode`].
    Command,
    /// What became of the file that was written. Payload: [`Written::encode`].
    Written,
    /// Init itself failed, which is not the image's doing. Payload: a sentence.
    InitFailed,
    /// The end. Payload: the digest of nonce and frames.
    Sentinel,
}

impl Kind {
    const ALL: [(Kind, u8); 18] = [
        (Kind::Ready, b'r'),
        (Kind::Job, b'j'),
        (Kind::Accepted, b'a'),
        (Kind::MountFailed, b'm'),
        (Kind::UpperFailed, b'u'),
        (Kind::SmallContents, b'b'),
        (Kind::Piece, b'p'),
        (Kind::PieceEnd, b'q'),
        (Kind::Entries, b't'),
        (Kind::Xattrs, b'x'),
        (Kind::Hardlinks, b'h'),
        (Kind::ReadError, b'e'),
        (Kind::WalkDone, b'd'),
        (Kind::StackFailed, b'o'),
        (Kind::Command, b'c'),
        (Kind::Written, b'w'),
        (Kind::InitFailed, b'f'),
        (Kind::Sentinel, b's'),
    ];

    fn byte(self) -> u8 {
        Kind::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or(0, |(_, byte)| *byte)
    }

    fn of(byte: u8) -> Option<Kind> {
        Kind::ALL
            .iter()
            .find(|(_, b)| *b == byte)
            .map(|(kind, _)| *kind)
    }
}

/// One frame as read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it carries.
    pub(crate) kind: Kind,
    /// Its bytes.
    pub(crate) payload: Vec<u8>,
}

/// Writes one frame.
///
/// # Errors
///
/// As `to.write_all`; a payload over [`PAYLOAD_BYTES_MAX`] is `InvalidInput`.
pub(crate) fn write_frame(to: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a frame of over 4 MiB",
        ));
    }
    to.write_all(&header(kind, payload.len()))?;
    to.write_all(payload)
}

/// Reads one frame.
///
/// # Errors
///
/// As `from.read_exact`; a kind or a length that no frame has is `InvalidData`.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length) as usize;
    let Some(kind) = Kind::of(kind) else {
        return Err(invalid(format!("a frame of the unknown kind {kind:#04x}")));
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes")));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(Frame { kind, payload })
}

/// The running digest of a conversation: the nonce, then every frame after the job.
#[derive(Clone)]
pub(crate) struct Chain(Sha256);

impl Chain {
    /// Begins the chain with the host's nonce.
    pub(crate) fn new(nonce: &[u8; 32]) -> Chain {
        Chain(Sha256::new_with_prefix(nonce))
    }

    /// Adds a frame.
    pub(crate) fn add(&mut self, kind: Kind, payload: &[u8]) {
        self.0.update(header(kind, payload.len()));
        self.0.update(payload);
    }

    /// Adds a frame of files' content: its kind and length only. The content itself is what the
    /// guest sends to the host so as not to have to hash it.
    pub(crate) fn add_content(&mut self, kind: Kind, length: usize) {
        self.0.update(header(kind, length));
    }

    /// The payload of the sentinel that ends the conversation here.
    pub(crate) fn sentinel(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// What the host asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Made by the host for this run.
    pub(crate) nonce: [u8; 32],
    /// The filesystem type as `mount` names it.
    pub(crate) filesystem: String,
    /// How the image becomes the root: `ro`, `overlay`, `rw` or `layers`.
    pub(crate) profile: String,
    /// How many partitions of the disks are images, of layers the base layer first; with none the first
    /// disk itself is the image.
    pub(crate) partitions: u32,
    /// Where the partitions are of several images that have nothing to do with each other, how many layers each
    /// one has: zero is an image of one partition that is no layer.
    pub(crate) shelf: Vec<u32>,
    /// Whether to walk the tree and send it.
    pub(crate) walk: bool,
    /// Stacks of the image's directories as overlayfs names them in `lowerdir`. Where there are any,
    /// each is walked in the place of the image.
    pub(crate) stacks: Vec<Vec<u8>>,
    /// How long each command may run.
    pub(crate) command_time_limit: Duration,
    /// The commands for `/bin/sh -c`.
    pub(crate) commands: Vec<Vec<u8>>,
    /// A word to write into a file of the root, after the commands; empty where nothing is written.
    pub(crate) mark: Vec<u8>,
}

impl Job {
    /// The payload of [`Kind::Job`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(VERSION.to_le_bytes());
        out.extend(self.nonce);
        put(&mut out, self.filesystem.as_bytes());
        put(&mut out, self.profile.as_bytes());
        out.extend(self.partitions.to_le_bytes());
        out.extend((self.shelf.len() as u32).to_le_bytes());
        self.shelf
            .iter()
            .for_each(|layers| out.extend(layers.to_le_bytes()));
        out.push(u8::from(self.walk));
        put_list(&mut out, &self.stacks);
        out.extend((self.command_time_limit.as_millis() as u64).to_le_bytes());
        put_list(&mut out, &self.commands);
        put(&mut out, &self.mark);
        out
    }

    /// The inverse of [`Job::encode`].
    ///
    /// # Errors
    ///
    /// `InvalidData` for anything that `encode` does not write.
    pub(crate) fn decode(payload: &[u8]) -> io::Result<Job> {
        let mut from = Fields(payload);
        let version = from.u32()?;
        if version != VERSION {
            return Err(invalid(format!(
                "protocol version {version}, this is {VERSION}"
            )));
        }
        let job = Job {
            nonce: from.array()?,
            filesystem: from.text()?,
            profile: from.text()?,
            partitions: from.u32()?,
            shelf: from.numbers()?,
            walk: from.array::<1>()? != [0],
            stacks: from.list()?,
            command_time_limit: Duration::from_millis(u64::from_le_bytes(from.array()?)),
            commands: from.list()?,
            mark: from.bytes()?,
        };
        from.end()?;
        Ok(job)
    }

    /// How many trees are walked.
    pub(crate) fn walks(&self) -> usize {
        match self.stacks.len() {
            _ if self.is_shelf() => self.shelf.len(),
            0 => usize::from(self.walk),
            stacks => stacks,
        }
    }

    /// Whether the images have nothing to do with each other.
    pub(crate) fn is_shelf(&self) -> bool {
        !self.shelf.is_empty()
    }

    /// Whether several trees are walked, each of which may be missing.
    pub(crate) fn walks_several(&self) -> bool {
        self.is_shelf() || !self.stacks.is_empty()
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended by itself with this exit status.
    Exited(i32),
    /// It was ended by this signal.
    Signaled(i32),
    /// It never ran; the sentence says why.
    NotStarted(String),
    /// It was killed at its time limit.
    TimedOut,
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// How it ended.
    pub outcome: Outcome,
    /// What it wrote to standard output and standard error, at most twice [`OUTPUT_BYTES_KEPT`] and
    /// a line that says how much is left out.
    pub output: Vec<u8>,
}

impl CommandResult {
    /// The payload of [`Kind::Command`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (tag, number, text) = match &self.outcome {
            Outcome::Exited(status) => (0, *status, ""),
            Outcome::Signaled(signal) => (1, *signal, ""),
            Outcome::NotStarted(why) => (2, 0, why.as_str()),
            Outcome::TimedOut => (3, 0, ""),
        };
        let mut out = vec![tag];
        out.extend(number.to_le_bytes());
        put(&mut out, text.as_bytes());
        put(&mut out, &self.output);
        out
    }

    /// The inverse of [`CommandResult::encode`].
    ///
    /// # Errors
    ///
    /// `InvalidData` for anything that `encode` does not write.
    pub(crate) fn decode(payload: &[u8]) -> io::Result<CommandResult> {
        let mut from = Fields(payload);
        let [tag] = from.array()?;
        let number = i32::from_le_bytes(from.array()?);
        let text = from.text()?;
        let output = from.bytes()?;
        from.end()?;
        let outcome = match tag {
            0 => Outcome::Exited(number),
            1 => Outcome::Signaled(number),
            2 => Outcome::NotStarted(text),
            3 => Outcome::TimedOut,
            _ => {
                return Err(invalid(format!(
                    "a command outcome of the unknown kind {tag}"
                )));
            }
        };
        Ok(CommandResult { outcome, output })
    }
}

/// A file that was written into the root, and what it was when it was read after all had been
/// unmounted and mounted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Whether the image's shell wrote it; else init did.
    pub(crate) by_shell: bool,
    /// The bytes that were read, or why there are none.
    pub(crate) read: Result<Vec<u8>, String>,
}

impl Written {
    /// The payload of [`Kind::Written`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        let bytes = match &self.read {
            Ok(bytes) => bytes,
            Err(why) => why.as_bytes(),
        };
        let head = [u8::from(self.by_shell), u8::from(self.read.is_ok())];
        [&head, bytes].concat()
    }

    /// The inverse of [`Written::encode`].
    ///
    /// # Errors
    ///
    /// `InvalidData` for anything that `encode` does not write.
    pub(crate) fn decode(payload: &[u8]) -> io::Result<Written> {
        let mut from = Fields(payload);
        let [by_shell, is_read] = from.array()?;
        let bytes = from.0.to_vec();
        Ok(Written {
            by_shell: by_shell != 0,
            read: match is_read {
                0 => Err(String::from_utf8_lossy(&bytes).into_owned()),
                _ => Ok(bytes),
            },
        })
    }
}

/// The payload of [`Kind::ReadError`], [`Kind::MountFailed`] and [`Kind::UpperFailed`]: an errno and
/// bytes.
pub(crate) fn encode_error(errno: i32, bytes: &[u8]) -> Vec<u8> {
    [&errno.to_le_bytes(), bytes].concat()
}

/// The inverse of [`encode_error`].
///
/// # Errors
///
/// `InvalidData` for a payload of less than four bytes.
pub(crate) fn decode_error(payload: &[u8]) -> io::Result<(i32, &[u8])> {
    match payload.split_first_chunk() {
        Some((errno, bytes)) => Ok((i32::from_le_bytes(*errno), bytes)),
        None => Err(invalid("an error frame of less than four bytes".to_owned())),
    }
}

/// What stands before a frame's payload.
pub(crate) fn header(kind: Kind, length: usize) -> [u8; 5] {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    [kind.byte(), a, b, c, d]
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend((field.len() as u32).to_le_bytes());
    out.extend(field);
}

fn put_list(out: &mut Vec<u8>, fields: &[Vec<u8>]) {
    out.extend((fields.len() as u32).to_le_bytes());
    for field in fields {
        put(out, field);
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The fields of a payload, read from its front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = tail;
        Ok(*head)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = self.u32()? as usize;
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = tail;
        Ok(head.to_vec())
    }

    fn numbers(&mut self) -> io::Result<Vec<u32>> {
        (0..self.u32()?).map(|_| self.u32()).collect()
    }

    fn list(&mut self) -> io::Result<Vec<Vec<u8>>> {
        (0..self.u32()?).map(|_| self.bytes()).collect()
    }

    fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| invalid("a text that is not UTF-8".to_owned()))
    }

    fn end(&self) -> io::Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(invalid(format!(
                "{} bytes after a payload's end",
                self.0.len()
            )))
        }
    }
}

fn cut() -> io::Error {
    invalid("a payload that ends early".to_owned())
}
