//! A suite of the archive that this machine has no sources of: apt with lists of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{PushEnv, Shell, cmd};

use super::captured;

/// Who signs what is fetched.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite, with its lists fetched.
pub(crate) struct Archive {
    configuration: PathBuf,
}

impl Archive {
    /// Fetches the lists of a suite of Debian into the folder `scratch`, where they stay.
    pub(crate) fn fetch(
        shell: &Shell,
        mirror: &str,
        suite: &str,
        scratch: &Path,
    ) -> Result<Archive> {
        let apt = scratch.join("apt");
        for name in ["lists/partial", "cache/archives/partial"] {
            let path = apt.join(name);
            fs::create_dir_all(&path).with_context(|| format!("making `{}`", path.display()))?;
        }
        let list = apt.join("sources.list");
        fs::write(
            &list,
            format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"),
        )
        .with_context(|| format!("writing `{}`", list.display()))?;
        fs::write(apt.join("status"), "").context("writing an empty dpkg status")?;
        let shown = apt.display();
        let configuration = apt.join("apt.conf");
        // A suite that moves, and a clock that is not quite right, must not keep anybody from testing.
        let text = format!(
            "Dir::State::lists \"{shown}/lists\";\nDir::State::status \"{shown}/status\";\n\
             Dir::Cache \"{shown}/cache\";\nDir::Etc::sourcelist \"{shown}/sources.list\";\n\
             Dir::Etc::sourceparts \"/nonexistent\";\nAcquire::Check-Valid-Until \"false\";\n\
             Acquire::Languages \"none\";\n"
        );
        fs::write(&configuration, text)
            .with_context(|| format!("writing `{}`", configuration.display()))?;
        let archive = Archive { configuration };
        {
            let _apt = archive.enter(shell);
            captured(cmd!(shell, "apt-get -qq update").quiet())?;
        }
        Ok(archive)
    }

    /// Has apt see this suite and nothing else, until what is returned goes.
    pub(crate) fn enter<'a>(&self, shell: &'a Shell) -> PushEnv<'a> {
        shell.push_env("APT_CONFIG", &self.configuration)
    }
}
