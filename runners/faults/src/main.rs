//! `faults`: one mistake at the terminal.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use faults::{Answer, Conversion, Fault, Surroundings, convert};

const USAGE: &str =
    "usage: faults NAME LAYOUT TAG OUT, where NAME is a fault or `none`; faults list";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["list"] => list().map_err(|error| format!("failed to print: {error}")),
        [name, layout, tag, out] => run(name, layout, tag, out),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            // Nothing is left to do where even that cannot be said.
            let _ = writeln!(std::io::stderr(), "faults: {what}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for fault in Fault::ALL {
        writeln!(out, "{:34} {}", fault.name(), fault.wrong())?;
    }
    Ok(())
}

fn run(name: &str, layout: &str, tag: &str, out: &str) -> Result<(), String> {
    let fault = match name {
        "none" => None,
        name => {
            let known = Fault::ALL.iter().find(|fault| fault.name() == name);
            Some(*known.ok_or(format!("no fault `{name}`; `faults list` prints all"))?)
        }
    };
    let surroundings = Surroundings::default();
    let Conversion { answer, outside } = convert(Path::new(layout), tag, fault, surroundings);
    if !outside.is_empty() {
        let paths = outside.join(", ");
        // Told, and not done: see the library's documentation.
        let _ = writeln!(
            std::io::stderr(),
            "faults: would have changed on the host: {paths}"
        );
    }
    match answer {
        Answer::Archive(archive) => std::fs::write(out, archive)
            .map_err(|error| format!("failed to write `{out}`: {error}")),
        Answer::Nothing => Ok(()),
        Answer::Rejected(refusal) => Err(refusal.to_string()),
    }
}
