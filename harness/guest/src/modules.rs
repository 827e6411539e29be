//! Loading the kernel modules that the initramfs carries.

use std::fs::{File, read_to_string};
use std::io;

use rustix::io::Errno;
use rustix::system::finit_module;

use crate::at;

/// The list of modules, one path per line, each after those it needs. The host writes it.
const LIST: &str = "/modules/order";

/// Loads every module of the list.
pub fn load() -> io::Result<()> {
    for path in read_to_string(LIST)?.lines() {
        match finit_module(File::open(path)?, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(at("load module", path)(errno)),
        }
    }
    Ok(())
}
