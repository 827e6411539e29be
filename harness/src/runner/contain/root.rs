//! Builds the root directory of a container out of the host's, in a mount namespace of its own.
//!
//! The directory of the output serves as the place to build at: it exists, it is this run's alone, and
//! in this namespace nothing else needs it by its path. So no run needs a path of its own
//! on the host, and when the last process of the namespace dies nothing is left.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use rustix::fs::{Mode, OFlags, XattrFlags};

use super::escape::Overlay;
use super::mounts::{self, Mount, bind, escape, seal};
use super::wire::{Context, Plan, Protection, Trouble};
use super::{Powers, Way, tree, victim};

/// Directories that the container has of its own, whatever the host has there.
const OWN: [&str; 8] = [
    "dev",
    "in",
    "out",
    "proc",
    "run",
    "sys",
    "tmp",
    victim::NAME,
];

/// The devices every program may expect.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// Directories of the host below which programs may lie on file systems of their own.
const HOMES: [&str; 14] = [
    "bin", "etc", "gnu", "home", "lib", "lib32", "lib64", "libx32", "nix", "opt", "root", "sbin",
    "srv", "usr",
];

/// File systems that hold no programs.
const PSEUDO: [&str; 12] = [
    "autofs",
    "cgroup",
    "cgroup2",
    "devpts",
    "devtmpfs",
    "fuse.portal",
    "overlay",
    "proc",
    "ramfs",
    "squashfs",
    "sysfs",
    "tmpfs",
];

/// A root directory that is ready but for `/proc`.
pub(super) struct Built {
    /// Where it is mounted.
    pub(super) root: PathBuf,
    pub(super) overlays: Vec<Overlay>,
    /// Directories in which nothing may stay, with their inside paths.
    pub(super) temporaries: Vec<(PathBuf, OwnedFd)>,
    pub(super) missing: Vec<Protection>,
    /// The small disk of the output, if there is one.
    pub(super) disk: Option<OwnedFd>,
}

/// Builds the root directory. The mount namespace must be new.
pub(super) fn build(plan: &Plan) -> Result<Built, Trouble> {
    let sources = Sources::open(plan)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .context("make private", "/")?;
    let table = mounts::read().context("read", "/proc/self/mountinfo")?;
    let base = Base::make(plan)?;
    let mut site = Site {
        plan,
        sources,
        table,
        binds: Vec::new(),
        pieces: Vec::new(),
    };
    site.skeleton()
        .context("make a skeleton in", &plan.out_parent)?;
    if plan.way == Way::User && plan.lower.is_none() {
        site.cover(Path::new("/"), 0);
    }
    let mut missing = Vec::new();
    let overlays = site.overlays(&mut missing)?;
    site.binds()?;
    let disk = site.output()?;
    site.system(&mut missing);
    Ok(Built {
        root: plan.out_parent.join("root"),
        overlays,
        temporaries: base.temporaries()?,
        missing,
        disk,
    })
}

/// Handles of all that is mounted, taken while the host's paths are still what they were.
struct Sources {
    out: OwnedFd,
    lower: Option<OwnedFd>,
    inputs: Vec<(String, OwnedFd, bool)>,
}

impl Sources {
    fn open(plan: &Plan) -> Result<Self, Trouble> {
        let mut inputs = Vec::new();
        for input in &plan.inputs {
            let handle = handle(&input.host)?;
            let stat = rustix::fs::fstat(&handle).context("look at", &input.host)?;
            inputs.push((input.name.clone(), handle, tree::is_dir(&stat)));
        }
        let lower = plan.lower.as_deref().map(handle).transpose()?;
        Ok(Self {
            out: handle(&plan.out_parent)?,
            lower,
            inputs,
        })
    }
}

fn handle(path: &Path) -> Result<OwnedFd, Trouble> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context("open", path)
}

fn directory(path: impl AsRef<Path>) -> Result<OwnedFd, Trouble> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path.as_ref(), flags, Mode::empty()).context("open", path.as_ref())
}

/// The tmpfs that everything is built on, and the current directory from here on.
struct Base;

impl Base {
    fn make(plan: &Plan) -> Result<Self, Trouble> {
        // Half the memory, so that whoever fills it is told that the disk is full rather than killed.
        let bytes = plan.limits.output_bytes.min(plan.limits.memory / 2);
        let options = format!(
            "mode=0755,size={bytes},nr_inodes={}",
            (bytes / 1024).max(4096)
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let at = &plan.out_parent;
        mount(
            Some("harness"),
            at,
            Some("tmpfs"),
            flags,
            Some(options.as_str()),
        )
        .context("mount a tmpfs at", at)?;
        std::env::set_current_dir(at).context("enter", at)?;
        for (name, mode) in [
            ("skel", 0o755),
            ("upper", 0o755),
            ("work", 0o755),
            ("root", 0o755),
            ("lower", 0o755),
            ("tmp", 0o1777),
            ("shm", 0o1777),
        ] {
            fs::create_dir(name).context("make", name)?;
            fs::set_permissions(name, fs::Permissions::from_mode(mode)).context("change", name)?;
        }
        Ok(Self)
    }

    fn temporaries(&self) -> Result<Vec<(PathBuf, OwnedFd)>, Trouble> {
        Ok(vec![
            ("/dev/shm".into(), directory("shm")?),
            ("/tmp".into(), directory("tmp")?),
        ])
    }
}

/// A root directory under construction.
struct Site<'a> {
    plan: &'a Plan,
    sources: Sources,
    /// The mounts of the host.
    table: Vec<Mount>,
    /// Files of the host to show read-only, by their path without the first slash.
    binds: Vec<PathBuf>,
    /// Directories of the host that get an overlay of their own, likewise.
    pieces: Vec<PathBuf>,
}

impl Site<'_> {
    /// Makes the topmost lower layer: mount points, and the victim.
    fn skeleton(&self) -> std::io::Result<()> {
        for name in OWN.iter().filter(|name| **name != victim::NAME) {
            fs::create_dir(Path::new("skel").join(name))?;
        }
        victim::plant(&Path::new("skel").join(victim::NAME))?;
        for (name, _, is_dir) in &self.sources.inputs {
            let point = Path::new("skel/in").join(name);
            if *is_dir {
                fs::create_dir(point)?;
            } else {
                fs::write(point, "")?;
            }
        }
        for device in self.devices() {
            fs::write(Path::new("skel/dev").join(device), "")?;
        }
        fs::create_dir("skel/dev/shm")?;
        symlink("/proc/self/fd", "skel/dev/fd")?;
        for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
            symlink(
                format!("/proc/self/fd/{number}"),
                Path::new("skel/dev").join(name),
            )?;
        }
        let namespace = if self.plan.way == Way::Root {
            "trusted"
        } else {
            "user"
        };
        for name in OWN {
            let key = format!("{namespace}.overlay.opaque");
            // Old kernels have no such attributes on tmpfs for users; then the host's entries show
            // through, which does not matter, because something is mounted on nearly all of them.
            let _ =
                rustix::fs::setxattr(Path::new("skel").join(name), key, b"y", XattrFlags::empty());
        }
        Ok(())
    }

    fn devices(&self) -> Vec<String> {
        let mut names: Vec<_> = DEVICES.iter().map(|&name| name.to_owned()).collect();
        if self.plan.powers.can_mount() {
            names.push("fuse".to_owned());
        }
        if self.plan.powers == Powers::Loop {
            let all = fs::read_dir("/dev").into_iter().flatten().flatten();
            let all = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.extend(all.filter(|name| name == "loop-control" || is_numbered(name, "loop")));
        }
        names.retain(|name| Path::new("/dev").join(name).exists());
        names
    }

    /// Plans an overlay for each directory of the host. A user namespace may not clone a mount with
    /// others below it, because those could hide something, so directories with mounts below
    /// are taken apart.
    fn cover(&mut self, dir: &Path, depth: usize) {
        let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let own = depth == 0 && OWN.iter().any(|own| name == *own);
            let Some(kind) = entry.file_type().ok().filter(|_| !own) else {
                continue;
            };
            let path = entry.path();
            let relative = path.strip_prefix("/").unwrap_or(&path).to_owned();
            let point = Path::new("skel").join(&relative);
            if kind.is_symlink() {
                let _ = fs::read_link(&path).and_then(|target| symlink(target, &point));
            } else if kind.is_file() && depth > 0 && fs::write(&point, "").is_ok() {
                self.binds.push(relative);
            } else if kind.is_dir() && fs::create_dir(&point).is_ok() {
                let mode = entry
                    .metadata()
                    .map_or(0o755, |data| data.permissions().mode());
                let _ = fs::set_permissions(&point, fs::Permissions::from_mode(mode | 0o700));
                if fs::read_dir(&path).is_err() {
                    // Nothing in it is for us to see, so the empty one of the skeleton will do.
                } else if !self.has_mount_below(&path) {
                    self.pieces.push(relative);
                } else if depth < 4 {
                    self.cover(&path, depth + 1);
                }
            }
        }
    }

    fn has_mount_below(&self, dir: &Path) -> bool {
        self.table
            .iter()
            .any(|mount| mount.point != dir && mount.point.starts_with(dir))
    }

    /// Mounts the overlay of the root directory and those of its pieces.
    fn overlays(&mut self, missing: &mut Vec<Protection>) -> Result<Vec<Overlay>, Trouble> {
        let mut overlays = vec![self.overlay(Path::new(""), &self.root_layers()?, 0)?];
        if self.plan.way == Way::Root && self.plan.lower.is_none() {
            self.pieces = self.submounts();
        }
        for (number, piece) in self.pieces.iter().enumerate() {
            let layers = [Path::new("/").join(piece)];
            match self.overlay(piece, &layers, number + 1) {
                Ok(overlay) => overlays.push(overlay),
                // What cannot be overlaid can still be shown, though writes to it go unseen.
                Err(_) if self.show(piece).is_ok() => missing.push(Protection::Overlay),
                Err(_) => {}
            }
        }
        Ok(overlays)
    }

    fn root_layers(&self) -> Result<Vec<PathBuf>, Trouble> {
        let skeleton = PathBuf::from("skel");
        let source = match (&self.sources.lower, self.plan.way) {
            (Some(lower), _) => tree::magic(lower.as_fd()).into(),
            (None, Way::Root) => PathBuf::from("/"),
            (None, _) => return Ok(vec![skeleton]),
        };
        // Bound without what is mounted below, so that comparing with it sees the same.
        mount(
            Some(&source),
            "lower",
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .context("bind the root directory", &source)?;
        Ok(vec![skeleton, "lower".into()])
    }

    fn overlay(&self, at: &Path, layers: &[PathBuf], number: usize) -> Result<Overlay, Trouble> {
        let point = Path::new("root").join(at);
        let (upper, work) = (format!("upper/{number}"), format!("work/{number}"));
        fs::create_dir(&upper).context("make", &upper)?;
        fs::create_dir(&work).context("make", &work)?;
        let top = fs::metadata(&layers[0]).context("look at", &layers[0])?;
        fs::set_permissions(&upper, top.permissions()).context("change", &upper)?;
        let lowers = layers
            .iter()
            .map(directory)
            .collect::<Result<Vec<_>, _>>()?;
        let mut options = b"lowerdir=".to_vec();
        options.extend(
            layers
                .iter()
                .map(|layer| escape(layer))
                .collect::<Vec<_>>()
                .join(&b':'),
        );
        options.extend(format!(",upperdir={upper},workdir={work}").bytes());
        options.extend(match self.plan.way {
            Way::Root => &b",redirect_dir=nofollow,index=off,metacopy=off"[..],
            _ => b",userxattr",
        });
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        mount(
            Some("overlay"),
            &point,
            Some("overlay"),
            flags,
            Some(&options[..]),
        )
        .context("mount an overlay at", &point)?;
        Overlay::new(Path::new("/").join(at), directory(&upper)?, lowers).context("look at", upper)
    }

    /// The file systems mounted below the host's root directory on which programs may lie.
    fn submounts(&self) -> Vec<PathBuf> {
        let mut points = BTreeSet::new();
        for mount in &self.table {
            let relative = mount.point.strip_prefix("/").unwrap_or(&mount.point);
            let home = relative
                .iter()
                .next()
                .is_some_and(|top| HOMES.iter().any(|home| top == *home));
            if home
                && !PSEUDO.contains(&mount.kind.as_str())
                && Path::new("root").join(relative).is_dir()
                && mount.point.is_dir()
            {
                points.insert(relative.to_owned());
            }
        }
        points.into_iter().collect()
    }

    /// Shows a directory or file of the host read-only.
    fn show(&self, relative: &Path) -> Result<(), Trouble> {
        bind(
            &Path::new("/").join(relative),
            &Path::new("root").join(relative),
            MsFlags::MS_RDONLY,
        )
    }

    /// Mounts everything that is the container's own on the overlay.
    fn binds(&self) -> Result<(), Trouble> {
        for relative in &self.binds {
            // A file that cannot be shown is one the converter does not see.
            let _ = self.show(relative);
        }
        let sealed = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        for (name, handle, _) in &self.sources.inputs {
            bind(
                tree::magic(handle.as_fd()).as_ref(),
                &Path::new("root/in").join(name),
                sealed,
            )?;
        }
        for device in self.devices() {
            let host = Path::new("/dev").join(&device);
            bind(
                &host,
                &Path::new("root/dev").join(device),
                MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
            )?;
        }
        let open = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        bind(Path::new("shm"), Path::new("root/dev/shm"), open)?;
        bind(Path::new("tmp"), Path::new("root/tmp"), open)
    }

    /// Mounts the directory of the output, or the small disk that takes its place.
    fn output(&self) -> Result<Option<OwnedFd>, Trouble> {
        let (point, open) = (
            Path::new("root/out"),
            MsFlags::MS_NODEV | MsFlags::MS_NOSUID,
        );
        if let Some(bytes) = self.plan.faults.disk_bytes {
            let options = format!("mode=0755,size={bytes}");
            mount(
                Some("disk"),
                point,
                Some("tmpfs"),
                open,
                Some(options.as_str()),
            )
            .context("mount a small disk at", point)?;
            return directory(point).map(Some);
        }
        // Alone, because the very tmpfs that all this is built on is mounted below it.
        let out = tree::magic(self.sources.out.as_fd());
        mount(
            Some(out.as_str()),
            point,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .context("bind the output to", point)?;
        seal(point, open)?;
        Ok(None)
    }

    /// A host that hides parts of its own `/sys` does not let us mount another; then there is none.
    fn system(&self, missing: &mut Vec<Protection>) {
        let flags =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        if mount(
            Some("sysfs"),
            "root/sys",
            Some("sysfs"),
            flags,
            None::<&str>,
        )
        .is_err()
        {
            missing.push(Protection::Sysfs);
        }
    }
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}
