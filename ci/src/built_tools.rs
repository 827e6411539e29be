//! `ci tool NAME`: what a converter needs built that no distribution packages.
//!
//! A runner's folder says how (`build` in its `runner.toml`); what it makes stands under
//! `target/tools/built/NAME`, which the converter sees read-only. It is never part of the build of the
//! workspace, and needs the package registry of its language.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use xshell::cmd;

use crate::console;
use crate::workspace::{Workspace, publish};

/// The part of a `runner.toml` that this program reads.
#[derive(Deserialize)]
struct RunnerFile {
    /// A command that fills the folder `$PREFIX`; it runs in the runner's own folder, whose scratch
    /// is `$SCRATCH`.
    build: Option<Vec<String>>,
}

/// Builds what these runners need; without names, what every runner needs. True when all of it is there.
pub(crate) fn build(workspace: &Workspace, names: &[String], again: bool) -> Result<bool> {
    let known = buildable(&workspace.runners())?;
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| known.iter().all(|(one, _)| one != *name))
        .collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        bail!(
            "nothing to build for {unknown:?}; there are: {}",
            known.join(", ")
        );
    }
    let mut complete = true;
    for (name, command) in &known {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        match provide(workspace, name, command, again) {
            Ok(()) => console::say(&format!(
                "{name:<20}{}",
                workspace.target(&format!("tools/built/{name}")).display()
            )),
            Err(error) => {
                complete = false;
                console::problem(&format!("tool: {name} is not built: {error:#}"));
            }
        }
    }
    Ok(complete)
}

/// The runners that need something built, with their commands, by name.
fn buildable(runners: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(runners).with_context(|| format!("reading `{}`", runners.display()))?;
    for entry in entries {
        let path = entry?.path().join("runner.toml");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let parsed: RunnerFile =
            toml::from_str(&text).with_context(|| format!("reading `{}`", path.display()))?;
        let name = path.parent().and_then(Path::file_name).unwrap_or_default();
        if let Some(command) = parsed.build {
            found.push((name.to_string_lossy().into_owned(), command));
        }
    }
    found.sort();
    Ok(found)
}

fn provide(workspace: &Workspace, name: &str, command: &[String], again: bool) -> Result<()> {
    let built = workspace.target("tools/built");
    let place = built.join(name);
    if place.is_dir() && !again {
        return Ok(());
    }
    let Some((program, arguments)) = command.split_first() else {
        bail!("its `build` is empty");
    };
    console::progress(&format!("tool: building {name}"));
    fs::create_dir_all(&built).with_context(|| format!("making `{}`", built.display()))?;
    let scratch = workspace.scratch(&format!("tool-{name}"))?;
    let prefix = scratch.path().join("prefix");
    fs::create_dir(&prefix).with_context(|| format!("making `{}`", prefix.display()))?;
    let shell = &workspace.shell;
    let _there = shell.push_dir(workspace.runners().join(name));
    // This program runs under cargo, whose settings are not the tool's.
    let command = cmd!(shell, "{program} {arguments...}")
        .env("PREFIX", &prefix)
        .env("SCRATCH", scratch.path())
        .env(
            "CARGO",
            env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        )
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("RUSTFLAGS");
    crate::apt::captured(command.quiet())?;
    let mut made = fs::read_dir(&prefix).context("looking at what was built")?;
    if made.next().is_none() {
        bail!("its `build` succeeded and put nothing into $PREFIX");
    }
    publish(&prefix, &place)
}
