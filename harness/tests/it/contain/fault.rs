//! What goes wrong on purpose goes wrong as asked.

use harness::runner::contain::{Ending, Faults, Leftover, Stop};

use super::{ALL, CONTAINED, MEBIBYTE, Trial, escapes, ways};

#[test]
fn a_signal_comes_when_so_much_is_written() {
    let script = "sleep 1000 & echo x > $TMPDIR/x; head -c 100000 /dev/zero > $1; wait";
    for way in ways(ALL) {
        for (signal, written) in [(15, 100_000), (9, 1), (2, 0)] {
            let faults = Faults {
                stop: Some(Stop { signal, written }),
                ..Faults::default()
            };
            let trial = Trial {
                faults,
                ..Trial::new(way)
            };
            let ran = trial.sh(script);
            assert_eq!(
                (ran.ending, ran.stopped),
                (Ending::Signaled(signal), true),
                "{way:?}"
            );
            let size = std::fs::metadata(trial.place().join("rootfs")).map_or(0, |it| it.len());
            assert!(written < 100_000 || size == 100_000, "{way:?}: {size}");
        }
        // What the converter did not clean up is seen as ever.
        let faults = Faults {
            stop: Some(Stop {
                signal: 9,
                written: 90_000,
            }),
            ..Faults::default()
        };
        let ran = Trial {
            faults,
            ..Trial::new(way)
        }
        .sh(script);
        let [Leftover::TemporaryFile(file), Leftover::Process(process)] = &ran.leftovers[..] else {
            panic!("{way:?}: {:?}", ran.leftovers);
        };
        assert_eq!(
            (file.file_name(), process.as_str()),
            (Some("x".as_ref()), "sleep")
        );
    }
}

#[test]
fn a_converter_that_never_gets_so_far_is_not_stopped() {
    for way in ways(ALL) {
        let stop = Stop {
            signal: 9,
            written: 10 * MEBIBYTE,
        };
        let faults = Faults {
            stop: Some(stop),
            ..Faults::default()
        };
        let ran = Trial {
            faults,
            ..Trial::new(way)
        }
        .sh("echo x > $1; sleep 0.1");
        assert_eq!((ran.ending, ran.stopped), (Ending::Exited(0), false));
    }
}

#[test]
fn a_small_disk_is_full_soon_and_what_is_on_it_is_kept() {
    let faults = Faults {
        disk_bytes: Some(MEBIBYTE),
        ..Faults::default()
    };
    for way in ways(CONTAINED) {
        let trial = Trial {
            faults,
            ..Trial::new(way)
        };
        let script = "mkdir $1; ln -s nowhere $1/l; head -c 9000000 /dev/zero > $1/big";
        let ran = trial.sh(script);
        assert_eq!(
            (ran.ending, escapes(&ran)),
            (Ending::Exited(1), vec![]),
            "{way:?}"
        );
        assert!(
            ran.stderr.text().contains("No space left"),
            "{}",
            ran.stderr.text()
        );
        let rootfs = trial.place().join("rootfs");
        let size = std::fs::metadata(rootfs.join("big")).unwrap().len();
        assert!((MEBIBYTE / 2..=MEBIBYTE).contains(&size), "{size}");
        assert_eq!(
            std::fs::read_link(rootfs.join("l")).unwrap().to_str(),
            Some("nowhere")
        );
        assert_eq!(std::fs::read_dir(trial.place()).unwrap().count(), 1);

        let trial = Trial {
            faults,
            ..Trial::new(way)
        };
        assert_eq!(
            trial.sh("echo x > $1; echo y > $1/../z").ending,
            Ending::Exited(2)
        );
        let ran = Trial {
            faults,
            ..Trial::new(way)
        }
        .sh("mkdir $1; echo y > $1/../z");
        assert_eq!(escapes(&ran), ["Created /out/z"]);
    }
    let plain = Trial {
        faults,
        ..Trial::new(harness::runner::contain::Way::Plain)
    };
    let error = plain.run(&["true"]).unwrap_err().to_string();
    assert!(error.ends_with("it needs containment"), "{error}");
}
