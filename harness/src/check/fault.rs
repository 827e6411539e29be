//! Conversions in which something goes wrong on purpose.
//!
//! Whatever goes wrong, a converter has two good answers: the right tree, or a failure that leaves no
//! output somebody could take for one.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;
use rustix::process::Signal;

use super::cell::{Cell, partial_output};
use super::unequal::first_unequal;
use super::{Finding, FindingKind, Question, Reason, contain};
use crate::read;
use crate::runner::contain::{Faults, Leftover, Stop};
use crate::runner::{Conversion, Converted, Format, Setting};
use crate::tree::diff;

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The output's filesystem is half as large as what the converter would write.
    DiskFull,
    /// The second half of the largest layer's blob arrives while the converter runs.
    SlowBlob,
    /// The second half of the largest layer's blob is missing.
    TruncateBlob,
    /// SIGKILL when this percentage of the output is written.
    KillAt(u8),
    /// SIGTERM when this percentage of the output is written.
    TermAt(u8),
}

impl Fault {
    /// Whether it is the input that is at fault, which concerns only who reads it.
    pub(super) fn is_of_the_layout(self) -> bool {
        matches!(self, Fault::SlowBlob | Fault::TruncateBlob)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::DiskFull => f.write_str("disk-full"),
            Fault::SlowBlob => f.write_str("slow-blob"),
            Fault::TruncateBlob => f.write_str("truncate-blob"),
            Fault::KillAt(percent) => write!(f, "kill-at={percent}%"),
            Fault::TermAt(percent) => write!(f, "term-at={percent}%"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(word: &str) -> Result<Fault, String> {
        let percent = |text: &str| -> Result<u8, String> {
            let number = text.strip_suffix('%').unwrap_or(text).parse();
            number
                .ok()
                .filter(|percent| (1..=99).contains(percent))
                .ok_or_else(|| format!("`{text}` is no percentage from 1% to 99%"))
        };
        match word.split_once('=') {
            Some(("kill-at", text)) => Ok(Fault::KillAt(percent(text)?)),
            Some(("term-at", text)) => Ok(Fault::TermAt(percent(text)?)),
            None if word == "disk-full" => Ok(Fault::DiskFull),
            None if word == "slow-blob" => Ok(Fault::SlowBlob),
            None if word == "truncate-blob" => Ok(Fault::TruncateBlob),
            _ => Err(
                "there are disk-full, slow-blob, truncate-blob, kill-at=N%, term-at=N%".to_owned(),
            ),
        }
    }
}

/// How long a slow blob takes to arrive, once the converter runs.
const ARRIVAL: Duration = Duration::from_millis(1500);
/// In how many pieces it arrives.
const PIECES: usize = 10;
/// No output is so small that nothing could go wrong in its middle.
const SMALLEST_DISK: u64 = 64 << 10;

impl Cell<'_> {
    /// Asks a question while something goes wrong.
    pub(super) fn run_with_fault(
        &mut self,
        question: &Question,
        fault: Fault,
    ) -> anyhow::Result<Vec<Finding>> {
        let (layout, reference) = self.layout(question, "")?;
        let setting = self.setting(question);
        let sound = self.convert(&layout, &reference, "sound", &setting)?;
        let Conversion::Produced(artifact, _) = &sound.conversion else {
            let text = format!("{} fails without any fault", sound.stage);
            return Ok(vec![Finding::text(FindingKind::Rejected, text)]);
        };
        let converted = match fault {
            Fault::SlowBlob => self.slow(&layout, &reference, &setting)?,
            Fault::TruncateBlob => return self.truncated(&layout, &reference, &setting),
            Fault::DiskFull | Fault::KillAt(_) | Fault::TermAt(_) => {
                let setting = Setting {
                    faults: faults(fault, bytes_on_disk(artifact)),
                    ..setting
                };
                self.convert(&layout, &reference, "out", &setting)?
            }
        };
        self.judge_fault(question, &sound, &converted, fault)
    }

    fn slow(
        &self,
        layout: &Path,
        reference: &str,
        setting: &Setting<'_>,
    ) -> anyhow::Result<Converted> {
        let (layout, blob) = self.own_layout(layout)?;
        let content = fs::read(&blob)?;
        let (there, missing) = content.split_at(content.len() / 2);
        fs::write(&blob, there)?;
        let mut file = fs::OpenOptions::new().append(true).open(&blob)?;
        std::thread::scope(|scope| {
            let arriving = scope.spawn(move || -> std::io::Result<()> {
                for piece in missing.chunks(missing.len().div_ceil(PIECES).max(1)) {
                    std::thread::sleep(ARRIVAL / PIECES as u32);
                    file.write_all(piece)?;
                }
                Ok(())
            });
            let converted = self.convert(&layout, reference, "out", setting);
            let arrived = arriving.join().expect("writing does not panic");
            arrived.context("failed to complete the slow blob")?;
            converted
        })
    }

    fn truncated(
        &mut self,
        layout: &Path,
        reference: &str,
        setting: &Setting<'_>,
    ) -> anyhow::Result<Vec<Finding>> {
        let (layout, blob) = self.own_layout(layout)?;
        let length = fs::symlink_metadata(&blob)?.len();
        fs::OpenOptions::new()
            .write(true)
            .open(&blob)?
            .set_len(length / 2)?;
        let converted = self.convert(&layout, reference, "out", setting)?;
        if let Conversion::Produced(..) | Conversion::Nothing = converted.conversion {
            let text =
                format!("accepted, though half of a layer's blob of {length} bytes is missing");
            let mut findings = contain::findings(&converted);
            findings.push(Finding::text(FindingKind::Accepted, text));
            return Ok(findings);
        }
        let mut findings = self.failure(&converted, Fault::TruncateBlob);
        findings.extend(partial_output(&converted));
        Ok(findings)
    }

    /// What it makes without the fault, or a clean failure.
    fn judge_fault(
        &mut self,
        question: &Question,
        sound: &Converted,
        converted: &Converted,
        fault: Fault,
    ) -> anyhow::Result<Vec<Finding>> {
        if let Conversion::Produced(..) | Conversion::Nothing = converted.conversion {
            let without = self.all_findings(question, sound, "sound-")?;
            self.result.seen.clear();
            let mut findings = self.all_findings(question, converted, "")?;
            findings.retain(|finding| {
                !without
                    .iter()
                    .any(|known| known.is_at_the_place_of(finding))
            });
            self.result.seen.push(match fault {
                Fault::KillAt(_) | Fault::TermAt(_) if !converted.stopped => {
                    "done before the signal came".to_owned()
                }
                _ => format!("done in spite of {fault}"),
            });
            return Ok(findings);
        }
        let mut findings = self.failure(converted, fault);
        match (&sound.conversion, &converted.partial_output) {
            // The signal came when all was done; what else is left beside the output is still left.
            (Conversion::Produced(whole, format), Some(left)) if is_same(whole, left, *format)? => {
                self.result.seen.push(format!("complete before {fault}"));
            }
            _ => findings.extend(partial_output(converted)),
        }
        Ok(findings)
    }

    fn all_findings(
        &mut self,
        question: &Question,
        converted: &Converted,
        prefix: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        let mut findings = contain::findings(converted);
        findings.extend(self.judge(question, converted, prefix)?);
        Ok(findings)
    }

    /// What is wrong with a failure that the fault excuses, but for an output that it left.
    fn failure(&mut self, converted: &Converted, fault: Fault) -> Vec<Finding> {
        let stage = &converted.stage;
        let mut findings = contain::findings(converted);
        if matches!(fault, Fault::KillAt(_)) {
            // Nobody can clean up after SIGKILL, not even a temporary file.
            let mut leftovers = converted.leftovers.iter();
            if leftovers.all(|(_, left)| matches!(left, Leftover::TemporaryFile(_))) {
                findings.retain(|finding| finding.kind != FindingKind::Unclean);
            }
        }
        let (is_excused, said) = match &converted.conversion {
            Conversion::Rejected(status, _) => (true, format!("exit {status}")),
            Conversion::Crashed(signal) => (excuses(fault, *signal), format!("signal {signal}")),
            Conversion::OverLimit(what) => (fault == Fault::DiskFull, format!("too much {what}")),
            Conversion::TimedOut => (false, "no end in time".to_owned()),
            Conversion::Produced(..) | Conversion::Nothing => (true, "exit 0".to_owned()),
        };
        if !is_excused {
            let kind = match converted.conversion {
                Conversion::TimedOut => FindingKind::Timeout,
                Conversion::OverLimit(_) => FindingKind::Resource,
                _ => FindingKind::Crash,
            };
            findings.push(Finding::text(
                kind,
                format!("{stage}: {said} after {fault}"),
            ));
        }
        if !converted.protections_missing.is_empty() {
            let missing = converted.protections_missing.join(", ");
            self.unchecked(Reason::Contain, format!("without {missing}"));
        }
        if findings.is_empty() && converted.partial_output.is_none() {
            self.result
                .seen
                .push(format!("{said} after {fault}, nothing left"));
        }
        findings
    }

    /// A copy of the layout that may be damaged, and the largest blob in it that is no JSON document, so a
    /// layer's: the first of several.
    fn own_layout(&self, layout: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
        let own = self.work.join("damaged");
        let mut largest: Option<(u64, PathBuf)> = None;
        for entry in walkdir::WalkDir::new(layout).sort_by_file_name() {
            let entry = entry?;
            let to = own.join(entry.path().strip_prefix(layout)?);
            if entry.file_type().is_dir() {
                fs::create_dir(&to)?;
            } else if entry.file_type().is_file() {
                let size = fs::copy(entry.path(), &to)?;
                let is_larger = largest.as_ref().is_none_or(|(most, _)| size > *most);
                if is_larger && !is_document(&to)? {
                    largest = Some((size, to));
                }
            } else if entry.file_type().is_symlink() {
                let target = fs::read_link(entry.path())?;
                fs_err::os::unix::fs::symlink(target, &to)?;
            } else {
                anyhow::bail!(
                    "cannot copy the layout to damage it: `{}` is neither file, directory nor symbolic link",
                    entry.path().display()
                );
            }
        }
        let (_, blob) = largest.context("the layout holds no layer's blob to damage")?;
        Ok((own, blob))
    }
}

/// Whether a file of a layout is one of its JSON documents.
fn is_document(file: &Path) -> anyhow::Result<bool> {
    let reader = std::io::BufReader::new(fs::File::open(file)?);
    Ok(serde_json::from_reader::<_, serde::de::IgnoredAny>(reader).is_ok())
}

/// Whether what a stopped converter left is all that it makes when it is not stopped.
fn is_same(whole: &Path, left: &Path, format: Format) -> anyhow::Result<bool> {
    let trees = match format {
        Format::Dir => (read::dir(whole), read::dir(left)),
        Format::Tar => (read::tar(whole), read::tar(left)),
        _ => return Ok(first_unequal(whole, left, format)?.is_none()),
    };
    Ok(matches!(trees, (Ok(whole), Ok(left)) if diff(&whole, &left).is_empty()))
}

/// Whether death by this signal is what the fault asked for.
fn excuses(fault: Fault, signal: i32) -> bool {
    match fault {
        Fault::KillAt(_) => signal == Signal::KILL.as_raw(),
        Fault::TermAt(_) => signal == Signal::TERM.as_raw(),
        _ => false,
    }
}

/// The fault for an output of this many bytes.
fn faults(fault: Fault, bytes: u64) -> Faults {
    let stop = |signal: Signal, percent: u8| Stop {
        signal: signal.as_raw(),
        written: bytes * u64::from(percent) / 100,
    };
    Faults {
        stop: match fault {
            Fault::KillAt(percent) => Some(stop(Signal::KILL, percent)),
            Fault::TermAt(percent) => Some(stop(Signal::TERM, percent)),
            _ => None,
        },
        disk_bytes: (fault == Fault::DiskFull).then_some((bytes / 2).max(SMALLEST_DISK)),
    }
}

/// What an artifact takes on disk, holes not included.
fn bytes_on_disk(artifact: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = walkdir::WalkDir::new(artifact).into_iter();
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{Fault, is_document};

    #[test]
    fn a_document_is_no_blob_of_a_layer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("blob");
        for (content, is) in [("{\"layers\": []}", true), ("{ustar", false), ("", false)] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(is_document(&file).unwrap(), is, "{content}");
        }
    }

    #[test]
    fn every_fault_is_read_back_from_its_word() {
        let all = [
            Fault::DiskFull,
            Fault::SlowBlob,
            Fault::TruncateBlob,
            Fault::KillAt(50),
            Fault::TermAt(1),
        ];
        for fault in all {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for wrong in [
            "",
            "disk",
            "kill-at",
            "kill-at=0%",
            "term-at=100%",
            "disk-full=3",
        ] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
