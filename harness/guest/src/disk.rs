//! The disks, without their driver until there is an image to see.

use std::fs;
use std::io;
use std::path::Path;

const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_blk";
const DEVICES: &str = "/sys/bus/virtio/devices";

/// A disk as a device of the virtio bus.
pub struct Disk {
    device: String,
}

impl Disk {
    /// Takes the driver from all disks, which forgets all the kernel knows about them. They are in the
    /// order in which the machine has them.
    pub fn release_all() -> io::Result<Vec<Disk>> {
        let mut devices = Vec::new();
        for entry in fs::read_dir(DRIVER)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("virtio"));
            if let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) {
                devices.push(number);
            }
        }
        devices.sort_unstable();
        let mut disks = Vec::new();
        for number in devices {
            let device = format!("virtio{number}");
            fs::write(Path::new(DRIVER).join("unbind"), &device)?;
            disks.push(Disk { device });
        }
        if disks.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no virtio disk"));
        }
        Ok(disks)
    }

    /// Gives the driver back; the kernel reads the disk's size and its partitions, and makes the node,
    /// whose path this is.
    pub fn attach(&self) -> io::Result<String> {
        fs::write(Path::new(DRIVER).join("bind"), &self.device)?;
        let block = Path::new(DEVICES).join(&self.device).join("block");
        match fs::read_dir(block)?.next() {
            Some(entry) => Ok(format!("/dev/{}", entry?.file_name().display())),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is no disk", self.device),
            )),
        }
    }
}
