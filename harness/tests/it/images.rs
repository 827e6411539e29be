//! Filesystem images that are damaged, or whose shell does not start: fsck, the guest's full read or the
//! boot finds each.
//!
//! The packer is a good one with a line of shell behind or before it, so that all else is right.

use fs_err as fs;
use harness::check::Reason;
use harness::report::{Record, TrialRecord};

use crate::project::Project;
use crate::require::{missing, root, tool};

/// A case with a text to be found in a block of its own, and a file of many blocks.
fn case() -> String {
    let needle = format!("a needle in the data\n{}", "hay\n".repeat(1200));
    format!(
        "title = 'a file is as the layer has it'\nspec = 'layer.md#file-types'\nlevel = 'policy'\n\
         [[layer]]\nentries = [{{ file = 'needle', text = {needle:?} }}]\n\
         [[layer]]\nentries = [{{ file = 'large', pattern = {{ seed = 1, size = 300000 }} }}]\n\
         [expect]\ntree = 'golden'\n"
    )
}

/// Packs `$IN` into `$OUT`.
const PACKERS: [(&str, &str); 2] = [
    (
        "ext4",
        "mkfs.ext4 -q -F -b 4096 -I 256 -m 0 -O ^has_journal -E lazy_itable_init=0 -d $IN $OUT 16M",
    ),
    ("erofs", "env -u SOURCE_DATE_EPOCH mkfs.erofs -d1 $OUT $IN"),
];

/// Inverts the byte of `$OUT` at `$AT`.
const FLIP: &str = "python3 -c 'import sys
with open(sys.argv[1], \"r+b\") as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 255]))' $OUT $AT";

/// Something done to an image, and what one of its findings says.
struct Damage {
    name: &'static str,
    /// The formats it is done to.
    formats: &'static [&'static str],
    /// Done to a copy of the tree, `$IN`.
    before: &'static str,
    /// Done to the image, `$OUT`; `FLIP` inverts the byte at `$AT`.
    after: &'static str,
    /// Beginnings of `kind line`; one of the findings has one of them.
    found: &'static [&'static str],
}

/// Whatever is found of a damaged superblock, by fsck or by the guest's kernel.
const CORRUPT: &[&str] = &["corrupt "];

const DAMAGES: &[Damage] = &[
    Damage {
        name: "byte-of-data",
        formats: &["ext4", "erofs"],
        before: "",
        after: "AT=$(grep -abo 'needle in the data' $OUT | head -n 1 | cut -d: -f1); FLIP",
        found: &["silent modified  ./needle  sha256  "],
    },
    Damage {
        name: "last-blocks-cut",
        formats: &["erofs"],
        before: "",
        after: "truncate -s -65536 $OUT",
        found: CORRUPT,
    },
    Damage {
        name: "half-cut",
        formats: &["ext4"],
        before: "",
        after: "truncate -s 64K $OUT",
        found: CORRUPT,
    },
    Damage {
        name: "magic",
        formats: &["erofs"],
        before: "",
        after: "AT=1024; FLIP",
        found: CORRUPT,
    },
    Damage {
        name: "superblock-checksum",
        formats: &["erofs"],
        before: "",
        after: "AT=1028; FLIP",
        found: CORRUPT,
    },
    Damage {
        name: "root-inode-number",
        formats: &["erofs"],
        before: "",
        after: "AT=1038; FLIP",
        found: CORRUPT,
    },
    Damage {
        name: "magic",
        formats: &["ext4"],
        before: "",
        after: "AT=1080; FLIP",
        found: CORRUPT,
    },
    Damage {
        name: "inode-count",
        formats: &["ext4"],
        before: "",
        after: "AT=1025; FLIP",
        found: CORRUPT,
    },
    Damage {
        name: "block-size",
        formats: &["ext4"],
        before: "",
        after: "AT=1048; FLIP",
        found: CORRUPT,
    },
    Damage {
        name: "bin-link-broken",
        formats: &["ext4", "erofs"],
        before: "ln -sfn nowhere $IN/bin",
        after: "",
        found: &[
            "silent /bin/sh does not start: exec /bin/sh: ENOENT: /bin is a dangling symlink to nowhere",
        ],
    },
    Damage {
        name: "shell-not-executable",
        formats: &["erofs"],
        before: "chmod 644 $IN/usr/bin/sh",
        after: "",
        found: &[
            "silent /bin/sh does not start: exec /bin/sh: EACCES: /usr/bin/sh is not executable (mode 0644)",
        ],
    },
    Damage {
        name: "shell-cut",
        formats: &["erofs"],
        before: "truncate -s 100 $IN/usr/bin/sh",
        after: "",
        found: &[
            "silent /bin/sh does not start: ",
            "silent /bin/sh, asked for the nonce: ",
        ],
    },
];

#[test]
fn damaged_images_and_broken_shells_are_found() {
    let what = "damaged images and broken shells";
    let tools = ["mkfs.ext4", "mkfs.erofs", "e2fsck", "fsck.erofs", "python3"];
    if !root(what) || tools.iter().any(|program| tool(program, what).is_none()) {
        return;
    }
    let project = Project::with_cases(&[("image/needle", &case())]);
    project.lend_machine();
    let good = Damage {
        name: "undamaged",
        formats: &["ext4", "erofs"],
        before: "",
        after: "",
        found: &[],
    };
    let mut names = Vec::new();
    for damage in std::iter::once(&good).chain(DAMAGES) {
        for (format, packer) in PACKERS {
            if damage.formats.contains(&format) {
                let name = format!("{}-{format}", damage.name);
                project.write(
                    &format!("runners/{name}/runner.toml"),
                    &packer_with(damage, format, packer),
                );
                names.push((format!("native+{name}"), damage));
            }
        }
    }
    let mut arguments = vec!["run", "--once"];
    for (name, _) in &names {
        arguments.extend(["--converter", name]);
    }
    let json = project.arg("run.json");
    arguments.extend(["--json", &json]);
    project.harness(&arguments);
    let record: Record = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let mut complaints = Vec::new();
    assert_eq!(record.trials.len(), names.len());
    for (trial, (name, damage)) in record.trials.iter().zip(&names) {
        assert_eq!(&trial.chain, name);
        if let Some(cause) = trial.unchecked.get("boot") {
            return missing(Reason::Boot, what, cause);
        }
        complaints.extend(complaint(trial, damage));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The descriptor of a packer that does the damage.
fn packer_with(damage: &Damage, format: &str, packer: &str) -> String {
    let script = [
        "IN=$TMPDIR/tree; cp -a {in} $IN",
        damage.before,
        "OUT={out}",
        packer,
        "rm -r $IN",
        &damage.after.replace("FLIP", FLIP),
    ]
    .join("\n");
    let command = toml::Value::from(vec!["sh", "-euc", &script]);
    format!("summary = 'x'\ninput = 'dir'\noutput = '{format}'\ncommand = {command}\n")
}

fn complaint(trial: &TrialRecord, damage: &Damage) -> Option<String> {
    let lines: Vec<String> = trial
        .findings
        .iter()
        .map(|finding| format!("{} {}", finding.kind, finding.line))
        .collect();
    let good = match damage.found {
        [] => trial.verdict == "pass",
        found => {
            let says = |line: &String| found.iter().any(|start| line.starts_with(start));
            trial.verdict == "fail" && lines.iter().any(says)
        }
    };
    (!good).then(|| {
        format!(
            "{}: {} {:?} {lines:#?}",
            trial.chain, trial.verdict, trial.error
        )
    })
}
