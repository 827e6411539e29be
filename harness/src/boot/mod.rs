//! The machine: a filesystem image is booted in QEMU, read by the guest's kernel, and its own
//! `/bin/sh` is run.
//!
//! A [`Machine`] is found once ([`Machine::find`]) and then boots any number of images, in parallel
//! if wanted ([`Machine::boot`]). The guest's init is the only program that talks to the host; it
//! does so over a virtio port that no program of the image can open, and what it says counts only
//! if it ends with a sentinel over the host's nonce and every byte said.
//!
//! Whatever an image does to the guest is a [`Failure`] in a [`Boot`]; an [`Error`] is the
//! harness's own.

mod accelerator;
mod bzimage;
mod cache;
mod conversation;
mod decompress;
mod drive;
mod error;
mod gpt;
mod initramfs;
mod initrd;
mod kernel;
mod machine;
mod modules;
mod port;
mod probe;
mod qemu;
mod qmp;
mod scratch;
mod snapshot;
mod transcript;
mod upper;
#[path = "../../guest/src/wire.rs"]
#[expect(dead_code, reason = "each side of the wire uses its half")]
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::runner::Profile;

pub use cache::digest;
pub use drive::LAYERS_MAX;
pub use error::{Error, Missing};
pub use initrd::Said;
pub use machine::Machine;
pub use upper::empty_upper;
pub use wire::{CommandResult, Outcome};

/// How to find and start a machine. Everything unset is looked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The QEMU program; else `qemu-system-x86_64` on the `PATH`.
    pub qemu: Option<PathBuf>,
    /// The guest's kernel, a bzImage or an ELF file.
    pub kernel: Option<PathBuf>,
    /// The kernel's `lib/modules/VERSION` directory.
    pub modules: Option<PathBuf>,
    /// Directories with a kernel under `boot/` and modules under `lib/modules/`, tried in order:
    /// where `ci setup` unpacked one, then `/`.
    pub roots: Vec<PathBuf>,
    /// Where kernels, snapshots and the answer about KVM are kept between runs. Runs may share it.
    pub cache: PathBuf,
    /// How each guest comes to life.
    pub mode: Mode,
    /// What executes the guest.
    pub accel: Accel,
}

/// How a guest comes to life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Restored from a snapshot of a guest that waits for its job.
    Snapshot,
    /// Booted, every time.
    Cold,
}

/// What executes the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// KVM where a guest really runs with it, else emulation.
    Auto,
    /// Emulation.
    Tcg,
    /// KVM, or nothing.
    Kvm,
}

/// One image and what to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The filesystem images: one, or several as they are arranged. They are opened read-only and seen
    /// at their own sizes.
    pub images: &'a [PathBuf],
    /// What the images are to each other.
    pub arrangement: Arrangement<'a>,
    /// Their type as `mount` names it: `ext4`, `erofs` or `squashfs`.
    pub filesystem: &'a str,
    /// How they become the root.
    pub profile: Profile,
    /// An ext4 image below the writable layer, in the profile that has one; else there is an empty one.
    pub upper: Option<&'a Path>,
    /// Whether the guest's kernel is to read the whole tree.
    pub walk: bool,
    /// Stacks of the image's directories, each as overlayfs names it in `lowerdir`: from the root of the
    /// image, top first. Where there are any, each is walked in the place of the image.
    pub stacks: &'a [Vec<u8>],
    /// Commands for the image's `/bin/sh -c`, run one after the other.
    pub commands: &'a [Vec<u8>],
    /// Where the serial line's text is written, whatever happens.
    pub transcript: &'a Path,
    /// How long all of it may take from the moment the guest is ready. A command is ended after half
    /// of it, so that one that hangs is told from a machine that does.
    pub time_limit: Duration,
}

/// What the images of a job are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement<'a> {
    /// There is one.
    Single,
    /// They are the layers of a stack, base layer first, even if there is only one.
    Stack,
    /// They are of several roots that have nothing to do with each other. Each is mounted, walked, has the
    /// commands run in it and is taken away again. The numbers say how many layers each root is made of: zero is
    /// an image that is no layer.
    Shelf(&'a [u32]),
}

/// What was seen of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The guest kernel's view of the tree as canonical mtree(5), if it was walked to its end.
    pub mtree: Option<Vec<u8>>,
    /// The paths that could not be read, in the order met; at most 10,000.
    pub read_errors: Vec<ReadError>,
    /// What was seen of each stack, or of each image of a shelf, in order, or why it could not be mounted.
    pub stacks: Vec<Result<Walked, String>>,
    /// What became of each command, in order; fewer than asked for where the boot failed before.
    pub commands: Vec<CommandResult>,
    /// Who wrote a file that was read back after a remount, or what went wrong with it; only of a root
    /// that can be written to.
    pub written: Option<Result<Writer, String>>,
    /// What went wrong as a whole; where this is set, the rest is what was seen until then.
    pub failure: Option<Failure>,
}

/// What the guest's kernel shows of a stack of directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The tree as canonical mtree(5).
    pub mtree: Vec<u8>,
    /// The paths that could not be read, in the order met.
    pub read_errors: Vec<ReadError>,
    /// What became of each command, on a shelf.
    pub commands: Vec<CommandResult>,
    /// As [`Boot::written`], on a shelf.
    pub written: Option<Result<Writer, String>>,
}

/// Who wrote a file into the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The image's own shell.
    Shell,
    /// The guest's init, as the shell did not.
    Init,
}

/// A path that the guest's kernel could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The path below the root, empty for the root itself; bytes as they are in the image.
    pub path: Vec<u8>,
    /// What the kernel said. 117 (`EUCLEAN`) is also what the walk says where the kernel says
    /// nothing but its answers contradict each other: a directory met under two paths, a name
    /// listed twice, a file of another length than its size, an entry of another type than listed.
    pub errno: i32,
}

/// Why a boot did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The image could not be mounted; with the guest kernel's reason.
    Mount(String),
    /// The disk of the writable layer could not be used; it is the harness's own.
    Upper(String),
    /// The guest's kernel panicked; the line it said.
    Panic(String),
    /// The time limit came; what the guest was doing.
    TimedOut(String),
    /// The machine stopped before init had finished; its last words.
    EndedEarly(String),
    /// Something was said on the port that our init does not say.
    Forged(String),
    /// Init itself could not do its work in this guest.
    Init(String),
}
