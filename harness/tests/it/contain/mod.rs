//! Hostile converters, one shell line each, and what is seen of them.
//!
//! Each runs in every way that the host allows. What it does not allow is printed as not checked;
//! with `contain` in `HARNESS_REQUIRE` a host without containment fails these tests.

mod clean;
mod escape;
mod fault;
mod host;
mod limit;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use harness::check::Reason;
use harness::runner::contain::{
    Command, Ending, Error, Faults, Limits, Powers, Ran, Surroundings, Way, remove_tree, run_with,
    try_way,
};

use crate::require;

const HELPER: &str = env!("CARGO_BIN_EXE_harness");
const MEBIBYTE: u64 = 1 << 20;

/// One run in a directory of its own.
struct Trial {
    way: Way,
    dir: Dir,
    limits: Limits,
    surroundings: Surroundings,
    powers: Powers,
    faults: Faults,
}

impl Trial {
    fn new(way: Way) -> Self {
        let dir = Dir(tempfile::tempdir().unwrap());
        std::fs::create_dir(dir.path().join("layout")).unwrap();
        std::fs::write(dir.path().join("layout/index.json"), "{}").unwrap();
        std::fs::create_dir(dir.path().join("place")).unwrap();
        let limits = Limits {
            time: Duration::from_secs(60),
            ..Limits::default()
        };
        Self {
            way,
            dir,
            limits,
            surroundings: Surroundings::default(),
            powers: Powers::Unpack,
            faults: Faults::default(),
        }
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("place")
    }

    fn run(&self, argv: &[&str]) -> Result<Ran, Error> {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        run_with(
            self.way,
            &Command {
                argv: &argv,
                layout: Some(&self.dir.path().join("layout")),
                inputs: &[],
                out: &self.place().join("rootfs"),
                limits: self.limits,
                surroundings: self.surroundings.clone(),
                lower: None,
                powers: self.powers,
                helper: Path::new(HELPER),
            },
            self.faults,
        )
    }

    /// Runs a script with the output as `$1` and the layout as `$2`.
    #[track_caller]
    fn sh(&self, script: &str) -> Ran {
        let argv = ["/bin/sh", "-c", script, "sh", "{out}", "{layout}"];
        self.run(&argv)
            .unwrap_or_else(|error| panic!("{:?}: {script}: {error}", self.way))
    }
}

/// A directory that may hold a tree too deep for `std` to remove.
struct Dir(tempfile::TempDir);

impl Dir {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove_tree(&self.path().join("place")).unwrap();
    }
}

/// Those of the wanted ways that this host allows.
fn ways(wanted: &[Way]) -> Vec<Way> {
    static ALLOWED: OnceLock<Vec<Way>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| ALL.iter().copied().filter(|way| allows(*way)).collect());
    if !allowed.iter().any(|way| *way != Way::Plain) {
        require::missing(
            Reason::Contain,
            "containment",
            "this host allows no way of it",
        );
    }
    wanted
        .iter()
        .copied()
        .filter(|way| allowed.contains(way))
        .collect()
}

fn allows(way: Way) -> bool {
    let tried = try_way(way, Path::new(HELPER));
    if let Err(error) = &tried {
        let _ = writeln!(
            std::io::stderr(),
            "not checked: containment in the way {way:?}: {error}"
        );
    }
    tried.is_ok()
}

const ALL: &[Way] = &[Way::Root, Way::User, Way::Plain];
const CONTAINED: &[Way] = &[Way::Root, Way::User];

fn escapes(ran: &Ran) -> Vec<String> {
    ran.escapes
        .iter()
        .map(|it| format!("{:?} {}", it.kind, it.path.display()))
        .collect()
}

/// Runs a script in these ways and compares every escape it made, as `kind path`.
#[track_caller]
fn check(wanted: &[Way], script: &str, want: &[&str]) {
    for way in ways(wanted) {
        let trial = Trial::new(way);
        let ran = trial.sh(script);
        let said = (ran.ending, ran.stdout.text(), ran.stderr.text());
        // Without containment the directory of the output is seen by its own name.
        let place = trial.place().canonicalize().unwrap();
        let got: Vec<_> = escapes(&ran)
            .iter()
            .map(|it| it.replace(place.to_str().unwrap(), "/out"))
            .collect();
        assert_eq!(got, want, "{way:?}: {script}: {said:?}");
        assert_eq!(ran.leftovers, [], "{way:?}: {script}");
    }
}

/// Runs a script in these ways and compares how it ended.
#[track_caller]
fn check_ending(wanted: &[Way], limits: Limits, script: &str, want: Ending) {
    for way in ways(wanted) {
        let trial = Trial {
            limits,
            ..Trial::new(way)
        };
        let ran = trial.sh(script);
        assert_eq!(
            ran.ending,
            want,
            "{way:?}: {script}: {:?}",
            ran.stderr.text()
        );
        assert_eq!(escapes(&ran), Vec::<String>::new(), "{way:?}: {script}");
    }
}
