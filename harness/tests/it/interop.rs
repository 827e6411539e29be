//! Readers that are not ours: Python's `tomllib` on the corpus, NetBSD's mtree and libarchive on the
//! goldens, the `oci-spec` crate on the layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use harness::case::escape::unescape;
use harness::case::{Case, Corpus, Expect};
use harness::image::{read_layout, write_layout};
use harness::tree::mtree;
use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest, OciLayout};
use serde_json::Value;

use crate::project::{PLAIN, Project, Said, checkout};
use crate::require::{HARNESS, root, tool};

/// Prints, for each case file named on standard input, its layers as numbers of entries.
const COUNT_ENTRIES: &str = "
import json, sys, tomllib
for path in sys.stdin.read().splitlines():
    with open(path, 'rb') as file:
        case = tomllib.load(file)
    layers = [len(layer.get('entries', [])) for layer in case.get('layer', [])]
    print(json.dumps([case['title'].strip(), case.get('base', 'shell'), layers]))
";

#[test]
fn python_reads_every_case_as_we_do() {
    let Some(python) = tool("python3", "case files as Python's tomllib reads them") else {
        return;
    };
    let root = checkout().join("corpus");
    let cases = Corpus::read(&root).unwrap().cases;
    let paths: Vec<String> = cases
        .iter()
        .map(|case| root.join(format!("{}.toml", case.id)).display().to_string())
        .collect();
    let said = with_input(
        Command::new(python).args(["-c", COUNT_ENTRIES]),
        &paths.join("\n"),
    )
    .is(0);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), cases.len());
    for (case, line) in cases.iter().zip(lines) {
        let (title, base, layers): (String, String, Vec<usize>) =
            serde_json::from_str(line).unwrap();
        let authored = &case.layers[usize::from(base != "none")..];
        let counts: Vec<usize> = authored.iter().map(|layer| layer.entries.len()).collect();
        assert_eq!((&case.title, &counts), (&title, &layers), "{}", case.id);
    }
}

/// Debian's `mtree` is NetBSD's: it reads every golden, passes the right tree and names what is wrong
/// with another.
#[test]
fn netbsd_mtree_judges_trees_by_our_goldens() {
    let what = "goldens as NetBSD's mtree reads them";
    let (Some(mtree), true) = (tool("mtree", what), root(what)) else {
        return;
    };
    let project = Project::new();
    for case in one_of_each_folder() {
        let rootfs = convert(&project, &case);
        let golden = golden_path(&case.id);
        let judge = || {
            let mut command = Command::new(&mtree);
            command.arg("-f").arg(&golden).arg("-p").arg(&rootfs);
            Said::of(command)
        };
        let said = judge();
        assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{}", case.id);

        let shell = rootfs.join("usr/bin/sh");
        if case.id == "image/python" {
            fs::write(rootfs.join("app/stray"), "").unwrap();
            judge().is(2).prints("extra: app/stray");
            fs::remove_file(rootfs.join("app/stray")).unwrap();
            fs::remove_file(rootfs.join("app/version")).unwrap();
            judge().is(2).prints("missing: ./app/version");
        } else if shell.exists() {
            let mut bytes = fs::read(&shell).unwrap();
            bytes[0] ^= 1;
            fs::write(&shell, bytes).unwrap();
            judge().is(2).prints("sha256 (0x").prints("usr/bin/sh");
        }
        fs::remove_dir_all(rootfs).unwrap();
    }
}

/// What NetBSD's mtree takes for a path (`MAXPATHLEN`), with room for the root it is joined to.
const MTREE_PATH_MAX: usize = 4000;
/// The longest line libarchive reads.
const LIBARCHIVE_LINE_MAX: usize = 65_536;

#[test]
fn netbsd_mtree_reads_every_golden() {
    let Some(mtree) = tool("mtree", "goldens as NetBSD's mtree reads them") else {
        return;
    };
    let mut complaints = Vec::new();
    for (name, text) in goldens() {
        let mut command = Command::new(&mtree);
        command.arg("-C").arg("-f").arg(golden_path(&name));
        let said = Said::of(command);
        let is_readable = text.lines().all(|line| {
            let path = line.split(' ').next().unwrap_or_default();
            path.len() < MTREE_PATH_MAX
        });
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        if is_readable != (said.code == 0 && said.stdout.lines().count() == lines) {
            complaints.push(format!("{name}: exit {}: {}", said.code, said.stderr));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn bsdtar_lists_the_paths_of_every_golden() {
    let Some(bsdtar) = tool("bsdtar", "goldens as libarchive reads them") else {
        return;
    };
    let mut complaints = Vec::new();
    for (name, text) in goldens() {
        let tree = mtree::parse(&text).unwrap();
        let want: BTreeSet<Vec<u8>> = tree
            .iter()
            .map(|(path, ..)| match path.is_empty() {
                true => b".".to_vec(),
                false => [b"./", path.as_slice()].concat(),
            })
            .collect();
        let mut command = Command::new(&bsdtar);
        command
            .arg("-tf")
            .arg(golden_path(&name))
            .env("LC_ALL", "C");
        let said = Said::of(command);
        let got: BTreeSet<Vec<u8>> = said.stdout.lines().map(c_unescape).collect();
        let is_readable = text.lines().all(|line| line.len() < LIBARCHIVE_LINE_MAX);
        if is_readable != (said.code == 0 && got == want) {
            let strange: Vec<_> = got.symmetric_difference(&want).collect();
            complaints.push(format!("{name}: {strange:?} {}", said.stderr));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn oci_spec_reads_every_document_we_write() {
    let mut count = 0;
    for case in Corpus::read(&checkout().join("corpus")).unwrap().cases {
        // Its platform knows no `os.features`, which images with EROFS layers must declare.
        let is_erofs = case.layers.iter().any(|layer| layer.format.is_erofs());
        if is_erofs || !case.image.edits.is_empty() || !case.image.blobs.is_empty() {
            continue;
        }
        let layout = tempfile::tempdir().unwrap();
        let written = write_layout(&case, layout.path()).unwrap();
        let blob = |digest: &str| {
            let hex = digest.strip_prefix("sha256:").unwrap();
            layout.path().join("blobs/sha256").join(hex)
        };
        let id = &case.id;

        let version = OciLayout::from_file(layout.path().join("oci-layout")).unwrap();
        equal(id, &version, &layout.path().join("oci-layout"));
        let mut place = layout.path().join("index.json");
        let mut index = ImageIndex::from_file(&place).unwrap();
        equal(id, &index, &place);
        for _ in 0..case.image.nested {
            assert_eq!(index.manifests().len(), 1, "{id}");
            place = blob(index.manifests()[0].digest().as_ref());
            index = ImageIndex::from_file(&place).unwrap();
            equal(id, &index, &place);
        }
        assert_eq!(index.manifests().len(), 1, "{id}");
        let top = &index.manifests()[0];
        assert_eq!(top.digest().to_string(), written.manifest, "{id}");

        let path = blob(&written.manifest);
        assert_eq!(fs::metadata(&path).unwrap().len(), top.size(), "{id}");
        let manifest = ImageManifest::from_file(&path).unwrap();
        equal(id, &manifest, &path);
        let digests: Vec<String> = manifest
            .layers()
            .iter()
            .map(|layer| layer.digest().to_string())
            .collect();
        assert_eq!(digests, written.layers, "{id}");
        for layer in manifest.layers() {
            let length = fs::metadata(blob(layer.digest().as_ref())).unwrap().len();
            assert_eq!(length, layer.size(), "{id}");
        }

        let path = blob(manifest.config().digest().as_ref());
        let config = ImageConfiguration::from_file(&path).unwrap();
        equal(id, &config, &path);
        assert_eq!(config.rootfs().diff_ids().len(), case.layers.len(), "{id}");
        count += 1;
    }
    assert!(count > 100, "only {count} layouts");
}

/// What `oci-spec` understood, written again, is the document: no field was unknown to it or changed.
#[track_caller]
fn equal(id: &str, understood: &impl serde::Serialize, document: &Path) {
    let written: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
    let understood = serde_json::to_value(understood).unwrap();
    assert_eq!(understood, written, "{id}");
}

#[test]
fn a_document_that_oci_spec_understands_otherwise_is_seen() {
    let project = Project::with_cases(&[("name/plain", PLAIN)]);
    let layout = project.path("layout");
    let case = Corpus::read(&project.path("corpus"))
        .unwrap()
        .cases
        .remove(0);
    write_layout(&case, &layout).unwrap();
    assert!(read_layout(&layout, None).is_ok());
    let index = layout.join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen('{', "{\"unknown\":1,", 1)).unwrap();
    let understood = ImageIndex::from_file(&index).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    assert_ne!(serde_json::to_value(understood).unwrap(), written);
}

/// Every golden's name and text.
fn goldens() -> Vec<(String, String)> {
    let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    let names = corpus.cases.iter().flat_map(Case::goldens);
    let texts = names.map(|(name, _)| {
        let text = fs::read_to_string(golden_path(&name)).unwrap();
        (name, text)
    });
    texts.collect()
}

fn golden_path(name: &str) -> PathBuf {
    checkout().join(format!("golden/{name}.mtree"))
}

/// The first case of each folder that must give a tree, and the large one.
fn one_of_each_folder() -> Vec<Case> {
    let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    let mut firsts = BTreeMap::new();
    for case in corpus.cases {
        let folder = case.id.split('/').next().unwrap_or_default().to_owned();
        let damaged = !case.image.edits.is_empty() || !case.image.blobs.is_empty();
        if case.expect == Expect::Tree && !damaged {
            firsts.entry(folder).or_insert(case);
        }
    }
    assert!(firsts.contains_key("image"));
    firsts.into_values().collect()
}

/// The tree of a case, made by the native extractor.
fn convert(project: &Project, case: &Case) -> PathBuf {
    let layout = project.path("layout");
    write_layout(case, &layout).unwrap();
    let rootfs = project.path("rootfs");
    let mut command = Command::new(HARNESS);
    command
        .arg("convert")
        .arg("--layout")
        .arg(&layout)
        .arg(&rootfs);
    Said::of(command).is(0);
    fs::remove_dir_all(layout).unwrap();
    rootfs
}

fn with_input(command: &mut Command, input: &str) -> Said {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    Said::from_output(output)
}

/// A path as bsdtar prints it: octal escapes as ours, and those of C for the blanks that have one.
fn c_unescape(line: &str) -> Vec<u8> {
    let mut octal = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        octal.push_str(&rest[..at]);
        let (escape, length) = match &rest[at + 1..at + 2] {
            "\\" => ("\\134", 2),
            "a" => ("\\007", 2),
            "b" => ("\\010", 2),
            "f" => ("\\014", 2),
            "n" => ("\\012", 2),
            "r" => ("\\015", 2),
            "t" => ("\\011", 2),
            "v" => ("\\013", 2),
            _ => (&rest[at..at + 4], 4),
        };
        octal.push_str(escape);
        rest = &rest[at + length..];
    }
    octal.push_str(rest);
    unescape(&octal).unwrap_or_else(|error| panic!("{line}: {error}"))
}
