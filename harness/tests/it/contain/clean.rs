//! Nothing is left behind: by the converter unseen, or by the harness at all.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use harness::runner::contain::{Ending, Error, Leftover, Powers, Way};

use super::{ALL, CONTAINED, Trial, escapes, ways};

#[test]
fn leftovers_are_seen() {
    for way in ways(ALL) {
        let trial = Trial::new(way);
        let ran = trial.sh("touch $TMPDIR/x $1 $(dirname $1)/.rootfs.tmp; sleep 1000 & true");
        let (place, tmp) = match way {
            Way::Plain => (trial.place().canonicalize().unwrap(), "$TMPDIR"),
            _ => ("/out".into(), "/tmp"),
        };
        let mut want = [
            Leftover::TemporaryFile(place.join(".rootfs.tmp")),
            Leftover::TemporaryFile(Path::new(tmp).join("x")),
            Leftover::Process("sleep".into()),
        ];
        want.sort();
        assert_eq!(
            (ran.ending, escapes(&ran)),
            (Ending::Exited(0), vec![]),
            "{way:?}"
        );
        assert_eq!(ran.leftovers, want, "{way:?}");
    }
}

#[test]
fn mounts_and_loop_devices_that_stay_are_seen_and_taken_down() {
    for way in ways(CONTAINED) {
        let trial = Trial {
            powers: Powers::Mount,
            ..Trial::new(way)
        };
        let ran = trial.sh("mkdir $1; mount -t tmpfs none $1");
        let want = [Leftover::Mount("/out/rootfs".into())];
        assert_eq!(
            (ran.ending, &ran.leftovers[..]),
            (Ending::Exited(0), &want[..]),
            "{way:?}"
        );
    }
    for way in ways(&[Way::Root])
        .into_iter()
        .filter(|_| Path::new("/dev/loop-control").exists())
    {
        let trial = Trial {
            powers: Powers::Loop,
            ..Trial::new(way)
        };
        let ran = trial.sh("truncate -s 1M $1; losetup --find --show $1");
        let device = ran.stdout.text().trim().replace("/dev/", "");
        let [Leftover::LoopDevice(name, file)] = &ran.leftovers[..] else {
            panic!("{:?} {:?}", ran.leftovers, ran.stderr.text());
        };
        assert_eq!(
            (name, file.ends_with("rootfs")),
            (&device, true),
            "{}",
            file.display()
        );
        let backing = Path::new("/sys/block")
            .join(device)
            .join("loop/backing_file");
        assert!(!backing.exists(), "the device is taken down");
        let trial = Trial {
            powers: Powers::Mount,
            ..Trial::new(way)
        };
        let ran = trial.sh("! ls /dev/loop* && truncate -s 1M $1 && ! losetup --find --show $1");
        assert_eq!((ran.ending, ran.leftovers), (Ending::Exited(0), Vec::new()));
    }
}

#[test]
fn a_daemon_that_holds_the_streams_is_left_behind() {
    for way in ways(ALL) {
        let ran = Trial::new(way).sh("setsid sleep 1000 & sleep 0.05; echo started");
        assert_eq!(
            (ran.ending, ran.stdout.text()),
            (Ending::Exited(0), "started\n".into())
        );
        assert_eq!(
            ran.leftovers,
            [Leftover::Process("sleep".into())],
            "{way:?}"
        );
    }
}

#[test]
fn trouble_that_is_not_the_converters_is_an_error_and_leaves_nothing() {
    for way in ways(ALL) {
        let trial = Trial::new(way);
        let error = trial.run(&["no-such-converter"]).unwrap_err();
        assert!(matches!(error, Error::Program { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("cannot start `no-such-converter`: No such file"),
            "{text}"
        );
        assert_eq!(std::fs::read_dir(trial.place()).unwrap().count(), 0);

        std::fs::write(trial.place().join("x"), "").unwrap();
        let error = trial.run(&["true"]).unwrap_err().to_string();
        assert!(
            error.contains("it is not empty; make a new directory"),
            "{error}"
        );

        std::fs::remove_dir_all(trial.dir.path().join("layout")).unwrap();
        std::fs::remove_file(trial.place().join("x")).unwrap();
        let error = trial.run(&["true"]).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot find `") && error.contains("layout`"),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(trial.place()).unwrap().count(), 0);
    }
}

#[test]
fn runs_at_the_same_time_do_not_meet() {
    for way in ways(ALL) {
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..6)
                .map(|number| {
                    scope.spawn(move || {
                        let trial = Trial::new(way);
                        let ran =
                            trial.sh(&format!("echo {number} > $1; sleep 0.1; exit {number}"));
                        let made = std::fs::read_to_string(trial.place().join("rootfs")).unwrap();
                        (ran.ending, escapes(&ran), ran.leftovers, made)
                    })
                })
                .collect();
            for (number, run) in (0..).zip(runs) {
                let want = (
                    Ending::Exited(number),
                    vec![],
                    vec![],
                    format!("{number}\n"),
                );
                assert_eq!(run.join().unwrap(), want, "{way:?}");
            }
        });
    }
}

/// This test runs itself a second time, as the harness that gets killed.
#[test]
fn a_killed_harness_leaves_nothing() {
    const NAME: &str = "contain::clean::a_killed_harness_leaves_nothing";
    if let Some(way) = std::env::var_os("HARNESS_TEST_KILLED") {
        let way = *ALL
            .iter()
            .find(|known| format!("{known:?}").as_str() == way)
            .unwrap();
        let ran = Trial::new(way).sh("touch $1; exec sleep 987654");
        panic!("the sleeper ended: {:?}", ran.ending);
    }
    for way in ways(ALL) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env("HARNESS_TEST_KILLED", format!("{way:?}"))
            .env("TMPDIR", dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let artifact = wait_for(|| {
            walkdir::WalkDir::new(dir.path())
                .into_iter()
                .flatten()
                .find(|entry| entry.file_name() == "rootfs")
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(artifact.is_some(), "{way:?}: it began");
        let gone = wait_for(|| (!is_anyone_sleeping() && no_cgroup_of(child.id())).then_some(()));
        assert!(gone.is_some(), "{way:?}: it outlived the harness");
    }
}

/// Waits up to ten seconds for something to be there.
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        look()
    })
}

fn is_anyone_sleeping() -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line == b"sleep\x00987654\0")
}

fn no_cgroup_of(harness: u32) -> bool {
    let name = format!("harness-{harness}-");
    let groups = walkdir::WalkDir::new("/sys/fs/cgroup")
        .max_depth(6)
        .into_iter()
        .flatten();
    groups
        .into_iter()
        .all(|entry| !entry.file_name().to_string_lossy().starts_with(&name))
}
