//! Directories of the image, stacked by overlayfs: what the kernel itself makes of layers.

use std::ffi::CString;
use std::fs::create_dir_all;
use std::io;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::chdir;

use crate::port::Conversation;
use crate::wire::{Kind, encode_error};
use crate::{ROOT, at, open, walk};

/// Where each stack is mounted, one after the other.
const STACK: &str = "/stack";

/// Mounts each stack, walks it and takes it away again. One that cannot be mounted is told as such.
pub fn walk_each(stacks: &[Vec<u8>], to: &mut Conversation) -> io::Result<()> {
    create_dir_all(STACK)?;
    for stack in stacks {
        // Options are of a page at most, so directories are named from where they stand; and a walk
        // leaves the current directory inside what is to be taken away.
        chdir(ROOT).map_err(at("enter", ROOT))?;
        match mount_stack(stack) {
            Ok(()) => {
                walk::walk(open(STACK)?, to)?;
                chdir("/").map_err(at("enter", "/"))?;
                unmount(STACK, UnmountFlags::empty()).map_err(at("unmount", STACK))?;
            }
            Err(errno) => {
                let sentence = format!("mount as overlay: {errno}");
                let payload = encode_error(errno.raw_os_error(), sentence.as_bytes());
                to.send(Kind::StackFailed, &payload)?;
            }
        }
    }
    chdir("/").map_err(at("enter", "/"))
}

fn mount_stack(stack: &[u8]) -> Result<(), Errno> {
    let options = CString::new([b"lowerdir=", stack].concat()).map_err(|_| Errno::INVAL)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV;
    mount("overlay", STACK, "overlay", flags, Some(options.as_c_str()))
}
