//! `ci real-image`: an image as people have them, made of the distribution's own packages.
//!
//! A minimal system with Python in three layers, as an OCI layout under `target/real`. mmdebstrap
//! makes the root filesystems from the package sources of this machine; umoci makes the layer
//! changesets, so whiteouts are those of a real tool, not ours.

mod layers;
mod layout;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::apt::{Privilege, captured, captured_std};
use crate::workspace::{Workspace, publish};
use crate::{console, setup, sources, tools};
use layers::LAYERS;

/// The tag of the image in its layout.
const TAG: &str = "latest";

/// What the second layer adds.
const PACKAGE: &str = "python3-minimal";

/// Makes the image unless it is there, and prints what it is and what to do with it.
pub(crate) fn real_image(workspace: &Workspace, force: bool) -> Result<()> {
    let place = workspace.target("real");
    if force || !place.join("index.json").is_file() {
        make(workspace, &place)?;
    } else {
        console::progress("real-image: already there; --force makes it again");
    }
    layout::describe(&place)
}

fn make(workspace: &Workspace, place: &Path) -> Result<()> {
    let dirs = setup::provide(workspace);
    for program in ["mmdebstrap", "umoci"] {
        if tools::find(&dirs, program).is_none() {
            bail!("`{program}` is missing: run `cargo run -p ci -- setup` and read what it says");
        }
    }
    let rights = Rights::detect(&workspace.shell)?;
    let scratch = workspace.scratch("real")?;
    let work = Work {
        shell: &workspace.shell,
        directory: scratch.path(),
        rights,
    };

    let codename = sources::codename()?;
    let targets = sources::configured(work.shell, &codename)?;
    let list = work.directory.join("distribution.sources");
    fs::write(&list, sources::file(&targets)?).context("writing the list of sources")?;
    let epoch = sources::published(work.shell, &targets)?;

    console::progress(&format!(
        "real-image: installing {codename} twice, without and with Python"
    ));
    let (base, python) = (
        work.directory.join("base.tar"),
        work.directory.join("python.tar"),
    );
    let mut without = work.bootstrap(&codename, &list, &epoch, None, &base);
    let mut with = work.bootstrap(&codename, &list, &epoch, Some(PACKAGE), &python);
    thread::scope(|scope| {
        let without = scope.spawn(|| captured_std(&mut without));
        let with = captured_std(&mut with);
        without
            .join()
            .unwrap_or_else(|_| bail!("the thread that waited for it died"))
            .and(with)
    })?;
    let finished = work.assemble(&base, &python, &epoch)?;
    publish(&finished, place)
}

/// How files of any owner can be made.
#[derive(Clone, Copy)]
pub(crate) enum Rights {
    /// By the superuser.
    Root,
    /// In a user namespace that has a whole range of users.
    UserNamespace,
}

impl Rights {
    /// Finds out what this user may do.
    pub(crate) fn detect(shell: &Shell) -> Result<Self> {
        if Privilege::detect(shell) == Privilege::Root {
            return Ok(Self::Root);
        }
        let namespace = cmd!(shell, "unshare --map-root-user --map-auto true").quiet();
        if namespace.ignore_stdout().ignore_stderr().run().is_ok() {
            return Ok(Self::UserNamespace);
        }
        bail!(
            "a whole system has files of several owners, which needs root, or a user namespace \
             with a range of users (package `uidmap`, a line for this user in /etc/subuid and \
             /etc/subgid): run the same command as root"
        )
    }

    /// The word that mmdebstrap has for it.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespace => "unshare",
        }
    }
}

/// One making of the image: everything happens below `directory`.
struct Work<'a> {
    shell: &'a Shell,
    directory: &'a Path,
    rights: Rights,
}

impl Work<'_> {
    /// The command that installs a minimal system, with one package more or none, into an archive.
    fn bootstrap(
        &self,
        codename: &str,
        sources: &Path,
        epoch: &str,
        package: Option<&str>,
        archive: &Path,
    ) -> Command {
        let mode = self.rights.mode();
        // Device nodes are the business of whoever runs the image, and need rights to unpack.
        let command = cmd!(
            self.shell,
            "mmdebstrap --mode={mode} --variant=minbase --format=tar --skip=output/dev"
        );
        let command = command.args(package.map(|package| format!("--include={package}")));
        let mut command = command.arg(codename).arg(archive).arg(sources).quiet();
        command = command.env("SOURCE_DATE_EPOCH", epoch);
        if matches!(self.rights, Rights::Root) {
            // What a killed run leaves is found and removed with the scratch directory. The other
            // mode's users may not reach this directory; mmdebstrap then cleans up after itself.
            command = command.env("TMPDIR", self.directory);
        }
        command.into()
    }

    /// Makes the layout from the two archives.
    fn assemble(&self, base: &Path, python: &Path, epoch: &str) -> Result<PathBuf> {
        let layout = self.directory.join("layout");
        let bundle = self.directory.join("bundle");
        let image = format!("{}:{TAG}", layout.display());
        let created = cmd!(self.shell, "date --utc --date @{epoch} +%Y-%m-%dT%H:%M:%SZ").quiet();
        let created = created.read()?;

        self.run("umoci init --layout \"$1\"", &[&layout])?;
        self.run("umoci new --image \"$1\"", &[Path::new(&image)])?;
        self.run(
            "umoci unpack --image \"$1\" \"$2\"",
            &[Path::new(&image), &bundle],
        )?;
        for layer in &LAYERS {
            console::progress(&format!("real-image: layer: {}", layer.created_by));
            self.change(&bundle.join("rootfs"), layer.script, base, python, epoch)?;
            let repack = "umoci repack --refresh-bundle --image \"$1\" --history.created \"$2\" \
                          --history.created_by \"$3\" \"$4\"";
            let texts = [&image, &created, layer.created_by].map(Path::new);
            self.run(repack, &[texts[0], texts[1], texts[2], &bundle])?;
        }
        let configure = "umoci config --image \"$1\" --created \"$2\" --no-history \
                         --architecture amd64 --os linux --config.cmd /bin/sh \
                         --config.env PATH=/usr/sbin:/usr/bin:/sbin:/bin --config.workingdir /";
        self.run(configure, &[Path::new(&image), Path::new(&created)])?;
        self.run("umoci gc --layout \"$1\"", &[&layout])?;
        // umoci's blobs are for their owner only; a layout is for anyone who may see `target`.
        self.run(
            "chmod --recursive a+rX \"$1\"; rm --recursive \"$2\"",
            &[&layout, &bundle],
        )?;
        Ok(layout)
    }

    /// Runs a layer's script in the root filesystem; what it touched gets the image's time.
    fn change(
        &self,
        rootfs: &Path,
        script: &str,
        base: &Path,
        python: &Path,
        epoch: &str,
    ) -> Result<()> {
        let script = format!(
            "cd \"$1\"; BASE=$2; PYTHON=$3; umask 022\n{script}\n\
             find . -newermt @{epoch} -exec touch --no-dereference --date @{epoch} -- {{}} +"
        );
        self.run(&script, &[rootfs, base, python])
    }

    /// Runs a shell script with the rights to make files of any owner.
    fn run(&self, script: &str, arguments: &[&Path]) -> Result<()> {
        let shell = self.shell;
        let command = match self.rights {
            Rights::Root => cmd!(shell, "sh -euc {script} sh"),
            Rights::UserNamespace => {
                cmd!(
                    shell,
                    "unshare --map-root-user --map-auto sh -euc {script} sh"
                )
            }
        };
        captured(command.args(arguments).quiet())
    }
}
