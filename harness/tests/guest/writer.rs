//! A `/bin/sh` that can do one thing more than the corpus's: when it is told to write a word to a file,
//! it does what `/behave` says. The tests compile it for the guest.

use std::fs;
use std::os::unix::fs::symlink;

fn main() {
    let command = std::env::args().nth(2).unwrap_or_default();
    let words = command.strip_prefix("echo ").unwrap_or_default();
    let Some((word, path)) = words.split_once(" > ") else {
        println!("{words}");
        return;
    };
    let behaviour = fs::read_to_string("/behave").unwrap_or_default();
    let done = match behaviour.trim() {
        "write" => fs::write(path, format!("{word}\n")),
        "other" => fs::write(path, "something else\n"),
        "link" => symlink("/etc/name", path),
        "absolute" => symlink("/proc/sys/kernel/hostname", path),
        "directory" => fs::create_dir(path).and_then(|()| fs::write(format!("{path}/x"), "x")),
        _ => Ok(()),
    };
    done.unwrap();
}
