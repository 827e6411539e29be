//! A cpio archive as the kernel's initramfs: it is unpacked by the kernel itself and its own `/bin/sh` is
//! the first process, with nothing of ours beside it.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::error::Error;
use super::machine::Machine;
use super::qemu::Start;
use super::{Failure, drive};

/// How much of a command line the kernel keeps, less what it is given anyway.
const COMMAND_BYTES_MAX: usize = 1024;

/// The memory of a machine whose files are all in it: so much, and several times the archive's size.
const MEBIBYTES: u64 = 512;

/// What became of a command that was the first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It succeeded and wrote this, as a terminal shows it.
    Output(String),
    /// It did not; why, as far as can be told.
    Failed(Failure),
    /// The kernel's command line cannot carry it.
    Unsaid,
}

impl Machine {
    /// Boots an archive and runs one command with its shell.
    ///
    /// # Errors
    ///
    /// The harness's own failures: QEMU does not run, a file cannot be read or written.
    pub fn boot_initramfs(
        &self,
        archive: &Path,
        command: &str,
        transcript: &Path,
        time_limit: Duration,
    ) -> Result<Said, Error> {
        // Quotes are the only way to give the kernel a word with blanks, and it knows no escape in them.
        if command.contains(['"', '\n']) || command.len() > COMMAND_BYTES_MAX {
            return Ok(Said::Unsaid);
        }
        let [begin, end] =
            [drive::random::<16>()?, drive::random()?].map(|it| HEXLOWER.encode(&it));
        let size = drive::open(archive)?
            .metadata()
            .map_err(Error::io("look at the image"))?
            .len();
        let start = Start::Initramfs {
            kernel: self.kernel(),
            initramfs: archive.to_owned(),
            arguments: format!("-c \"echo {begin}; {command} && echo {end}\""),
            mebibytes: MEBIBYTES + (size >> 20) * 4,
        };
        let process = self.qemu().start(&start, &[])?;
        let (status, text) = process.finish(time_limit);
        let operation = format!("write the transcript {}", transcript.display());
        fs_err::write(transcript, text.bytes()).map_err(Error::io(operation))?;
        if let Some(output) = between(&text.bytes(), &begin, &end) {
            return Ok(Said::Output(output));
        }
        let last = text.last_lines(3);
        Ok(Said::Failed(match status {
            None => Failure::TimedOut(last),
            Some(_) => match text.last_line_with(&["Kernel panic"]) {
                Some(line) => Failure::Panic(format!("{line}; last it said: {last}")),
                None => Failure::EndedEarly(last),
            },
        }))
    }
}

/// The lines between two, without what a serial line makes of their ends.
fn between(text: &[u8], begin: &str, end: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text).replace('\r', "");
    let (_, rest) = text.split_once(&format!("{begin}\n"))?;
    let (output, _) = rest.split_once(&format!("{end}\n"))?;
    Some(output.to_owned())
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn only_what_stands_between_both_words_was_said() {
        let said = |text: &str| between(text.as_bytes(), "aa", "bb");
        assert_eq!(
            said("x\r\naa\r\none\r\ntwo\r\nbb\r\ny").as_deref(),
            Some("one\ntwo\n")
        );
        assert_eq!(said("aa\r\nbb\r\n").as_deref(), Some(""));
        for text in ["", "aa\none\n", "one\nbb\n", "bb\naa\n", "aa bb\n"] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
