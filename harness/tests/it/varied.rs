//! Variants, end to end: what they find, that a wrong one is found itself, and the commands.

use std::collections::BTreeSet;
use std::path::Path;

use bstr::ByteSlice as _;
use fs_err as fs;
use harness::case::variant::{Variant, named, variants};
use harness::case::{Case, Corpus, Entry, Kind, Layer};
use harness::image::read_layout;
use harness::tree::apply_layers;

use crate::project::{GOOD, PLAIN, Project, checkout, plain};
use crate::variants::{CHOSEN, check, check_one, chosen, native};

/// An extractor that is right but for one mistake, which its case does not show.
struct Fault {
    /// A case that it gets right.
    case: &'static str,
    /// The mistake: other layers than the image has, or a refusal.
    mistake: fn(Vec<Layer>) -> Result<Vec<Layer>, &'static str>,
    /// The values of axes that show it, with all others right.
    caught_by: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault {
        case: "whiteout/basic",
        mistake: |layers| {
            let has_root = entries(&layers).any(|entry| entry.path == "./");
            has_root.then_some(layers).ok_or("no root")
        },
        caught_by: &["root=absent", "root=dot", "root=slash"],
    },
    Fault {
        case: "opaque/first",
        mistake: |layers| Ok(without(layers, |entry| entry.path.starts_with(b"/"))),
        caught_by: &["spelling=slash"],
    },
    // Markers are found by comparing text with names that have no `./`.
    Fault {
        case: "opaque/first",
        mistake: |layers| {
            Ok(without(layers, |entry| {
                entry.path.starts_with(b"./") && is_marker(entry)
            }))
        },
        caught_by: &["spelling=dot-slash"],
    },
    Fault {
        case: "opaque/first",
        mistake: |layers| Ok(without(layers, |entry| entry.path.contains_str("//"))),
        caught_by: &["spelling=double-slash"],
    },
    // What is a directory is told by the slash.
    Fault {
        case: "attribute/read-only-directory-with-children",
        mistake: |layers| {
            let is_bare =
                |entry: &Entry| matches!(entry.kind, Kind::Dir(_)) && !entry.path.ends_with(b"/");
            Ok(without(layers, is_bare))
        },
        caught_by: &["spelling=directory-plain"],
    },
    // A directory over a directory is emptied first.
    Fault {
        case: "attribute/unnamed-parent-keeps-mode",
        mistake: |layers| {
            let mut all: Vec<Layer> = Vec::new();
            for layer in layers {
                let again = layer.entries.iter().filter(|entry| {
                    let is_known = entries(&all).any(|known| known.path == entry.path);
                    is_known && matches!(entry.kind, Kind::Dir(_)) && !is_root(entry)
                });
                let emptied = again
                    .map(|entry| marker(&entry.path, ".wh..wh..opq"))
                    .collect();
                all.extend([of(emptied), layer]);
            }
            Ok(all)
        },
        caught_by: &["parents=explicit", "split=everywhere"],
    },
    Fault {
        case: "opaque/first",
        mistake: |layers| {
            let mut known = BTreeSet::from([b"".to_vec()]);
            for entry in entries(&layers) {
                let path = entry.path.trim_end_with(|c| c == '/').to_vec();
                let path = path
                    .strip_prefix(b"./")
                    .unwrap_or(&path)
                    .trim_start_with(|c| c == '/');
                let path = path.replace("//", "/");
                let parent = path
                    .rfind_byte(b'/')
                    .map_or(&b""[..], |slash| &path[..slash]);
                if !known.contains(parent) {
                    return Err("no parent");
                }
                known.insert(path);
            }
            Ok(layers)
        },
        caught_by: &["parents=implied", "order=directories-last"],
    },
    // A whiteout hides what its own layer brought before it.
    Fault {
        case: "opaque/first",
        mistake: |layers| {
            let cut = layers.iter().flat_map(|layer| {
                let parts = layer.entries.chunk_by(|_, next| !is_marker(next));
                parts.map(|part| of(part.to_vec()))
            });
            Ok(cut.collect())
        },
        caught_by: &["order=whiteouts-last", "order=reversed"],
    },
    Fault {
        case: "opaque/first",
        mistake: |layers| match layers.len() {
            0..=4 => Ok(layers),
            _ => Err("too many layers"),
        },
        caught_by: &["split=halves", "split=everywhere"],
    },
    Fault {
        case: "opaque/first",
        mistake: |layers| match layers.iter().all(|layer| !layer.entries.is_empty()) {
            true => Ok(layers),
            false => Err("an empty layer"),
        },
        caught_by: &[
            "empty-layer=bottom",
            "empty-layer=middle",
            "empty-layer=top",
        ],
    },
];

/// A text in the layout's files that an extractor does not take, and the values that show it on
/// `opaque/first`.
const UNREAD: &[(&[u8], &[&str])] = &[
    (b"ustar  \0", &["header=gnu"]),
    (b" path=", &["header=pax"]),
    (
        b"tar+zstd",
        &["compression=zstd", "compression=zstd-frames"],
    ),
    (b"v1.tar\"", &["compression=none"]),
    (
        b"docker.image",
        &["media-type=docker-layers", "media-type=docker"],
    ),
    (b"docker.distribution", &["media-type=docker"]),
];

fn entries(layers: &[Layer]) -> impl Iterator<Item = &Entry> {
    layers.iter().flat_map(|layer| &layer.entries)
}

fn of(entries: Vec<Entry>) -> Layer {
    Layer {
        entries,
        ..Layer::default()
    }
}

fn without(mut layers: Vec<Layer>, drop: impl Fn(&Entry) -> bool) -> Vec<Layer> {
    for layer in &mut layers {
        layer.entries.retain(|entry| !drop(entry));
    }
    layers
}

fn is_marker(entry: &Entry) -> bool {
    let name = entry.path.rsplit_str("/").next().unwrap_or_default();
    name.starts_with(b".wh.")
}

fn is_root(entry: &Entry) -> bool {
    ["./", ".", "/"].iter().any(|root| entry.path == *root)
}

fn marker(dir: &[u8], name: &str) -> Entry {
    let path = [dir, name.as_bytes()].concat();
    let content = harness::case::Content::Bytes(Vec::new());
    Entry::new(Kind::File(content), path)
}

fn corpus() -> Corpus {
    Corpus::read(&checkout().join("corpus")).unwrap()
}

#[test]
fn a_fault_that_the_case_does_not_show_is_caught_by_its_axis() {
    let corpus = corpus();
    for fault in FAULTS {
        let extract = |layout: &Path| {
            let layers = read_layout(layout, None).unwrap();
            Ok((fault.mistake)(layers)
                .map_err(str::to_owned)
                .and_then(|layers| apply_layers(&layers, false).map_err(|error| error.to_string())))
        };
        assert_caught(corpus.find(fault.case).unwrap(), &extract, fault.caught_by);
    }
}

#[test]
fn a_packing_that_is_not_understood_is_caught_by_its_axis() {
    let corpus = corpus();
    for (text, caught_by) in UNREAD {
        let extract = |layout: &Path| match all_bytes(layout).contains_str(text) {
            true => Ok(Err("not understood".to_owned())),
            false => native(layout),
        };
        assert_caught(corpus.find("opaque/first").unwrap(), &extract, caught_by);
    }
}

/// Holds that an extractor is right on a case and on all its variants but these.
#[track_caller]
fn assert_caught(case: &Case, extract: harness::check::direct::Extract<'_>, caught_by: &[&str]) {
    let golden = checkout().join("golden");
    let question = harness::check::Question::of_case(case, &golden).unwrap();
    let findings = harness::check::direct::ask(&question, extract).unwrap();
    assert_eq!(findings, [], "{}", case.id);
    let wrong = variants(case)
        .filter_map(|(_, _, variant)| variant.ok())
        .filter(|variant| {
            let findings = check_one(variant, case, &golden, extract).unwrap();
            assert!(
                findings.iter().all(|(who, _)| *who == "native"),
                "{findings:?}"
            );
            !findings.is_empty()
        });
    let wrong: Vec<String> = wrong
        .map(|variant| format!("{}={}", variant.axis, variant.value))
        .collect();
    assert_eq!(wrong, caught_by, "{}", case.id);
}

/// The trial `variants/opaque/first` of the conformance test, of an extractor that knows no zstd.
#[test]
fn what_a_trial_complains_of_names_the_variant() {
    let (corpus, golden) = (corpus(), checkout().join("golden"));
    let case = corpus.find("opaque/first").unwrap();
    assert_eq!(check(case, &golden, &native), Ok(27));
    let no_zstd = |layout: &Path| match all_bytes(layout).contains_str("+zstd") {
        true => Ok(Err("no zstd".to_owned())),
        false => native(layout),
    };
    let want = "opaque/first@compression=zstd  native: no zstd\n\
                opaque/first@compression=zstd-frames  native: no zstd";
    let complaints = check(case, &golden, &no_zstd).unwrap_err();
    assert_eq!(complaints.replace("rejected  ", ""), want);
}

/// All files of a layout, one after the other.
fn all_bytes(layout: &Path) -> Vec<u8> {
    let files = walkdir::WalkDir::new(layout)
        .into_iter()
        .map(Result::unwrap);
    let files = files.filter(|file| file.file_type().is_file());
    files
        .flat_map(|file| fs::read(file.path()).unwrap())
        .collect()
}

type Spoil = fn(&mut Variant);

/// What an axis gets wrong is no matter of extractors: the model says so, and native does.
#[test]
fn a_variant_that_is_not_the_same_image_is_seen() {
    let wrongs: [(&str, &str, Spoil); 7] = [
        ("opaque/first", "order=whiteouts-last", |variant| {
            // The whiteout in a layer of its own, on top.
            let layer = variant.case.layers.last_mut().unwrap();
            let whiteout = layer.entries.pop().unwrap();
            variant.case.layers.push(of(vec![whiteout]));
        }),
        ("image/python", "split=halves", |variant| {
            variant.case.layers.swap(3, 4);
        }),
        ("image/python", "parents=implied", |variant| {
            variant.unnamed.clear();
        }),
        ("image/python", "root=absent", |variant| {
            variant.unnamed.clear();
        }),
        ("image/python", "parents=explicit", |variant| {
            variant.case.layers[1].entries[1].mode = 0o711;
        }),
        ("image/python", "spelling=dot-slash", |variant| {
            variant.case.layers[1].entries[3].path.push(b'x');
        }),
        ("image/python", "empty-layer=top", |variant| {
            drop(variant.case.layers.remove(2));
        }),
    ];
    let (corpus, golden) = (corpus(), checkout().join("golden"));
    for (id, setting, spoil) in wrongs {
        let case = corpus.find(id).unwrap();
        let mut variant = named(case, setting).unwrap();
        let right = check_one(&variant, case, &golden, &native).unwrap();
        assert_eq!(right, [], "{id}@{setting}");
        spoil(&mut variant);
        let wrong = check_one(&variant, case, &golden, &native).unwrap();
        let by: BTreeSet<&str> = wrong.iter().map(|(who, _)| *who).collect();
        assert!(by.contains("model"), "{id}@{setting}: {wrong:?}");
        // Native has some attribute for a directory that nobody names, and may be lucky.
        assert!(
            by.contains("native") || setting == "root=absent",
            "{id}@{setting}: {wrong:?}"
        );
    }
}

#[test]
fn every_value_is_asked_of_the_converters_on_disk() {
    let corpus = corpus();
    for (converter, cases) in &CHOSEN {
        let asked = chosen(&corpus, cases).unwrap();
        assert_eq!(asked.len(), 32, "{converter}");
    }
    let error = chosen(&corpus, &["image/python"]).unwrap_err().to_string();
    assert!(
        error.contains("none of the chosen cases has a variant spelling=plain"),
        "{error}"
    );
}

#[test]
fn variants_are_listed_with_counts() {
    let project = plain();
    let listed = project.harness(&["list", "--variants"]).is(0);
    let listed = listed
        .prints("name/plain@root=absent ")
        .prints("name/plain@media-type=docker         de-facto  tree    a file is as the layer has it; with")
        .prints(&format!("{:24}  {:5} variants\n", "root=absent", 1))
        .prints(&format!("{:24}  {:5} variants; left out: 1 so already\n", "spelling=plain", 0));
    assert!(
        listed.stdout.ends_with("19 variants\n"),
        "{}",
        listed.stdout
    );
    project
        .harness(&["list", "--variants", "@root="])
        .is(0)
        .prints("\n4 variants\n");
    let none = project.harness(&["list", "--variants", "no-such"]).is(2);
    assert_eq!(none.stdout, "0 variants\n");
    let cases = project.harness(&["list"]).is(0);
    assert!(cases.stdout.ends_with("\n1 cases\n") && !cases.stdout.contains('@'));
}

#[test]
fn variants_are_run_shown_and_exported_by_their_ids() {
    let project = plain();
    let run = |more: &[&str]| project.convert(GOOD, "tar", more);
    run(&["--variants"]).is(0).prints("19 pass   0 fail");
    run(&["--variants", "@split"]).refuses("nothing matches");
    let one = "name/plain@compression=zstd";
    run(&["--only", one])
        .is(0)
        .prints(&format!("PASS  command/{one}"))
        .prints("1 pass   0 fail");
    run(&["--only", "name/plain@order=sorted"])
        .refuses("the case has no variant `order=sorted`: so already");
    run(&["--only", "name/plain@order=new"])
        .refuses("no variant `order=new`; there are root=absent");
    run(&["--only", "name/pain@root=dot"]).refuses("no case `name/pain`; near it: name/plain");
    project
        .harness(&["show", one])
        .is(0)
        .prints("with zstd layers")
        .prints("golden/name/plain.mtree");
    let to = project.arg("bundle");
    project
        .harness(&["export", "name/plain@root=absent", "--to", &to])
        .is(0);
    let expected = fs::read_to_string(project.path("bundle/expected.mtree")).unwrap();
    assert!(expected.contains("\n. type=dir\n"), "{expected}");
    assert!(project.path("bundle/case.toml").is_file());
}

/// A converter that is right on a case and wrong on a variant is red, and what is known of the case covers
/// its variants; a variant that passes all the same fixes nothing.
#[test]
fn a_variant_that_fails_is_red_unless_its_case_is_known_to() {
    let project = Project::with_cases(&[("name/plain", PLAIN)]);
    let no_zstd = format!("! grep -rqs 'tar+zstd' {{layout}} && {GOOD}");
    let red = project.convert(&no_zstd, "tar", &["--variants"]).is(1);
    red.prints("FAIL  command/name/plain@compression=zstd\n")
        .prints("case    corpus/name/plain.toml")
        .prints(" --only name/plain@compression=zstd-frames\n")
        .prints("17 pass   2 fail");
    let command = toml::Value::from(vec!["sh", "-c", &no_zstd]);
    project.write(
        "runners/plain/runner.toml",
        &format!("summary = 'x'\ninput = 'layout'\noutput = 'tar'\ncommand = {command}\n"),
    );
    let known = |cases: &str| {
        let text = format!(
            "[[known]]\ncases = [{cases}]\nkinds = ['rejected']\nreason = 'x'\nlink = 'x'\n"
        );
        project.write("runners/plain/expectations.toml", &text);
        project.harness(&["run", "--converter", "plain", "--variants"])
    };
    known("'name/plain'")
        .is(0)
        .prints("17 pass   0 fail   2 known   0 fixed");
    let zstd = "'name/plain@compression=zstd','name/plain@compression=zstd-frames'";
    known(zstd)
        .is(0)
        .prints("17 pass   0 fail   2 known   0 fixed");
    let stale = format!("{zstd},'name/plain@root=dot'");
    known(&stale)
        .is(1)
        .prints("16 pass   0 fail   2 known   1 fixed");
    known("'name/plain@order=sorted'").refuses("no case `name/plain@order=sorted`");
}
