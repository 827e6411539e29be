//! The disks of a machine, as QEMU is told of them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::error::Error;
use super::qemu::path_of;
use super::{Arrangement, Job, gpt, scratch, upper};
use crate::runner::Profile;

/// The most disks that a machine has: two for the layers of a stack, one for the writable layer.
pub(super) const DRIVES_MAX: usize = 3;

/// The most layers that overlayfs stacks.
pub const LAYERS_MAX: usize = 500;

/// A disk.
pub(super) enum Drive {
    /// Nothing at all, in a guest that is to be saved.
    Nothing,
    /// A file that is never written to.
    Image(File),
    /// A file under one that takes what is written, and is never written to itself.
    Scratch {
        /// The file.
        image: File,
        /// What takes the writes, and has no name.
        over: File,
    },
}

impl Drive {
    /// Disks of nothing.
    pub(super) fn nothing(count: usize) -> Vec<Drive> {
        std::iter::repeat_with(|| Drive::Nothing)
            .take(count)
            .collect()
    }

    /// The arguments for the disk of this number.
    pub(super) fn arguments(&self, number: usize) -> Vec<[String; 2]> {
        let name = match number {
            0 => "disk".to_owned(),
            number => format!("disk{number}"),
        };
        let mut arguments: Vec<[String; 2]> = self
            .nodes(&name)
            .iter()
            .map(|node| ["-blockdev".to_owned(), node.to_string()])
            .collect();
        // A guest that fills our own disk is told so, and not stopped for ever.
        let device = format!("virtio-blk-pci,drive={name},werror=report");
        arguments.push(["-device".to_owned(), device]);
        arguments
    }

    fn nodes(&self, name: &str) -> Vec<Value> {
        let file = |node: &str, file: &File, read_only: bool| {
            json!({
                "driver": "file", "node-name": node, "filename": path_of(file),
                "read-only": read_only
            })
        };
        match self {
            Drive::Nothing => {
                let nothing =
                    json!({"driver": "null-co", "node-name": name, "size": 512, "read-only": true});
                vec![nothing]
            }
            Drive::Image(image) => vec![
                file(&format!("{name}-file"), image, true),
                json!({
                    "driver": "raw", "node-name": name, "file": format!("{name}-file"),
                    "read-only": true
                }),
            ],
            Drive::Scratch { image, over } => vec![
                file(&format!("{name}-file"), image, true),
                json!({
                    "driver": "raw", "node-name": format!("{name}-raw"),
                    "file": format!("{name}-file"), "read-only": true
                }),
                file(&format!("{name}-over"), over, false),
                json!({
                    "driver": "qcow2", "node-name": name, "file": format!("{name}-over"),
                    "backing": format!("{name}-raw")
                }),
            ],
        }
    }
}

/// How many disks a job needs.
pub(super) fn count(job: &Job<'_>) -> usize {
    let images = match is_partitioned(job) {
        true => job.images.len().div_ceil(gpt::PARTITIONS_MAX),
        false => 1,
    };
    images + usize::from(job.profile == Profile::Overlay)
}

/// How many partitions of a job's disks are images.
pub(super) fn partitions(job: &Job<'_>) -> u32 {
    match is_partitioned(job) {
        true => job.images.len() as u32,
        false => 0,
    }
}

/// Of several images each is in a partition; an image that is alone is a disk by itself.
fn is_partitioned(job: &Job<'_>) -> bool {
    job.arrangement != Arrangement::Single || job.profile == Profile::Layers
}

/// The disks of a job.
///
/// # Errors
///
/// Of reading the images and of writing what goes with them; a number of images that no machine takes.
pub(super) fn drives(job: &Job<'_>) -> Result<Vec<Drive>, Error> {
    let mut drives = Vec::new();
    if is_partitioned(job) {
        if job.images.is_empty() || job.images.len() > LAYERS_MAX {
            return Err(Error::guest(format!(
                "a machine takes 1 to {LAYERS_MAX} images, not {}",
                job.images.len()
            )));
        }
        for images in job.images.chunks(gpt::PARTITIONS_MAX) {
            let disk = gpt::disk(images)?;
            drives.push(match job.profile {
                Profile::Rw => over(disk)?,
                _ => Drive::Image(disk),
            });
        }
    } else {
        let [image] = job.images else {
            let count = job.images.len();
            return Err(Error::guest(format!("one image is booted, not {count}")));
        };
        let image = open(image)?;
        drives.push(match job.profile {
            Profile::Rw => over(image)?,
            _ => Drive::Image(image),
        });
    }
    if job.profile == Profile::Overlay {
        let lowest = match job.upper {
            Some(path) => open(path)?,
            None => upper::empty_upper()?,
        };
        drives.push(over(lowest)?);
    }
    Ok(drives)
}

fn over(image: File) -> Result<Drive, Error> {
    let length = image
        .metadata()
        .map_err(Error::io("look at the image"))?
        .len();
    let mut over = temporary()?;
    over.write_all(&scratch::header(length))
        .map_err(Error::io("write a temporary file"))?;
    Ok(Drive::Scratch { image, over })
}

/// A file that nobody finds, and that is gone with whoever has it open.
pub(super) fn temporary() -> Result<File, Error> {
    tempfile::tempfile().map_err(Error::io("make a temporary file"))
}

pub(super) fn open(image: &Path) -> Result<File, Error> {
    let operation = format!("open the image {}", image.display());
    File::open(image).map_err(Error::io(operation))
}

/// A number that nobody can know beforehand.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::io("read /dev/urandom"))?;
    Ok(bytes)
}
