//! The mounts that make up the root: the image itself, or layers, or either under a writable layer.

use std::ffi::{CStr, CString};
use std::fs::{create_dir, create_dir_all};
use std::io;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, utimensat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::chdir;

use crate::wire::Job;
use crate::{ROOT, at};

/// Where an image is mounted that is not itself the root.
const LOWER: &str = "/lower";

/// Where each layer is mounted, in a directory named by its number.
const LAYERS: &str = "/layers";

/// Where the disk of the writable layer is mounted.
const UPPER: &str = "/overlay";

/// How many partitions of a disk the kernel makes nodes for; the host puts as many layers on a disk.
const PARTITIONS_MAX: u32 = 255;

/// The kernel's limit for an attribute, and for a list of their names.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Why there is no root.
pub enum Trouble {
    /// The image's doing, for all that is known.
    Image(Errno, String),
    /// The disk of the writable layer.
    Upper(Errno, String),
    /// Our own.
    Init(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Init(error)
    }
}

/// Where that is on the disks of which a root is made.
pub struct Place {
    /// Its first partition; without, the first disk itself is the image.
    partition: Option<u32>,
    /// How many layers it has, a partition each; none where it is an image that is no layer.
    layers: u32,
    /// The directory for it on the disk of the writable layer.
    upper: String,
}

impl Place {
    /// That of the only root of a job.
    pub fn alone(job: &Job) -> Place {
        Place {
            partition: (job.partitions > 0).then_some(0),
            layers: job.partitions,
            upper: UPPER.to_owned(),
        }
    }

    /// Those of all roots of a shelf.
    pub fn of_shelf(job: &Job) -> Vec<Place> {
        let mut next = 0;
        let places = job.shelf.iter().enumerate().map(|(number, layers)| {
            let partition = next;
            next += layers.max(&1);
            Place {
                partition: Some(partition),
                layers: *layers,
                upper: format!("{UPPER}/{number}"),
            }
        });
        places.collect()
    }

    fn image(&self, disks: &[String]) -> io::Result<String> {
        match self.partition {
            None => disk(disks, 0).map(str::to_owned),
            Some(number) => partition(disks, number),
        }
    }
}

/// What is mounted.
pub struct Root {
    targets: Vec<String>,
}

impl Root {
    /// Mounts what is at a place as a job asks for, in the end at [`ROOT`]. `disks` are the nodes of all disks.
    /// Where that fails nothing stays mounted.
    pub fn mount(job: &Job, disks: &[String], place: &Place) -> Result<Root, Trouble> {
        let mut root = Root {
            targets: Vec::new(),
        };
        match root.mount_all(job, disks, place) {
            Ok(()) => Ok(root),
            Err(trouble) => {
                root.unmount()?;
                Err(trouble)
            }
        }
    }

    fn mount_all(&mut self, job: &Job, disks: &[String], place: &Place) -> Result<(), Trouble> {
        let read_only = MountFlags::RDONLY | MountFlags::NODEV;
        match job.profile.as_str() {
            "ro" => self.image(job, &place.image(disks)?, ROOT, read_only),
            "rw" => self.image(job, &place.image(disks)?, ROOT, MountFlags::NODEV),
            "layers" => {
                let lower = self.layers(job, disks, place)?;
                self.overlay(&lower, read_only)
            }
            "overlay" => {
                let lower = match place.layers {
                    0 => {
                        make(LOWER)?;
                        self.image(job, &place.image(disks)?, LOWER, read_only)?;
                        LOWER.to_owned()
                    }
                    _ => self.layers(job, disks, place)?,
                };
                let top = match place.layers {
                    0 => LOWER.to_owned(),
                    layers => format!("{LAYERS}/{}", layers - 1),
                };
                self.upper(disk(disks, disks.len() - 1)?, &top, &place.upper)?;
                let own = &place.upper;
                let options = format!("{lower},upperdir={own}/upper,workdir={own}/work");
                self.overlay(&options, MountFlags::NODEV)
            }
            other => {
                let sentence = format!("unknown profile `{other}`");
                Err(Trouble::Image(Errno::INVAL, sentence))
            }
        }
    }

    /// Takes all of it away again, so that the kernel forgets what it knows of the disks.
    pub fn unmount(self) -> io::Result<()> {
        chdir("/").map_err(at("enter", "/"))?;
        for target in self.targets.iter().rev() {
            unmount(target, UnmountFlags::empty()).map_err(at("unmount", target))?;
        }
        Ok(())
    }

    fn image(
        &mut self,
        job: &Job,
        node: &str,
        target: &str,
        flags: MountFlags,
    ) -> Result<(), Trouble> {
        let kind = job.filesystem.as_str();
        self.mounted(node, target, kind, flags, options_of(kind))
            .map_err(|errno| image_trouble(&format!("mount as {kind}"), errno))
    }

    /// Mounts every layer; what `lowerdir` is, top first, from [`LAYERS`], where this leaves us: options
    /// are of a page at most.
    fn layers(&mut self, job: &Job, disks: &[String], place: &Place) -> Result<String, Trouble> {
        let kind = job.filesystem.as_str();
        make(LAYERS)?;
        chdir(LAYERS).map_err(at("enter", LAYERS))?;
        for layer in 0..place.layers {
            let node = partition(disks, place.partition.unwrap_or(0) + layer)?;
            let target = format!("{LAYERS}/{layer}");
            make(&target)?;
            let flags = MountFlags::RDONLY | MountFlags::NODEV;
            self.mounted(&node, &target, kind, flags, options_of(kind))
                .map_err(|errno| image_trouble(&format!("mount layer {layer} as {kind}"), errno))?;
        }
        let mut names: Vec<String> = (0..place.layers)
            .rev()
            .map(|layer| layer.to_string())
            .collect();
        if names.len() == 1 {
            // The kernel stacks nothing less than two directories; an empty one below changes nothing.
            make(&format!("{LAYERS}/none"))?;
            names.push("none".to_owned());
        }
        Ok(names.join(":"))
    }

    /// The writable layer. Its own root is what a stack shows for the root, so unless it is there already
    /// it gets the attributes of `top`'s, as container engines do it.
    fn upper(&mut self, node: &str, top: &str, own: &str) -> Result<(), Trouble> {
        make(UPPER)?;
        let failed = |what: &str, errno: Errno| {
            let sentence = format!("{what} the writable layer: {errno}");
            Trouble::Upper(errno, sentence)
        };
        let flags = MountFlags::NODEV;
        self.mounted(node, UPPER, "ext4", flags, options_of("ext4"))
            .map_err(|errno| failed("mount the disk of", errno))?;
        let made = |name: &str| match create_dir(format!("{own}/{name}")) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        };
        create_dir_all(own)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .and_then(|()| made("work"))
            .and_then(|_| made("upper"))
            .and_then(|is_new| match is_new {
                true => copy_attributes(top, &format!("{own}/upper")),
                false => Ok(()),
            })
            .map_err(|errno| failed("make directories for", errno))
    }

    fn overlay(&mut self, lower: &str, flags: MountFlags) -> Result<(), Trouble> {
        let options = CString::new(format!("lowerdir={lower}")).expect("no zero in it");
        self.mounted("overlay", ROOT, "overlay", flags, Some(options.as_c_str()))
            .map_err(|errno| match errno {
                // What is only read needs no room.
                Errno::NOSPC | Errno::DQUOT => {
                    let sentence = format!("stack on the writable layer: {errno}");
                    Trouble::Upper(errno, sentence)
                }
                _ => image_trouble("stack by overlay", errno),
            })?;
        chdir("/").map_err(at("enter", "/"))?;
        Ok(())
    }

    fn mounted(
        &mut self,
        node: &str,
        target: &str,
        kind: &str,
        flags: MountFlags,
        options: Option<&CStr>,
    ) -> Result<(), Errno> {
        mount(node, target, kind, flags, options)?;
        self.targets.push(target.to_owned());
        Ok(())
    }
}

fn copy_attributes(from: &str, to: &str) -> Result<(), Errno> {
    let stat = rustix::fs::lstat(from)?;
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chown(to, Some(user), Some(group))?;
    rustix::fs::chmod(to, Mode::from_raw_mode(stat.st_mode))?;
    let mut buffer = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match rustix::fs::llistxattr(from, &mut buffer[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let names = buffer[..length].to_vec();
    for name in names.split(|byte| *byte == 0) {
        // What overlayfs itself has there says nothing of the root.
        if name.is_empty() || name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = rustix::fs::lgetxattr(from, name, &mut buffer[..])?;
        rustix::fs::lsetxattr(to, name, &buffer[..length], XattrFlags::empty())?;
    }
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec.cast_signed(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, to, &times, AtFlags::empty())
}

/// An image may ask for a panic on errors; its errors are to be reported instead.
fn options_of(kind: &str) -> Option<&'static CStr> {
    (kind == "ext4").then_some(c"errors=continue")
}

fn image_trouble(what: &str, errno: Errno) -> Trouble {
    let hint = match errno {
        Errno::NODEV => ": the guest kernel does not have this filesystem",
        _ => "",
    };
    Trouble::Image(errno, format!("{what}: {errno}{hint}"))
}

/// The node of the partition of this number, counted over all disks.
fn partition(disks: &[String], number: u32) -> io::Result<String> {
    let node = disk(disks, (number / PARTITIONS_MAX) as usize)?;
    Ok(format!("{node}{}", number % PARTITIONS_MAX + 1))
}

fn disk(disks: &[String], index: usize) -> io::Result<&str> {
    let found = disks.get(index).map(String::as_str);
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "a disk is missing"))
}

fn make(directory: &str) -> io::Result<()> {
    create_dir_all(directory)
}
