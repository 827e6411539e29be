//! What the QEMU of this host is and can do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::error::Missing;
use super::qemu::Qemu;

/// The oldest QEMU whose options we use.
const OLDEST: (u32, u32) = (7, 2);

/// How long QEMU may take to tell something about itself.
const ANSWER_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Finds out about `program`, or about `qemu-system-x86_64` on the `PATH`.
pub(super) fn qemu(program: Option<&Path>) -> Result<Qemu, Missing> {
    let hint = "install qemu-system-x86 7.2 or newer, or run `cargo run -p ci -- setup`";
    let missing = |what: String, tried: String| Missing {
        what,
        tried: vec![tried],
        hint: hint.to_owned(),
    };
    let name = "qemu-system-x86_64";
    let program = match program {
        Some(program) => program.to_path_buf(),
        None => in_path(name)
            .ok_or_else(|| missing("no QEMU".to_owned(), format!("{name} on the PATH")))?,
    };
    let shown = program.display().to_string();
    let unusable = |why: &str| missing(format!("no usable QEMU: {shown} {why}"), shown.clone());
    let version = version(&program).ok_or_else(|| unusable("does not tell its version"))?;
    let number = version_number(&version).ok_or_else(|| unusable("does not tell its version"))?;
    if number < OLDEST {
        return Err(unusable(&format!("is too old ({version})")));
    }
    let setpriv = in_path("setpriv").filter(|setpriv| can_tie(setpriv));
    Ok(Qemu {
        sandbox: has_sandbox(&program),
        version,
        version_number: number,
        accelerator: "tcg",
        setpriv,
        program,
    })
}

fn version(program: &Path) -> Option<String> {
    let output = ask(program, &["--version"])?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .next()
        .filter(|_| output.status.success())
        .map(str::to_owned)
}

/// `QEMU emulator version 7.2.22 (Debian …)` is 7.2.
fn version_number(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line
        .split_once("version ")?
        .1
        .split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Not every QEMU is built with the seccomp sandbox.
fn has_sandbox(program: &Path) -> bool {
    ask(program, &["-sandbox", "on", "-machine", "help"])
        .is_some_and(|output| output.status.success())
}

/// BusyBox has a `setpriv` too, which may not know the option.
fn can_tie(setpriv: &Path) -> bool {
    ask(setpriv, &["--pdeathsig", "KILL", "--", "true"])
        .is_some_and(|output| output.status.success())
}

/// Runs a program that should answer at once; `None` if it cannot be run or does not.
fn ask(program: &Path, arguments: &[&str]) -> Option<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let read =
            std::io::Read::read_to_end(&mut std::io::Read::take(&mut stdout, 1 << 20), &mut answer);
        let _ = sender.send(read.map(|_| answer));
    });
    let answer = receiver.recv_timeout(ANSWER_TIME_LIMIT);
    if answer.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    Some(Output {
        status,
        stdout: answer.ok()?.ok()?,
        stderr: Vec::new(),
    })
}

/// A program on the `PATH`.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_are_read_from_the_line_that_qemu_prints() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)";
        assert_eq!(version_number(debian), Some((7, 2)));
        assert_eq!(
            version_number("QEMU emulator version 10.0.2"),
            Some((10, 0))
        );
        assert_eq!(version_number("true (GNU coreutils) 9.1"), None);
        assert_eq!(version_number("version "), None);
    }
}
