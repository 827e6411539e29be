//! A second oracle: the guest kernel's overlayfs, against the goldens of the model.
//!
//! Every image of the corpus that has an expected tree is turned into one directory for each layer, all
//! of them go into one EROFS image, and one virtual machine mounts each stack with overlayfs and tells
//! what it sees. What the model says of whiteouts, opaque whiteouts and replacement across layers so
//! meets a program that never heard of the model.

mod differs;
mod random;
mod translate;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use bstr::{BString, ByteSlice as _};
use fs_err as fs;
use harness::boot::{Arrangement, Boot, Job, Mode, Walked};
use harness::case::{Content, Corpus, Device, Entry, Kind as EntryKind, Layer};
use harness::image::erofs::{Filesystem, Inode, Kind};
use harness::runner::Profile;
use harness::tree::{Difference, Tree, apply_layers, diff, mtree};

use crate::boot::machine::{LONG, machine};
use crate::project::checkout;

use differs::{DIFFERS, Differs};
use translate::not_for_overlayfs;
pub(crate) use translate::translate;
use view::{OPAQUE, is_whiteout};

/// Images on one disk, as stacks of directories of it.
pub(crate) struct Disk {
    tree: Filesystem,
    /// Each directory, named by its number; equal ones are there once, unless a stack has them twice.
    layers: Vec<Filesystem>,
    stacks: Vec<Vec<u8>>,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        let empty = || Filesystem::new(directory());
        let mut tree = empty();
        // Overlayfs wants two directories at least.
        let bottom = tree.graft(&empty());
        tree.link(tree.root(), "empty", bottom);
        Disk {
            tree,
            layers: Vec::new(),
            stacks: Vec::new(),
        }
    }

    /// Adds an image: its layers, base layer first.
    pub(crate) fn add(&mut self, layers: &[Filesystem]) {
        let mut numbers: Vec<usize> = Vec::new();
        for layer in layers {
            let known = self.layers.iter().enumerate();
            let known = known
                .filter(|(number, known)| *known == layer && !numbers.contains(number))
                .map(|(number, _)| number)
                .next();
            numbers.push(known.unwrap_or_else(|| self.add_layer(layer)));
        }
        let names = numbers.iter().rev().map(usize::to_string);
        let names: Vec<String> = names.chain(["empty".to_owned()]).collect();
        self.stacks.push(names.join(":").into_bytes());
    }

    /// More options for the image added last, each after a comma.
    pub(crate) fn mount_last_with(&mut self, options: &str) {
        let stack = self.stacks.last_mut().expect("an image was added");
        stack.extend(options.as_bytes());
    }

    fn add_layer(&mut self, layer: &Filesystem) -> usize {
        let id = self.tree.graft(layer);
        let number = self.layers.len();
        self.tree.link(self.tree.root(), number.to_string(), id);
        self.layers.push(layer.clone());
        number
    }

    /// What the guest's kernel shows of each stack; nothing where there is no machine.
    #[track_caller]
    pub(crate) fn walk(&self) -> Option<Vec<Result<Walked, String>>> {
        let machine = machine(Mode::Snapshot)?;
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.erofs");
        fs::write(&image, self.tree.write().unwrap()).unwrap();
        let job = Job {
            images: &[image],
            arrangement: Arrangement::Single,
            filesystem: "erofs",
            profile: Profile::Ro,
            upper: None,
            walk: true,
            stacks: &self.stacks,
            commands: &[],
            transcript: &folder.path().join("transcript"),
            time_limit: LONG,
        };
        let Boot {
            stacks, failure, ..
        } = machine.boot(&job).unwrap();
        assert_eq!(failure, None);
        assert_eq!(stacks.len(), self.stacks.len());
        Some(stacks)
    }
}

/// A tree that an image is expected to give.
struct Expected {
    /// The golden, as its path below `golden/` without the ending.
    golden: String,
    layers: Vec<Layer>,
}

/// Every expected tree of the corpus.
fn expected() -> Vec<Expected> {
    let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    let goldens = corpus.cases.iter().flat_map(|case| case.goldens());
    goldens
        .map(|(golden, layers)| Expected {
            golden,
            layers: layers.to_vec(),
        })
        .collect()
}

#[test]
fn overlayfs_and_the_model_agree() {
    let mut disk = Disk::new();
    let mut asked = Vec::new();
    let mut seen: Vec<(String, Vec<String>)> = Vec::new();
    let mut left_out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut hiding = 0;
    for Expected { golden, layers } in expected() {
        if let Some(why) = not_for_overlayfs(&layers) {
            left_out.entry(why.to_owned()).or_default().push(golden);
            continue;
        }
        match translate(&layers) {
            Err(why) => seen.push((golden, vec![format!("not translated: {why}")])),
            Ok(stack) => match not_for_erofs(&stack) {
                Some(why) => left_out.entry(why).or_default().push(golden),
                None => {
                    hiding += usize::from(stack.iter().any(hides));
                    disk.add(&stack);
                    asked.push(golden);
                }
            },
        }
    }
    let Some(stacks) = disk.walk() else { return };
    seen.extend(asked.into_iter().zip(&stacks).map(|(golden, stack)| {
        let lines = differences(&golden_tree(&golden), stack);
        (golden, lines)
    }));
    say(&seen, &left_out);
    let complaints = complaints(&seen, DIFFERS);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let not_asked: usize = left_out.values().map(Vec::len).sum();
    assert!(
        not_asked * 10 < seen.len(),
        "most images are to be asked of"
    );
    assert!(hiding > 40, "only {hiding} images hide something");
}

/// Every difference that is not listed, and every line of the list that is not so.
fn complaints(seen: &[(String, Vec<String>)], listed: &[Differs]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (golden, lines) in seen {
        let known = listed.iter().find(|known| known.golden == golden);
        match known {
            None if lines.is_empty() => {}
            Some(known) if lines == known.lines && !lines.is_empty() => {}
            None => complaints.push(format!("{golden}: {lines:#?}")),
            Some(_) => complaints.push(format!("{golden}: not as listed: {lines:#?}")),
        }
    }
    let met: BTreeSet<&str> = seen.iter().map(|(golden, _)| golden.as_str()).collect();
    let stale = listed.iter().filter(|known| !met.contains(known.golden));
    complaints.extend(stale.map(|known| format!("{}: listed and not asked", known.golden)));
    complaints
}

#[test]
fn a_difference_or_a_stale_line_is_a_complaint() {
    let line = Differs {
        golden: "a/b",
        reason: "",
        lines: &["missing ./x"],
    };
    let seen = |lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        vec![("a/b".to_owned(), lines)]
    };
    assert_eq!(complaints(&seen(&[]), &[]), [""; 0]);
    assert_eq!(complaints(&seen(&["missing ./x"]), &[line]), [""; 0]);
    for (lines, listed) in [
        (&["missing ./x"][..], &[][..]),
        (&[], &[line]),
        (&["extra ./x"], &[line]),
        (&["missing ./x", "missing ./y"], &[line]),
    ] {
        assert_eq!(complaints(&seen(lines), listed).len(), 1, "{lines:?}");
    }
    assert_eq!(complaints(&[], &[line]), ["a/b: listed and not asked"]);
}

/// A changeset of files, directories (`a/`), whiteouts (`-a`) and opaque whiteouts (`=a`).
fn layer(words: &[&str]) -> Layer {
    let entry = |word: &&str| match (word.strip_prefix('-'), word.strip_prefix('=')) {
        (Some(path), _) => {
            let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
            Entry::new(nothing(), format!("{parent}/.wh.{name}"))
        }
        (_, Some(path)) => Entry::new(nothing(), format!("{path}/.wh..wh..opq")),
        _ if word.ends_with('/') => Entry::new(EntryKind::Dir(None), *word),
        _ => Entry::new(nothing(), *word),
    };
    Layer {
        entries: words.iter().map(entry).collect(),
        ..Layer::default()
    }
}

fn nothing() -> EntryKind {
    EntryKind::File(Content::Bytes(Vec::new()))
}

#[test]
fn a_wrong_translation_is_caught() {
    let layers = [
        layer(&["a", "d/", "d/x", "e/", "e/y", "e/z"]),
        layer(&["-a", "=d", "d/new", "-e/y"]),
    ];
    let want = apply_layers(&layers, false).unwrap();
    let right = translate(&layers).unwrap();
    let top = |change: &dyn Fn(&mut Filesystem)| {
        let mut wrong = right.clone();
        change(&mut wrong[1]);
        wrong
    };
    let find = |tree: &Filesystem, name: &[u8]| tree.child(tree.root(), name).unwrap();
    // An empty file is what a whiteout is in a changeset.
    let as_file = top(&|tree| {
        let id = find(tree, b"a");
        tree.get_mut(id).kind = Kind::File(Content::Bytes(Vec::new()));
    });
    let as_device = top(&|tree| {
        let id = find(tree, b"a");
        tree.get_mut(id).kind = Kind::Char(Device { major: 0, minor: 1 });
    });
    let dropped = top(&|tree| {
        let dir = find(tree, b"e");
        tree.unlink(dir, b"y");
    });
    let not_opaque = top(&|tree| {
        let id = find(tree, b"d");
        tree.get_mut(id).xattrs.clear();
    });
    let upside_down: Vec<Filesystem> = right.iter().rev().cloned().collect();
    let mut disk = Disk::new();
    for stack in [
        &right,
        &as_file,
        &as_device,
        &dropped,
        &not_opaque,
        &upside_down,
    ] {
        disk.add(stack);
    }
    disk.stacks.push(b"absent:empty".to_vec());
    let Some(seen) = disk.walk() else { return };
    let lines: Vec<Vec<String>> = seen.iter().map(|seen| differences(&want, seen)).collect();
    assert_eq!(lines[0], [""; 0]);
    assert_eq!(lines[1], ["extra ./a"]);
    assert_eq!(lines[2], ["extra ./a"]);
    assert_eq!(lines[3], ["extra ./e/y"]);
    assert_eq!(lines[4], ["extra ./d/x"]);
    assert_eq!(lines[5], ["extra ./a", "extra ./d/x", "extra ./e/y"]);
    assert_eq!(
        lines[6],
        ["mount as overlay: No such file or directory (os error 2)"]
    );
}

/// Whether a layer has a whiteout of either kind.
fn hides(layer: &Filesystem) -> bool {
    layer
        .inodes()
        .any(|inode| is_whiteout(&inode.kind) || inode.xattrs.contains_key(bstr::BStr::new(OPAQUE)))
}

/// What the disk cannot hold, if so.
fn not_for_erofs(stack: &[Filesystem]) -> Option<String> {
    let refusals = stack.iter().filter_map(|layer| layer.write().err());
    refusals.map(|error| error.what).next()
}

fn say(seen: &[(String, Vec<String>)], left_out: &BTreeMap<String, Vec<String>>) {
    let agreed = seen.iter().filter(|(_, lines)| lines.is_empty()).count();
    let differ = seen.len() - agreed;
    let mut text = format!("overlayfs: {agreed} trees agree, {differ} differ\n");
    for (why, goldens) in left_out {
        let (count, goldens) = (goldens.len(), goldens.join(" "));
        text.push_str(&format!("overlayfs: {count} not asked: {why}: {goldens}\n"));
    }
    let written = std::io::stderr().write_all(text.as_bytes());
    written.expect("standard error is open in a test");
}

/// The tree of a golden.
pub(crate) fn golden_tree(golden: &str) -> Tree {
    let path = checkout().join("golden").join(format!("{golden}.mtree"));
    mtree::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What differs, one line each: the kind, the path and the key.
pub(crate) fn differences(want: &Tree, seen: &Result<Walked, String>) -> Vec<String> {
    let walked = match seen {
        Ok(walked) => walked,
        Err(why) => return vec![why.clone()],
    };
    let errors = walked.read_errors.iter();
    let errors = errors.map(|error| format!("error {} {}", error.errno, error.path.as_bstr()));
    let got = mtree::parse(walked.mtree.to_str().unwrap()).unwrap();
    let lines = diff(want, &got).into_iter().map(|difference| {
        let path = mtree::name(difference.path());
        match difference {
            Difference::Missing(_) => format!("missing {path}"),
            Difference::Extra(_) => format!("extra {path}"),
            Difference::Modified { key, want, got, .. } => {
                format!("modified {path} {} {want} {got}", key.word())
            }
        }
    });
    errors.chain(lines).collect()
}

fn names_of(path: &[u8]) -> Vec<BString> {
    let names = path.split_str("/").filter(|name| !name.is_empty());
    names.map(BString::from).collect()
}

fn directory() -> Inode {
    Inode {
        kind: Kind::Dir(BTreeMap::new()),
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: harness::case::Time::default(),
        xattrs: BTreeMap::new(),
    }
}
