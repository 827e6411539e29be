//! A machine that is put together once and then boots any number of images.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::accelerator;
use super::conversation::{Broken, collect, hand_over, wait_ready};
use super::drive::{self, DRIVES_MAX, Drive};
use super::error::{Error, Missing};
use super::kernel::{self, Kernel};
use super::probe;
use super::qemu::{END_GRACE, Process, Qemu, ended, explained};
use super::snapshot::Snapshot;
use super::transcript::Transcript;
use super::{Arrangement, Boot, Failure, Job, Mode, Options, wire};

/// How long a guest may take to boot until its init waits, on a slow and busy machine.
const READY_TIME_LIMIT: Duration = Duration::from_secs(120);

/// How long a waiting or restored guest may take to accept its job.
const ACCEPT_TIME_LIMIT: Duration = Duration::from_secs(30);

/// A machine that can boot images. Boots may run in parallel.
#[derive(Debug)]
pub struct Machine {
    parts: Parts,
    about: String,
    /// By the number of disks, less one.
    lives: [Mutex<Option<Life>>; DRIVES_MAX],
    notes: Mutex<Vec<String>>,
}

/// What a machine is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) qemu: Qemu,
    pub(super) kernel: Arc<Kernel>,
    pub(super) cache: PathBuf,
    /// How long the guest may take to get ready.
    pub(super) ready_time_limit: Duration,
}

/// Where the guest of each boot comes from.
#[derive(Clone, Debug)]
pub(super) enum Life {
    Cold,
    Snapshot(Arc<Snapshot>),
}

impl Machine {
    /// Finds QEMU and a guest kernel, prepares the kernel in the cache, and finds out whether KVM
    /// runs a guest here.
    ///
    /// # Errors
    ///
    /// What is missing, where it was looked for and what to do.
    pub fn find(options: &Options) -> Result<Machine, Missing> {
        let qemu = probe::qemu(options.qemu.as_deref())?;
        let files = kernel::find(options)?;
        let kernel = kernel::prepare(&files, &options.cache)?;
        let mut parts = Parts {
            qemu,
            kernel: Arc::new(kernel),
            cache: options.cache.clone(),
            ready_time_limit: READY_TIME_LIMIT,
        };
        let (accelerator, why) = accelerator::choose(options.accel, &parts)?;
        parts.qemu.accelerator = accelerator;
        let about = format!(
            "{} · {} · {why}",
            parts.qemu.version,
            parts.kernel.image.display()
        );
        let notes = parts.kernel.note().map(str::to_owned).into_iter().collect();
        let life = (options.mode == Mode::Cold).then_some(Life::Cold);
        Ok(Machine {
            parts,
            about,
            lives: std::array::from_fn(|_| Mutex::new(life.clone())),
            notes: Mutex::new(notes),
        })
    }

    /// One line about the machine: QEMU's version, the kernel, what executes it and why.
    #[must_use]
    pub fn describe(&self) -> String {
        self.about.clone()
    }

    /// What a person should know of how the machine came to be what it is, and has not been told
    /// yet: a cache that was broken, a snapshot that could not be used. Each is told once.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Boots one image. The first boot from a snapshot makes the snapshot, if there is none.
    ///
    /// # Errors
    ///
    /// The harness's own failures: QEMU does not run, the guest does not come to ask for its job, a
    /// file cannot be read or written.
    pub fn boot(&self, job: &Job<'_>) -> Result<Boot, Error> {
        let drives = drive::count(job);
        let life = self.life(drives)?;
        match (self.parts.boot(&life, job), life) {
            (Attempt::Boot(boot), _) => Ok(boot),
            (Attempt::Failed(error), _) | (Attempt::Unstarted(error), Life::Cold) => Err(error),
            (Attempt::Unstarted(error), Life::Snapshot(snapshot)) => {
                self.give_up(&snapshot, drives, &error);
                match self.parts.boot(&Life::Cold, job) {
                    Attempt::Boot(boot) => Ok(boot),
                    Attempt::Failed(error) | Attempt::Unstarted(error) => Err(error),
                }
            }
        }
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.parts.kernel.elf()
    }

    pub(super) fn qemu(&self) -> &Qemu {
        &self.parts.qemu
    }

    /// How a boot with so many disks starts. Whoever comes first makes the snapshot; the others wait
    /// for it.
    fn life(&self, drives: usize) -> Result<Life, Error> {
        let Some(life) = drives.checked_sub(1).and_then(|kind| self.lives.get(kind)) else {
            return Err(Error::guest(format!("no machine has {drives} disks")));
        };
        let mut life = life.lock().unwrap_or_else(PoisonError::into_inner);
        let life = life.get_or_insert_with(|| match self.parts.snapshot(drives) {
            Ok(snapshot) => {
                self.note(snapshot.note().map(str::to_owned));
                Life::Snapshot(Arc::new(snapshot))
            }
            Err(error) => {
                self.note(Some(format!(
                    "no snapshot, each image is booted cold: {error}"
                )));
                Life::Cold
            }
        });
        Ok(life.clone())
    }

    /// From now on every image with so many disks is booted cold; a later run makes another snapshot.
    fn give_up(&self, snapshot: &Snapshot, drives: usize, error: &Error) {
        let mut life = self.lives[drives - 1]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !matches!(*life, Some(Life::Cold)) {
            *life = Some(Life::Cold);
            snapshot.condemn();
            self.note(Some(format!(
                "the snapshot is of no use, images are booted cold: {error}"
            )));
        }
    }

    fn note(&self, note: Option<String>) {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(note);
    }
}

/// What came of trying to boot an image.
pub(super) enum Attempt {
    Boot(Boot),
    /// The guest did not come as far as to accept its job; the image was not touched.
    Unstarted(Error),
    /// The harness failed at something else.
    Failed(Error),
}

impl Parts {
    /// The snapshot of this machine with so many disks, made now if there is none.
    pub(super) fn snapshot(&self, drives: usize) -> Result<Snapshot, Error> {
        // A kind of its own for each, so that none pushes the others out of the cache.
        let kind = match drives {
            1 => "snapshot",
            2 => "snapshot2",
            _ => "snapshot3",
        };
        let key = self.qemu.identify(self.kernel.key(kind), drives);
        Snapshot::get(
            &self.cache,
            &key,
            &self.qemu,
            &self.kernel,
            drives,
            self.ready_time_limit,
        )
    }

    /// Boots an image once.
    pub(super) fn boot(&self, life: &Life, job: &Job<'_>) -> Attempt {
        let (drives, on_wire) = match (drive::drives(job), on_wire(job)) {
            (Ok(drives), Ok(on_wire)) => (drives, on_wire),
            (Err(error), _) | (_, Err(error)) => return Attempt::Failed(error),
        };
        let process = match self.start(life, &drives) {
            Ok(process) => process,
            Err(error) => return Attempt::Unstarted(error),
        };
        let accepted = hand_over(&mut process.port(ACCEPT_TIME_LIMIT), &on_wire);
        let answer =
            accepted.map(|chain| collect(&mut process.port(job.time_limit), &on_wire, chain));
        let grace = match &answer {
            // A machine that has said all, or is to be stopped, need not end by itself.
            Ok((_, None | Some(Broken::TimedOut(_) | Broken::Forged(_)))) => Duration::ZERO,
            _ => END_GRACE,
        };
        let (status, transcript) = process.finish(grace);
        let operation = format!("write the transcript {}", job.transcript.display());
        if let Err(error) = fs_err::write(job.transcript, transcript.bytes()) {
            return Attempt::Failed(Error::io(operation)(error));
        }
        match answer {
            Err(error) => Attempt::Unstarted(explained(error, status, &transcript)),
            Ok((_, Some(_))) if status.is_some_and(|status| !status.success()) => {
                let what = status.map(ended).unwrap_or_default();
                Attempt::Failed(Error::Qemu {
                    what,
                    said: transcript.last_lines(3),
                })
            }
            Ok((boot, broken)) => Attempt::Boot(judge(boot, broken, &transcript)),
        }
    }

    fn start(&self, life: &Life, drives: &[Drive]) -> Result<Process, Error> {
        match life {
            Life::Snapshot(snapshot) => snapshot.start(&self.qemu, drives),
            Life::Cold => self
                .qemu
                .start(&self.kernel.start(None), drives)?
                .after(|process| wait_ready(&mut process.port(self.ready_time_limit))),
        }
    }
}

fn on_wire(job: &Job<'_>) -> Result<wire::Job, Error> {
    let mark = match job.profile.is_writable() {
        true => HEXLOWER.encode(&drive::random::<16>()?).into_bytes(),
        false => Vec::new(),
    };
    Ok(wire::Job {
        nonce: drive::random()?,
        filesystem: job.filesystem.to_owned(),
        profile: job.profile.word().to_owned(),
        partitions: drive::partitions(job),
        shelf: match job.arrangement {
            Arrangement::Shelf(layers) => layers.to_vec(),
            _ => Vec::new(),
        },
        walk: job.walk,
        stacks: job.stacks.to_vec(),
        command_time_limit: job.time_limit / 2,
        commands: job.commands.to_vec(),
        mark,
    })
}

/// Completes what the port told with what the serial line tells of the reasons.
fn judge(mut boot: Boot, broken: Option<Broken>, transcript: &Transcript) -> Boot {
    match broken {
        Some(Broken::TimedOut(doing)) => boot.failure = Some(Failure::TimedOut(doing)),
        Some(Broken::Forged(what)) => boot.failure = Some(Failure::Forged(what)),
        Some(Broken::Ended) => {
            boot.failure = Some(match transcript.last_line_with(&["Kernel panic"]) {
                Some(line) => Failure::Panic(line),
                None => Failure::EndedEarly(transcript.last_lines(3)),
            });
        }
        None => {
            if let Some(Failure::Mount(why)) = &mut boot.failure {
                let line =
                    transcript.last_line_with(&["EXT4-fs", "erofs", "SQUASHFS", "overlayfs"]);
                *why = line.map_or_else(|| why.clone(), |line| format!("{why}: {line}"));
            }
        }
    }
    boot
}
