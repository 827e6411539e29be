//! Faults put into a good converter, one at a time: each is found, with the right kind, at the right
//! place, and nothing else is.
//!
//! The converter is the native one with a line of shell behind it. What it converts is `image/python`,
//! which has all five families the project is named for.

use std::collections::BTreeSet;

use fs_err as fs;
use harness::report::{Record, TrialRecord};

use crate::project::Project;
use crate::require::{contained, root, tool};

/// The native converter as a directory, with the fault done in it.
const CONVERT: &str = "{harness} convert --layout {layout} --reference {tag} {out} && cd {out} && ";

/// Where site-packages are in the image.
const SITE: &str = "usr/local/lib/python3.13/site-packages";

/// A fault: what is done to the right tree, and the findings it must give.
struct Fault {
    /// A name for the converter that has it.
    name: &'static str,
    /// A shell script, run in the tree. `$S` is [`SITE`].
    script: &'static str,
    /// `kind line`, without the values that are not asked for here.
    found: &'static [&'static str],
}

/// The five families.
const FAMILIES: &[Fault] = &[
    Fault {
        name: "merged-usr-link-replaced",
        script: "rm bin && mkdir bin && mv usr/bin/python-wrapper bin/",
        found: &[
            "silent modified  ./bin  type  want link  got dir",
            "silent extra     ./bin/python-wrapper",
            "silent missing   ./usr/bin/python-wrapper",
        ],
    },
    Fault {
        name: "merged-usr-link-absolute",
        script: "ln -sfn /usr/bin bin && touch -hd @1746403200 bin",
        found: &["silent modified  ./bin  link  want usr/bin  got /usr/bin"],
    },
    Fault {
        name: "opaque-hides-nothing",
        script: "echo old > $S/pip/resurrected.py",
        found: &["silent extra     ./$S/pip/resurrected.py"],
    },
    Fault {
        name: "opaque-applied-after-extraction",
        script: "rm -r $S/pip/_internal $S/pip/__init__.py",
        found: &[
            "silent missing   ./$S/pip/__init__.py",
            "silent missing   ./$S/pip/_internal",
            "silent missing   ./$S/pip/_internal/__init__.py",
            "silent missing   ./$S/pip/_internal/self_outdated_check.py",
        ],
    },
    Fault {
        name: "opaque-marker-left",
        script: "touch $S/pip/.wh..wh..opq",
        found: &["silent extra     ./$S/pip/.wh..wh..opq"],
    },
    Fault {
        name: "traversal-beside-the-output",
        script: "echo x > ../planted",
        found: &["escape traversal-beside-the-output: Created /out/planted"],
    },
    Fault {
        name: "traversal-into-the-host",
        script: "echo x > /etc/planted && rm /etc/passwd",
        found: &[
            "escape traversal-into-the-host: Created /etc/planted",
            "escape traversal-into-the-host: Removed /etc/passwd",
        ],
    },
    Fault {
        name: "hard-link-copied",
        script: "cp -p usr/bin/perl x && mv x usr/bin/perl",
        found: &[
            "silent modified  ./usr/bin/perl  hardlink  want ./usr/bin/perl = ./usr/bin/perl5.40.1  got alone",
            "silent modified  ./usr/bin/perl5.40.1  hardlink  want ./usr/bin/perl = ./usr/bin/perl5.40.1  got alone",
        ],
    },
    Fault {
        name: "hard-links-of-two-files",
        script: "ln -f usr/share/zoneinfo/UTC usr/local/bin/pip3",
        found: &[
            "silent modified  ./usr/local/bin/pip  hardlink  want ./usr/local/bin/pip = \
             ./usr/local/bin/pip3 = ./usr/local/bin/pip3.13  got ./usr/local/bin/pip = \
             ./usr/local/bin/pip3.13",
            "silent modified  ./usr/local/bin/pip3  ",
            "silent modified  ./usr/local/bin/pip3.13  hardlink  ",
            "silent modified  ./usr/share/zoneinfo/UTC  hardlink  ",
            "silent modified  ./usr/share/zoneinfo/Universal  hardlink  ",
            "silent modified  ./usr/share/zoneinfo/Zulu  hardlink  ",
        ],
    },
    Fault {
        name: "deep-whiteout-not-applied",
        script: "mkdir -p $S/../test/data && echo x > $S/../test/data/README",
        found: &[
            "silent extra     ./usr/local/lib/python3.13/test",
            "silent extra     ./usr/local/lib/python3.13/test/data",
            "silent extra     ./usr/local/lib/python3.13/test/data/README",
        ],
    },
    Fault {
        name: "deep-whiteout-takes-siblings",
        script: "rm $S/../json/decoder.py",
        found: &["silent missing   ./usr/local/lib/python3.13/json/decoder.py"],
    },
    Fault {
        name: "whiteout-marker-left",
        script: "touch $S/../.wh.test",
        found: &["silent extra     ./usr/local/lib/python3.13/.wh.test"],
    },
];

/// What is compared of each inode.
const ATTRIBUTES: &[Fault] = &[
    Fault {
        name: "mode",
        script: "chmod 600 etc/shadow",
        found: &["silent modified  ./etc/shadow  mode  want 0640  got 0600"],
    },
    Fault {
        name: "mode-of-directory",
        script: "chmod 755 app/data",
        found: &["silent modified  ./app/data  mode  want 0700  got 0755"],
    },
    Fault {
        name: "owner",
        script: "chown 0:7 app/version",
        found: &[
            "silent modified  ./app/version  uid  want 1000  got 0",
            "silent modified  ./app/version  gid  want 1000  got 7",
        ],
    },
    Fault {
        name: "owner-of-link",
        script: "chown -h 1:0 lib",
        found: &["silent modified  ./lib  uid  want 0  got 1"],
    },
    Fault {
        name: "time",
        script: "touch -d @1 etc/passwd",
        found: &["silent modified  ./etc/passwd  time  want 1748476800.0  got 1.0"],
    },
    Fault {
        name: "time-of-directory",
        script: "touch -d @1748476800.5 app/data",
        found: &["silent modified  ./app/data  time  want 1748476800.0  got 1748476800.500000000"],
    },
    Fault {
        name: "content-of-the-same-size",
        script: "printf '13.0\\n' > etc/debian_version && touch -d @1746403200 etc/debian_version",
        found: &["silent modified  ./etc/debian_version  sha256  want f406747a"],
    },
    Fault {
        name: "content-cut",
        script: "truncate -s 1 etc/group && touch -d @1746403200 etc/group",
        found: &["silent modified  ./etc/group  size  want 62  got 1"],
    },
    Fault {
        name: "extra-file",
        script: "touch app/stray",
        found: &["silent extra     ./app/stray"],
    },
    Fault {
        name: "missing-directory",
        script: "rmdir app/data",
        found: &["silent missing   ./app/data"],
    },
    Fault {
        name: "pipe-in-the-place-of-a-file",
        script: "rm app/version && mkfifo app/version",
        found: &["silent modified  ./app/version  type  want file  got fifo"],
    },
];

#[test]
fn a_fault_of_each_family_is_found() {
    if contained("escapes among the faults of a converter") {
        find(FAMILIES);
    }
}

#[test]
fn a_fault_in_each_attribute_is_found() {
    find(ATTRIBUTES);
}

#[test]
fn a_dropped_or_changed_xattr_is_found() {
    // Debian's smallest systems have no setfattr, but what we test with has Python.
    if tool("python3", "extended attributes among the faults").is_some() {
        find(&[
            Fault {
                name: "xattr-dropped",
                script: "python3 -c 'import os; os.removexattr(\"app/main.py\", \"user.origin\")'",
                found: &[
                    "silent modified  ./app/main.py  xattr  want user.origin=https://example.com/app  got \
                     no user.origin",
                ],
            },
            Fault {
                name: "xattr-added",
                script: "python3 -c 'import os; os.setxattr(\"app/data\", \"user.x\", b\"\")'",
                found: &["silent modified  ./app/data  xattr  want no user.x  got user.x="],
            },
            Fault {
                name: "capability-dropped",
                script: "python3 -c 'import os; \
                         os.removexattr(\"usr/local/bin/app-server\", \"security.capability\")'",
                found: &[
                    "silent modified  ./usr/local/bin/app-server  xattr  want security.capability=",
                ],
            },
        ]);
    }
}

/// Deviations of umoci 0.4.7 that were found by looking at it, each with the one finding it gives.
#[test]
fn what_umoci_gets_wrong_is_found() {
    const DEVIATIONS: [(&str, &str); 6] = [
        (
            "attribute/owner-beyond-32-bits",
            "accepted accepted, though the owner 4294967296",
        ),
        (
            "attribute/xattr-empty",
            "silent modified  ./a  xattr  want user.k=  got no user.k",
        ),
        (
            "layout/json-second-layers-key",
            "accepted accepted, though the manifest",
        ),
        (
            "opaque/last",
            "silent modified  ./a/b  time  want 0.0  got ",
        ),
        (
            "special/device-major-beyond-12-bits",
            "accepted accepted, though the major number 4096",
        ),
        (
            "tar/pax-global-comment",
            "rejected umoci: exit 1: ⨯ create rootfs: unpack layer: unpack entry: pax_global_header",
        ),
    ];
    let what = "the deviations of umoci 0.4.7";
    let (Some(umoci), true) = (tool("umoci", what), root(what)) else {
        return;
    };
    let version = std::process::Command::new(umoci)
        .arg("--version")
        .output()
        .unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.contains("0.4.7") {
        let cause = format!("this is {}", version.trim());
        return crate::require::missing(harness::check::Reason::Tool, what, &cause);
    }
    let project = Project::of_corpus(&DEVIATIONS.map(|(id, _)| id));
    let record = run(&project, &["--converter", "umoci", "--format", "dir"]);
    assert_eq!(record.trials.len(), DEVIATIONS.len());
    for (trial, (id, finding)) in record.trials.iter().zip(DEVIATIONS) {
        assert_eq!((trial.case.as_str(), trial.verdict.as_str()), (id, "fail"));
        let lines = lines(trial);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with(finding), "{id}: {}", lines[0]);
    }
}

/// Runs every fault as a converter of its own and compares its findings with those it must give.
#[track_caller]
fn find(faults: &[Fault]) {
    if !root("faults in directories, with owners and links") {
        return;
    }
    let project = Project::of_corpus(&["image/python"]);
    let mut arguments = vec!["--format", "dir"];
    for fault in faults {
        let script = fault.script.replace("$S", SITE);
        let command = toml::Value::from(vec!["sh", "-euc", &format!("{CONVERT}{script}")]);
        project.write(
            &format!("runners/{}/runner.toml", fault.name),
            &format!("summary = 'x'\ninput = 'layout'\noutput = 'dir'\ncommand = {command}\n"),
        );
        arguments.extend(["--converter", fault.name]);
    }
    let record = run(&project, &arguments);
    let mut complaints = Vec::new();
    for (trial, fault) in record.trials.iter().zip(faults) {
        assert_eq!(
            (trial.chain.as_str(), trial.verdict.as_str()),
            (fault.name, "fail")
        );
        let want: Vec<String> = fault
            .found
            .iter()
            .map(|line| line.replace("$S", SITE))
            .collect();
        complaints.extend(compare(trial, &want).err());
    }
    assert_eq!(record.trials.len(), faults.len());
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The findings of a trial against the beginnings of those it must have. The time of a directory whose
/// children the fault changes is its shadow, not asked for.
fn compare(trial: &TrialRecord, want: &[String]) -> Result<(), String> {
    let is_shadow =
        |line: &str| line.contains("  time  ") && !want.iter().any(|w| line.starts_with(w));
    let got: Vec<String> = lines(trial)
        .into_iter()
        .filter(|line| !is_shadow(line))
        .collect();
    let missing = want
        .iter()
        .filter(|w| !got.iter().any(|line| line.starts_with(w.as_str())));
    let strange = got
        .iter()
        .filter(|line| !want.iter().any(|w| line.starts_with(w.as_str())));
    let missing: BTreeSet<_> = missing.collect();
    let strange: BTreeSet<_> = strange.collect();
    match missing.is_empty() && strange.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{}: missing {missing:#?}, not asked for {strange:#?}",
            trial.chain
        )),
    }
}

fn lines(trial: &TrialRecord) -> Vec<String> {
    let findings = trial.findings.iter();
    findings
        .map(|finding| format!("{} {}", finding.kind, finding.line))
        .collect()
}

/// Runs cases that must come out red and gives the record.
#[track_caller]
fn run(project: &Project, arguments: &[&str]) -> Record {
    let json = project.arg("run.json");
    let start = ["run", "--once", "--boot", "off", "--json", &json];
    project.harness(&[&start, arguments].concat()).is(1);
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}
