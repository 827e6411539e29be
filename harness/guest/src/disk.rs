//! The one disk, without its driver until there is an image to see.

use std::fs;
use std::io;
use std::path::Path;

/// The disk's node, once it is attached.
pub const NODE: &str = "/dev/vda";

const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_blk";

/// The disk as a device of the virtio bus.
pub struct Disk {
    device: String,
}

impl Disk {
    /// Takes the driver from the disk, which forgets all the kernel knows about it.
    pub fn release() -> io::Result<Disk> {
        for entry in fs::read_dir(DRIVER)? {
            let name = entry?.file_name();
            if let Some(device) = name.to_str().filter(|name| name.starts_with("virtio")) {
                fs::write(Path::new(DRIVER).join("unbind"), device)?;
                return Ok(Disk {
                    device: device.to_owned(),
                });
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "no virtio disk"))
    }

    /// Gives the driver back; the kernel reads the disk's size and makes its node.
    pub fn attach(&self) -> io::Result<()> {
        fs::write(Path::new(DRIVER).join("bind"), &self.device)
    }
}
