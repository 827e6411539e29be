//! Relations that hold whatever the image is, on random stacks of layers: nobody decides a tree here, the
//! spec says that two images have the same one. And the model against the native extractor, which share
//! no code, on the same stacks.

mod stacks;

use std::collections::BTreeMap;
use std::path::Path;

use bstr::{BString, ByteSlice as _};
use harness::case::variant::variants;
use harness::case::{Compression, Content, Dialect, Entry, Kind, Layer};
use harness::check::direct::{ask, ask_model, scratch};
use harness::check::{Question, Source, Wanted};
use harness::image::{read_layout, write_layout};
use harness::tree::{InodeKind, apply_layers, mtree};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_assume, proptest};
use proptest::sample;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{RngSeed, TestRunner};

use crate::variants::native;
use stacks::{Stack, case, hides, is_below, is_marker, layer, literal, proper, without_links};

/// So many stacks each time, always the same ones; what fails is printed, not written into the checkout.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(15),
        failure_persistence: None,
        max_global_rejects: cases * 8,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(400))]

    /// Where paths go through no link the spec leaves no doubt: both give this tree, or both refuse.
    #[test]
    fn native_and_the_model_agree(stack in literal()) {
        let question = question(&stack.0);
        if let (Wanted::Record, Source::Case(case)) = (&question.wanted, &question.source) {
            let work = scratch().unwrap();
            write_layout(case, work.path()).unwrap();
            let tree = native(work.path()).unwrap();
            prop_assert!(tree.is_err(), "native accepts what the model refuses");
        }
        prop_assert_eq!(wrong(&question), [""; 0]);
    }

    /// Through links the model has a tree where there is one to have; where not, outcomes may differ.
    #[test]
    fn native_and_the_model_agree_on_links(stack in proper()) {
        prop_assert_eq!(wrong(&question(&stack.0)), [""; 0]);
    }
}

proptest! {
    #![proptest_config(config(60))]

    /// Split, respelled, reordered, with parents named or implied, in another header family, compression or
    /// media type, with an empty layer: the axes that cases are varied along, on images nobody chose.
    #[test]
    fn every_variant_has_the_same_tree(stack in proper()) {
        let plain = question(&stack.0);
        let (Wanted::Tree(tree), Source::Case(case)) = (&plain.wanted, &plain.source) else {
            return Ok(());
        };
        for variant in variants(case).filter_map(|(_, _, variant)| variant.ok()) {
            let mut wanted = tree.clone();
            for path in &variant.unnamed {
                let inode = wanted.get_mut(path).unwrap();
                (inode.mode, inode.uid, inode.gid, inode.mtime) = (None, None, None, None);
            }
            let question = Question {
                wanted: Wanted::Tree(wanted),
                source: Source::Case(Box::new(variant.case.clone())),
                ..plain.clone()
            };
            let model: Vec<String> =
                ask_model(&question, case).iter().map(|finding| finding.line()).collect();
            prop_assert_eq!(model, [""; 0], "{}, the model", variant.case.id);
            prop_assert_eq!(wrong(&question), [""; 0], "{}, native", variant.case.id);
        }
    }
}

proptest! {
    #![proptest_config(config(1000))]

    /// What is written is read back with the same meaning, whatever the packing.
    #[test]
    fn an_image_that_is_read_back_has_the_same_tree(
        stack in proper(),
        packing in sample::select(PACKINGS),
    ) {
        let layers = repacked(&stack.0, packing);
        let work = scratch().unwrap();
        write_layout(&case(layers), work.path()).unwrap();
        let read = read_layout(work.path(), None).unwrap();
        prop_assert_eq!(printed(&stack.0), printed(&read));
    }

    #[test]
    fn what_is_added_and_hidden_again_was_never_there(
        stack in proper(),
        place in any::<sample::Index>(),
        dir in any::<sample::Index>(),
        opaque in any::<bool>(),
    ) {
        let at = place.index(stack.0.len() + 1);
        let Ok(below) = apply_layers(&stack.0[..at], true) else { return Ok(()) };
        let dirs = below.iter().filter(|(_, _, inode)| inode.kind == InodeKind::Dir);
        let dirs: Vec<BString> = dirs.map(|(path, ..)| path.clone()).collect();
        let (added, hidden) = added_and_hidden(&dirs[dir.index(dirs.len())], opaque);
        let mut more = stack.0.clone();
        more.splice(at..at, [added, hidden]);
        prop_assert_eq!(printed(&stack.0), printed(&more));
    }

    #[test]
    fn a_layer_applied_twice_is_applied_once(stack in literal(), pick in any::<sample::Index>()) {
        let mut twice = stack.0.clone();
        let index = pick.index(twice.len());
        twice.insert(index, twice[index].clone());
        prop_assert_eq!(printed(&stack.0), printed(&twice));
    }

    /// No path twice and no links: then nothing depends on the order of a layer's entries, not even on that
    /// of a directory and what is in it.
    #[test]
    fn entries_of_a_layer_stand_in_any_order(stack in without_links(), by in any::<sample::Index>()) {
        let mut turned = stack.0.clone();
        for layer in &mut turned {
            layer.entries.reverse();
            let by = by.index(layer.entries.len().max(1));
            layer.entries.rotate_left(by);
        }
        prop_assert_eq!(printed(&stack.0), printed(&turned));
    }

    /// Applying is associative: two neighbours can be merged into one changeset first.
    #[test]
    fn merged_layers_give_the_same_tree(stack in without_links(), pick in any::<sample::Index>()) {
        prop_assume!(stack.0.len() > 1);
        let index = pick.index(stack.0.len() - 1);
        let mut less = stack.0.clone();
        let upper = less.remove(index + 1);
        let merged = merged(&less[index], &upper);
        prop_assume!(merged.is_some());
        less[index] = merged.unwrap();
        prop_assert_eq!(printed(&stack.0), printed(&less), "{:?}", Stack(less));
    }
}

/// The ways an image can be packed: header family, compression, members or frames.
const PACKINGS: &[(Dialect, Compression, usize)] = &[
    (Dialect::Ustar, Compression::None, 0),
    (Dialect::Pax, Compression::Gzip, 0),
    (Dialect::Gnu, Compression::Gzip, 3),
    (Dialect::Ustar, Compression::Zstd, 0),
    (Dialect::Pax, Compression::Zstd, 3),
    (Dialect::V7, Compression::None, 0),
];

fn repacked(layers: &[Layer], packing: (Dialect, Compression, usize)) -> Vec<Layer> {
    let mut layers = layers.to_vec();
    for layer in &mut layers {
        (layer.compression, layer.members) = (packing.1, packing.2);
        for entry in &mut layer.entries {
            // A header of Unix v7 has types for files and links alone.
            let holds = match entry.kind {
                Kind::File(_) | Kind::Symlink(_) | Kind::Hardlink(..) => true,
                _ => packing.0 != Dialect::V7,
            };
            if holds {
                entry.dialect = packing.0;
            }
        }
    }
    layers
}

/// The tree of layers as mtree(5), or that there is none. The times of directories that layers only walk
/// through are kept here: where layers end is what these relations change.
fn printed(layers: &[Layer]) -> String {
    match apply_layers(layers, true) {
        Ok(tree) => mtree::print(&tree, &[]),
        Err(_) => "none".to_owned(),
    }
}

fn added_and_hidden(dir: &BString, opaque: bool) -> (Layer, Layer) {
    let path = |name: &str| match dir.is_empty() {
        true => name.to_owned(),
        false => format!("{dir}/{name}"),
    };
    let empty = || Kind::File(Content::Bytes(Vec::new()));
    let mut added = vec![
        Entry::new(Kind::Dir(None), path("new")),
        Entry::new(empty(), path("new/file")),
        Entry::new(Kind::Symlink("file".into()), path("new/link")),
    ];
    let mut hidden = Vec::new();
    if opaque {
        // Opaque directories lose their children and stay, so one more whiteout takes the directory.
        added.push(Entry::new(Kind::Dir(None), path("new/dir")));
        hidden.push(Entry::new(empty(), path("new/.wh..wh..opq")));
    }
    hidden.push(Entry::new(empty(), path(".wh.new")));
    (layer(added), layer(hidden))
}

/// One changeset that does what two do one after the other, where their paths go through no link and no
/// entry is a hard link.
///
/// - Both layers' whiteouts stay: they are for what is below both.
/// - Of the lower layer's entries those stay that the upper one neither hides nor replaces.
/// - Where the lower layer put something else than a directory at a path and the upper one has a directory
///   there, what is below both is gone and does not come back: a whiteout says so.
///
/// `None` where a directory stays that only entries implied which do not stay: no changeset has directories
/// of open attributes by themselves.
fn merged(lower: &Layer, upper: &Layer) -> Option<Layer> {
    let is_dir = |entry: &Entry| matches!(entry.kind, Kind::Dir(_));
    let (markers, added): (Vec<&Entry>, Vec<&Entry>) =
        upper.entries.iter().partition(|entry| is_marker(entry));
    let mut entries: Vec<Entry> = Vec::new();
    let mut dropped: Vec<&BString> = Vec::new();
    let goes = |path: &[u8], is_dir_there: bool| {
        let is_hidden = markers.iter().any(|marker| hides(&marker.path, path));
        let is_replaced = added.iter().any(|new| {
            let in_its_place = new.path == path || is_below(&new.path, path) && !is_dir_there;
            in_its_place || is_below(path, &new.path) && !is_dir(new)
        });
        is_hidden || is_replaced
    };
    for entry in &lower.entries {
        let path = &entry.path;
        let gives_way = added
            .iter()
            .any(|new| new.path == *path && is_dir(new) || is_below(&new.path, path));
        if is_marker(entry) || !goes(path, is_dir(entry)) {
            entries.push(entry.clone());
            continue;
        }
        dropped.push(path);
        if !is_dir(entry) && gives_way {
            let (parent, name) = path.rsplit_once_str("/").unwrap_or((b"", path));
            let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            let whiteout = [parent, slash, b".wh.", name].concat();
            entries.push(Entry::new(Kind::File(Content::Bytes(Vec::new())), whiteout));
        }
    }
    entries.extend(upper.entries.iter().cloned());
    let stands = |dir: &[u8]| {
        let mut added = entries.iter().filter(|entry| !is_marker(entry));
        goes(dir, true) || added.any(|entry| entry.path == dir || is_below(&entry.path, dir))
    };
    let mut implied = dropped
        .iter()
        .flat_map(|path| path.find_iter("/").map(|end| &path[..end]));
    implied.all(stands).then(|| layer(entries.clone()))
}

/// What native gets wrong in a question whose answer is a tree.
fn wrong(question: &Question) -> Vec<String> {
    match &question.wanted {
        Wanted::Tree(_) => {
            let findings = ask(question, &native).unwrap();
            findings.iter().map(|finding| finding.line()).collect()
        }
        _ => Vec::new(),
    }
}

/// What must come of layers, by the model.
fn question(layers: &[Layer]) -> Question {
    let case = case(layers.to_vec());
    Question {
        id: case.id.clone(),
        title: case.title.clone(),
        rule: String::new(),
        level: String::new(),
        embargo: false,
        privileged: false,
        wanted: match apply_layers(layers, false) {
            Ok(tree) => Wanted::Tree(tree),
            Err(_) => Wanted::Record,
        },
        source: Source::Case(Box::new(case)),
        run: Vec::new(),
    }
}

/// Whether some stack breaks a relation.
fn is_broken(relation: impl Fn(&[Layer]) -> bool) -> bool {
    let mut runner = TestRunner::new(config(1000));
    let tried = runner.run(&without_links(), |stack| {
        prop_assert!(relation(&stack.0));
        Ok(())
    });
    tried.is_err()
}

#[test]
fn a_relation_that_does_not_hold_is_seen() {
    let last_two = |layers: &[Layer], change: &dyn Fn(&mut Vec<Layer>)| {
        let mut changed = layers.to_vec();
        if layers.len() > 1 {
            change(&mut changed);
        }
        printed(layers) == printed(&changed)
    };
    assert!(!is_broken(|layers| last_two(layers, &|_| {})));
    // Concatenation is no merge: whiteouts then hide nothing of what is merged, and files nothing at all.
    assert!(is_broken(|layers| last_two(layers, &|layers| {
        let upper = layers.pop().unwrap();
        layers.last_mut().unwrap().entries.extend(upper.entries);
    })));
    assert!(is_broken(|layers| last_two(layers, &|layers| {
        let count = layers.len();
        layers.swap(count - 2, count - 1);
    })));
    // What is added and not hidden is there.
    assert!(is_broken(|layers| last_two(layers, &|layers| {
        layers.push(added_and_hidden(&BString::default(), false).0);
    })));
    // Whiteouts are cut off from their layer.
    assert!(is_broken(|layers| last_two(layers, &|layers| {
        let last = layers.pop().unwrap();
        let (markers, rest) = last.entries.into_iter().partition(is_marker);
        layers.extend([layer(rest), layer(markers)]);
    })));
}

#[test]
fn an_extractor_that_is_wrong_on_stacks_is_seen() {
    // Whiteouts of a layer that hide what stands before them in it, as if each began a layer.
    let in_order = |layout: &Path| {
        let layers = read_layout(layout, None).unwrap();
        let cut = layers.iter().flat_map(|one| {
            let parts = one.entries.chunk_by(|_, next| !is_marker(next));
            parts
                .map(|entries| layer(entries.to_vec()))
                .collect::<Vec<_>>()
        });
        let cut: Vec<Layer> = cut.collect();
        Ok(apply_layers(&cut, false).map_err(|error| error.to_string()))
    };
    let asked = |layers: &[Layer]| match question(layers) {
        question if matches!(question.wanted, Wanted::Tree(_)) => {
            ask(&question, &in_order).unwrap().is_empty()
        }
        _ => true,
    };
    assert!(is_broken(asked));
}

/// What the relations are tried on is not empty: trees that are no trees are few, kinds and whiteouts many.
#[test]
fn the_stacks_have_everything() {
    let mut runner = TestRunner::new(config(1));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = |what| *seen.entry(what).or_default() += 1;
    for _ in 0..500 {
        let Stack(layers) = proper().new_tree(&mut runner).unwrap().current();
        count(if apply_layers(&layers, true).is_ok() {
            "tree"
        } else {
            "no tree"
        });
        let Stack(layers) = without_links().new_tree(&mut runner).unwrap().current();
        if let [.., lower, upper] = layers.as_slice() {
            let same = layers.iter().all(|layer| layer.entries.is_empty());
            count(if same || merged(lower, upper).is_none() {
                "not merged"
            } else {
                "merged"
            });
        }
        for entry in stacks::entries(&layers) {
            count(match &entry.kind {
                _ if entry.path.ends_with(b".wh..wh..opq") => "opaque",
                _ if is_marker(entry) => "whiteout",
                Kind::Dir(_) => "dir",
                Kind::File(_) => "file",
                Kind::Symlink(_) => "symlink",
                _ => "special",
            });
        }
    }
    for (what, least) in [
        ("tree", 350),
        ("no tree", 10),
        ("merged", 150),
        ("not merged", 5),
        ("opaque", 50),
        ("whiteout", 50),
        ("dir", 500),
        ("file", 500),
        ("symlink", 100),
        ("special", 200),
    ] {
        assert!(seen[what] >= least, "{what}: {seen:?}");
    }
}
