//! A project's folder of a test's own: the converters of the checkout, cases of the test's making.
//!
//! Every command runs with its temporary files in the folder too, so that what it leaves is seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use harness::case::Corpus;

use crate::require::HARNESS;

/// A temporary `--home`.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit code; a death by signal fails the test at once.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// A case of one file, the plainest there is.
pub(crate) const PLAIN: &str = r#"
title = "a file is as the layer has it"
spec  = "layer.md#file-types"
quote = "regular files"
level = "must"

[[layer]]
entries = [{ file = "etc/plain", text = "plain\n", mode = 0o640 }]

[expect]
tree = "golden"
"#;

/// A case that must be rejected: the blob of its second layer is altered.
const ALTERED: &str = r#"
title = "an altered layer blob is an error"
spec  = "descriptor.md#properties"
quote = "the digest property"
level = "must"

[[layer]]
entries = [{ file = "etc/plain", text = "plain\n" }]

[image]
blob = [{ of = "layer:1", flip = 600 }]

[expect]
reject = "the digest of a layer blob is not the stated one"
"#;

/// A converter in one shell line that does it right: the native one, which needs no privileges to make
/// an archive.
pub(crate) const GOOD: &str =
    "{harness} convert --layout {layout} --reference {tag} --format tar {out}";

/// A project with one case that must be accepted.
pub(crate) fn plain() -> Project {
    Project::with_cases(&[("name/plain", PLAIN)])
}

/// A project with one case that must be accepted and one that must be rejected.
pub(crate) fn both() -> Project {
    Project::with_cases(&[("name/plain", PLAIN), ("layout/altered", ALTERED)])
}

/// The checkout this test was built in.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the checkout")
}

impl Project {
    /// The checkout's converters and its shell, and no case.
    pub(crate) fn new() -> Project {
        let project = Project {
            folder: tempfile::Builder::new()
                .prefix("harness-it-")
                .tempdir()
                .unwrap(),
        };
        for folder in ["corpus/asset", "golden", "tmp"] {
            fs::create_dir_all(project.path(folder)).unwrap();
        }
        let shell = checkout().join("corpus/asset/sh");
        fs::copy(shell, project.path("corpus/asset/sh")).unwrap();
        for runner in fs::read_dir(checkout().join("runners")).unwrap() {
            let runner = runner.unwrap();
            let descriptor = runner.path().join("runner.toml");
            if descriptor.is_file() {
                let name = runner.file_name().into_string().unwrap();
                let text = fs::read_to_string(descriptor).unwrap();
                project.write(&format!("runners/{name}/runner.toml"), &text);
            }
        }
        project
    }

    /// The cases, with their goldens from the model.
    pub(crate) fn with_cases(cases: &[(&str, &str)]) -> Project {
        let project = Project::new();
        for (id, text) in cases {
            project.write(&format!("corpus/{id}.toml"), text);
        }
        project.harness(&["bless", "--all"]).is(0);
        project
    }

    /// Cases of the checkout's corpus, with the checkout's goldens.
    pub(crate) fn of_corpus(ids: &[&str]) -> Project {
        let project = Project::new();
        let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
        for id in ids {
            let case = corpus
                .find(id)
                .unwrap_or_else(|| panic!("no case `{id}` in the corpus"));
            let goldens = case.goldens().into_iter();
            let files = goldens.map(|(name, _)| format!("golden/{name}.mtree"));
            for file in files.chain([format!("corpus/{id}.toml")]) {
                let text = fs::read_to_string(checkout().join(&file)).unwrap();
                project.write(&file, &text);
            }
        }
        project
    }

    /// Lets the project boot with the checkout's guest kernel and snapshots.
    pub(crate) fn lend_machine(&self) {
        // The snapshots are kept there for the next run; a kernel is there or is not.
        fs::create_dir_all(checkout().join("target/harness/boot")).unwrap();
        fs::create_dir_all(self.path("target/harness")).unwrap();
        for folder in ["target/kernel", "target/harness/boot"] {
            fs::os::unix::fs::symlink(checkout().join(folder), self.path(folder)).unwrap();
        }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the folder as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, with its folders.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs `harness` on this project and holds that it leaves nothing behind: no work in progress, no
    /// temporary file, no change to corpus or runners.
    #[track_caller]
    pub(crate) fn harness(&self, arguments: &[&str]) -> Said {
        let asked = ["corpus", "runners"].map(|folder| self.files(folder));
        let said = Said::of(self.command(arguments));
        let left = ["target/harness/work", "tmp"].map(|folder| self.files(folder));
        assert_eq!(
            left,
            [BTreeMap::new(), BTreeMap::new()],
            "left behind by `harness {}`\n{said:?}",
            arguments.join(" ")
        );
        assert!(
            asked == ["corpus", "runners"].map(|folder| self.files(folder)),
            "`harness {}` changes what it asks with",
            arguments.join(" ")
        );
        said
    }

    /// `harness` on this project, not started. It starts in `/`, since a folder below `/tmp` is not
    /// there for a contained command.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HARNESS);
        command
            .args(arguments)
            .arg("--home")
            .arg(self.folder.path())
            .env("TMPDIR", self.path("tmp"))
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Runs a shell command as the converter on the cases; nothing is packed, nothing booted.
    #[track_caller]
    pub(crate) fn convert(&self, command: &str, output: &str, more: &[&str]) -> Said {
        let mut arguments = vec!["run", "--command", command, "--output", output];
        arguments.extend(["--format", output, "--boot", "off"]);
        arguments.extend(more);
        self.harness(&arguments)
    }

    /// Every path below a folder with its length, or nothing where there is no such folder.
    fn files(&self, folder: &str) -> BTreeMap<PathBuf, u64> {
        let walk = walkdir::WalkDir::new(self.path(folder)).min_depth(1);
        walk.into_iter()
            .filter_map(Result::ok)
            .map(|entry| {
                let length = entry.metadata().map_or(0, |metadata| metadata.len());
                (entry.into_path(), length)
            })
            .collect()
    }

    /// A text without this machine's paths.
    pub(crate) fn masked(&self, text: &str) -> String {
        let folder = self.folder.path().to_str().unwrap();
        text.replace(folder, "HOME")
            .replace(folder.trim_start_matches('/'), "HOME")
    }
}

impl Said {
    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn of(mut command: Command) -> Said {
        Said::from_output(command.output().unwrap())
    }

    /// What a command that has ended said.
    #[track_caller]
    pub(crate) fn from_output(output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).expect("programs print UTF-8 here");
        Said {
            code: output
                .status
                .code()
                .unwrap_or_else(|| panic!("{}", output.status)),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Holds the exit code.
    #[track_caller]
    pub(crate) fn is(self, code: i32) -> Said {
        let Said { stdout, stderr, .. } = &self;
        assert_eq!(self.code, code, "\n{stdout}{stderr}");
        self
    }

    /// Holds that standard output contains a text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Said {
        let Said { stdout, stderr, .. } = &self;
        assert!(stdout.contains(text), "no `{text}` in\n{stdout}{stderr}");
        self
    }

    /// Holds that standard error, with blank space folded, contains a text.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Said {
        let folded: Vec<&str> = self.stderr.split_whitespace().collect();
        let wanted: Vec<&str> = text.split_whitespace().collect();
        let (folded, wanted) = (folded.join(" "), wanted.join(" "));
        assert!(
            folded.contains(&wanted),
            "no `{wanted}` in\n{}",
            self.stderr
        );
        self
    }

    /// Holds an error: exit 2, these words, one line of `harness: …` or clap's own, and no report.
    #[track_caller]
    pub(crate) fn refuses(self, text: &str) -> Said {
        let said = self.is(2).complains(text);
        assert_eq!(said.stdout, "", "an error prints no report");
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        said
    }
}
