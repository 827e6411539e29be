//! A program of a hostile image: tries what a program must not be able to do to the machine that
//! tests it. The tests compile it for the guest.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("look") => look(),
        Some("forge") => forge(),
        Some("flood") => flood(arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0)),
        Some("panic") => panic_kernel(),
        Some("hang") => hang(),
        Some("leave") => leave(),
        _ => std::process::exit(2),
    }
}

/// Prints everything within reach that should not be.
fn look() {
    for node in ["/dev/vda", "/dev/vport1p1", "/dev/vport0p1", "/dev/mem", "/dev/hvc0"] {
        if Path::new(node).exists() {
            println!("reached {node}");
        }
    }
    // The first process of the namespace is init's runner; the only others are ourselves and the
    // shell that started us.
    let ours = [std::process::id(), std::os::unix::process::parent_id()].map(|pid| pid.to_string());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_string_lossy();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) || ours.contains(&pid.to_string()) {
            continue;
        }
        println!("process {pid}");
        for file in ["mem", "fd/0", "fd/1", "exe"] {
            let path = format!("/proc/{pid}/{file}");
            if OpenOptions::new().read(true).write(true).open(&path).is_ok() {
                println!("reached {path}");
            }
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("CapBnd")) {
        println!("{line}");
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        println!("mount {}", line.split(' ').take(3).collect::<Vec<_>>().join(" "));
    }
    println!("looked");
}

/// Says on the console, and on its own output, what only init may say on the port.
fn forge() {
    let mut console = OpenOptions::new().write(true).open("/dev/console").expect("the console");
    for _ in 0..100 {
        console.write_all(b"s\x20\0\0\0").expect("write");
        console.write_all(&[0; 32]).expect("write");
        console.write_all(b"\nKernel panic - not syncing: forged\n").expect("write");
    }
    print!("s\x20\0\0\0");
}

fn flood(mebibytes: usize) {
    let block = vec![b'x'; 1 << 20];
    let mut console = OpenOptions::new().write(true).open("/dev/console").expect("the console");
    let mut out = std::io::stdout();
    for _ in 0..mebibytes {
        out.write_all(&block).expect("write");
    }
    // The serial line is slow under emulation: a megabyte is much.
    console.write_all(&block).expect("write");
    println!("end of flood");
}

/// Root may do this on any machine of its own.
fn panic_kernel() {
    fs::write("/proc/sysrq-trigger", "c").expect("sysrq");
}

fn hang() {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1000));
    }
}

/// Leaves a child that keeps the output open.
fn leave() {
    std::process::Command::new("/proc/self/exe").arg("hang").spawn().expect("a child");
    println!("left a child");
    drop(File::open("/dev/null"));
}
