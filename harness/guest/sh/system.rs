//! All that needs `unsafe`: the entry point, the system calls, and the bytes of the arguments.

use core::arch::{asm, global_asm};

use crate::{Text, shell};

/// An open file.
#[derive(Clone, Copy)]
pub struct Fd(usize);

pub const STDIN: Fd = Fd(0);
pub const STDOUT: Fd = Fd(1);
pub const STDERR: Fd = Fd(2);

/// ENOENT and ENOTDIR.
pub const NO_ENTRY: i32 = 2;
pub const NO_DIRECTORY: i32 = 20;

// Numbers from arch/x86/entry/syscalls/syscall_64.tbl.
const READ: usize = 0;
const WRITE: usize = 1;
const OPEN: usize = 2;
const CLOSE: usize = 3;
const ACCESS: usize = 21;
const FORK: usize = 57;
const EXECVE: usize = 59;
const WAIT4: usize = 61;
const EXIT_GROUP: usize = 231;

/// O_RDONLY | O_CLOEXEC.
const OPEN_FLAGS: usize = 0o2_000_000;

// The kernel leaves argc, argv, NULL, envp, NULL on the stack.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: `stack` is what the kernel left: argc, then argc pointers to NUL-terminated strings
    // that are ours to write to, a null, and the environment.
    let (arguments, environment) = unsafe {
        let count = *stack;
        let first = stack.add(1).cast::<Text>();
        (
            core::slice::from_raw_parts(first, count),
            first.add(count + 1),
        )
    };
    exit(shell(arguments, environment))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(134)
}

pub fn exit(status: u8) -> ! {
    call(EXIT_GROUP, [usize::from(status), 0, 0, 0]).ok();
    loop {
        core::hint::spin_loop();
    }
}

/// Writes all of it; false where that fails.
pub fn write(to: Fd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match call(WRITE, [to.0, bytes.as_ptr() as usize, bytes.len(), 0]) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(_) => return false,
        }
    }
    true
}

pub fn read(from: Fd, buffer: &mut [u8]) -> Result<usize, i32> {
    call(
        READ,
        [from.0, buffer.as_mut_ptr() as usize, buffer.len(), 0],
    )
}

pub fn open(path: Text) -> Result<Fd, i32> {
    call(OPEN, [path as usize, OPEN_FLAGS, 0, 0]).map(Fd)
}

pub fn close(file: Fd) {
    call(CLOSE, [file.0, 0, 0, 0]).ok();
}

/// As `test -e`: follows links.
pub fn entry_exists(path: Text) -> bool {
    call(ACCESS, [path as usize, 0, 0, 0]).is_ok()
}

/// The child's number, or `None` in the child.
pub fn fork() -> Result<Option<usize>, i32> {
    call(FORK, [0; 4]).map(|child| Some(child).filter(|child| *child != 0))
}

/// Only returns where it failed, with the errno. `words` is part of a longer array that has a null
/// after them.
pub fn execute(path: Text, words: &[Text], environment: *const Text) -> i32 {
    match call(
        EXECVE,
        [
            path as usize,
            words.as_ptr() as usize,
            environment as usize,
            0,
        ],
    ) {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

/// The exit status of a child, as a shell gives it: 128 and the signal for one that was killed.
pub fn wait(child: usize) -> u8 {
    let mut status = 0u32;
    match call(WAIT4, [child, &raw mut status as usize, 0, 0]) {
        Ok(_) if status & 0x7f == 0 => (status >> 8) as u8,
        Ok(_) => 128 | (status & 0x7f) as u8,
        Err(_) => 1,
    }
}

/// The byte at a place in the arguments.
pub fn get(at: Text) -> u8 {
    // SAFETY: the cursor never passes the NUL that ends its string.
    unsafe { *at }
}

/// Replaces a byte of the arguments.
pub fn set(at: Text, byte: u8) {
    // SAFETY: as for `get`; the arguments are on our own stack.
    unsafe { *at = byte }
}

/// The next place.
pub fn after(at: Text) -> Text {
    at.wrapping_add(1)
}

/// The bytes of a string before its NUL.
pub fn until_nul<'a>(text: Text) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: all strings here end with a NUL, and nothing writes to a word once it is made.
    unsafe {
        while core::ptr::read_volatile(text.add(length)) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text, length)
    }
}

fn call(number: usize, [a, b, c, d]: [usize; 4]) -> Result<usize, i32> {
    let result: isize;
    // SAFETY: the callers above give each call what it asks for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if result < 0 {
        Err(-result as i32)
    } else {
        Ok(result as usize)
    }
}

/// The compiler may ask for these by name; there is no libc to have them.
mod memory {
    use core::arch::asm;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        // SAFETY: the caller's promise: both are valid for `count` bytes.
        unsafe {
            asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _);
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
        // SAFETY: the caller's promise: `to` is valid for `count` bytes.
        unsafe {
            asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8);
        }
        to
    }
}
