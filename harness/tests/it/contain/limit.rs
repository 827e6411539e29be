//! How a converter ends, by itself or because it takes too much.

use std::time::Duration;

use harness::runner::contain::{Ending, Limits};

use super::{ALL, CONTAINED, MEBIBYTE, Trial, check, check_ending, ways};

#[test]
fn a_good_converter_does_nothing_wrong() {
    check(
        ALL,
        "mkdir $1 && cp $2/index.json $1/ && echo x > $TMPDIR/x && rm $TMPDIR/x",
        &[],
    );
    for way in ways(ALL) {
        let trial = Trial::new(way);
        let ran = trial.sh("echo hello > $1; echo said; echo complained >&2");
        assert_eq!(ran.ending, Ending::Exited(0));
        assert_eq!(
            (ran.stdout.text(), ran.stderr.text()),
            ("said\n".into(), "complained\n".into())
        );
        assert!(
            ran.peak_memory.is_some_and(|bytes| bytes > 100 << 10),
            "{:?}",
            ran.peak_memory
        );
        let place: Vec<_> = std::fs::read_dir(trial.place())
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(place.len(), 1, "only the artifact is there: {place:?}");
        assert_eq!(std::fs::read_to_string(place[0].path()).unwrap(), "hello\n");
    }
}

#[test]
fn every_ending_is_told_apart() {
    let limits = Limits::default();
    let signal = |number| Ending::Signaled(number);
    for (script, want) in [
        ("exit 0", Ending::Exited(0)),
        ("exit 1", Ending::Exited(1)),
        ("exit 255", Ending::Exited(255)),
        ("kill -SEGV $$", signal(11)),
        ("kill -TERM $$", signal(15)),
        ("kill -KILL $$", signal(9)),
        ("exec cat", Ending::Exited(0)),
        ("exec <&- >&- 2>&-; sleep 0.05; exit 3", Ending::Exited(3)),
    ] {
        check_ending(ALL, limits, script, want);
    }
    // Nor can a converter take its container with it.
    check_ending(
        CONTAINED,
        limits,
        "kill -KILL 1; kill -TERM -1; exit 4",
        Ending::Exited(4),
    );
}

#[test]
fn whoever_hangs_is_ended() {
    let limits = Limits {
        time: Duration::from_millis(300),
        ..Limits::default()
    };
    for script in [
        "sleep 1000",
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        "kill -STOP $$",
        "setsid sh -c 'sleep 1000 & sleep 1000' & wait",
    ] {
        check_ending(ALL, limits, script, Ending::TimedOut);
    }
}

#[test]
fn a_flood_of_words_keeps_its_ends() {
    for way in ways(ALL) {
        let trial = Trial {
            limits: Limits {
                log_bytes: 1000,
                ..Limits::default()
            },
            ..Trial::new(way)
        };
        let ran = trial.sh("echo begin; head -c 1000000000 /dev/zero; echo; echo end");
        let log = ran.stdout;
        assert_eq!(
            (log.head.len(), log.tail.len(), log.omitted),
            (500, 500, 999_999_011)
        );
        assert!(log.head.starts_with(b"begin\n\0") && log.tail.ends_with(b"\0\nend\n"));
    }
}

#[test]
fn whoever_takes_too_much_is_stopped() {
    let limits = Limits {
        file_size: 4 * MEBIBYTE,
        output_bytes: 8 * MEBIBYTE,
        memory: 64 * MEBIBYTE,
        processes: 64,
        ..Limits::default()
    };
    let fill = "mkdir $1; i=0; while :; do head -c 1000000 /dev/zero > $1/$i; i=$((i+1)); done";
    let quick = "mkdir $1; for i in 1 2 3; do head -c 4000000 /dev/zero > $1/$i; done";
    for (script, want) in [
        ("exec truncate -s 8T $1", "file size"),
        ("exec head -c 5000000 /dev/zero > $1", "file size"),
        (fill, "output"),
        (quick, "output"),
    ] {
        check_ending(ALL, limits, script, Ending::OverLimit(want));
    }
    let limits = Limits {
        output_bytes: MEBIBYTE,
        ..limits
    };
    let inodes = "mkdir $1; cd $1; i=0; while :; do : > $i; i=$((i+1)); done";
    check_ending(ALL, limits, inodes, Ending::OverLimit("output"));
    check_ending(
        ALL,
        limits,
        "truncate -s 3M $1 && truncate -s 3M $1.tmp",
        Ending::Exited(0),
    );
}

#[test]
fn whoever_starts_too_many_processes_is_stopped() {
    // Bounded, so that this machine survives the day the limit does not work.
    let script = "i=0; while test $i -lt 1500; do sleep 1000 & i=$((i+1)); done; sleep 1000";
    for way in ways(ALL) {
        let limits = Limits {
            processes: 64,
            ..Limits::default()
        };
        let ran = Trial {
            limits,
            ..Trial::new(way)
        }
        .sh(script);
        // Without a cgroup the kernel refuses to start more, but does not tell that it did; then
        // the helper may see it, or the shell gives up first.
        let held = !ran.protections_missing.contains(&"process cgroup");
        let refused = [Ending::OverLimit("processes"), Ending::Exited(2)];
        let wanted = if held { &refused[..1] } else { &refused };
        assert!(wanted.contains(&ran.ending), "{way:?}: {:?}", ran.ending);
    }
}

#[test]
fn whoever_takes_too_much_memory_is_stopped() {
    let limits = Limits {
        memory: 64 * MEBIBYTE,
        ..Limits::default()
    };
    for way in ways(ALL) {
        let ran = Trial {
            limits,
            ..Trial::new(way)
        }
        .sh("head -c 1G /dev/zero | tail; exit 9");
        let held = !ran.protections_missing.contains(&"memory cgroup");
        // Where only each process is limited, the one that wants too much is told so and gives up.
        let want = if held {
            Ending::OverLimit("memory")
        } else {
            Ending::Exited(9)
        };
        assert_eq!(ran.ending, want, "{way:?}: {}", ran.stderr.text());
    }
    // What lies in `$TMPDIR` lies in memory.
    check_ending(
        CONTAINED,
        limits,
        "! head -c 1G /dev/zero > $TMPDIR/x; rm $TMPDIR/x",
        Ending::Exited(0),
    );
}
