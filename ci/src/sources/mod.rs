//! The host's own package sources, reduced to the distribution's: what an image is made from.
//!
//! A machine has third-party sources too; an image made from them would be another image. Apt
//! says which source is whose (`apt-get indextargets` gives the `Origin` of each signed release),
//! so no mirror is named here and whatever mirror the machine uses is used.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// Who signs the releases that belong in an image.
const ORIGINS: [&str; 2] = ["Debian", "Ubuntu"];

/// One component of one suite of one source, as apt has it configured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    uri: String,
    suite: String,
    component: String,
    /// File and number of the entry that configures it: the line of a `.list`, the paragraph of a
    /// `.sources`.
    entry: (String, usize),
    /// The file in which apt keeps the signed release.
    release_file: PathBuf,
}

/// The release of this machine, whose packages its sources have: `bookworm` on Debian 12.
pub(crate) fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading `/etc/os-release`")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.map(|name| name.trim_matches('"').to_owned())
        .context("`/etc/os-release` has no VERSION_CODENAME: this needs Debian or Ubuntu")
}

/// The mirror this machine has of Debian's archive, where every release of Debian is.
pub(crate) fn debian_mirror(shell: &Shell) -> Result<String> {
    let known = cmd!(shell, "apt-get indextargets")
        .arg("Created-By: Packages")
        .arg("Origin: Debian")
        .quiet()
        .read()?;
    let codename = codename()?;
    let whole = select(&known, &codename).into_iter().find(|target| {
        // Fixes are on servers of their own, which have no other releases.
        !target.suite.ends_with("-security") && target.component == "main"
    });
    whole.map(|target| target.uri).context(
        "no source of Debian has its lists fetched on this machine: give a mirror with --mirror URL",
    )
}

/// The distribution's sources on this machine, for the release called `codename`.
pub(crate) fn configured(shell: &Shell, codename: &str) -> Result<Vec<Target>> {
    let known = cmd!(shell, "apt-get indextargets")
        .arg("Created-By: Packages")
        .quiet()
        .read()?;
    let targets = select(&known, codename);
    if targets.is_empty() {
        bail!(
            "no source of {} for `{codename}` has its lists fetched: check /etc/apt/sources.list*, \
             then run `apt-get update`",
            ORIGINS.join(" or ")
        );
    }
    Ok(targets)
}

/// Seconds since the epoch at which the newest of the releases was published: no file of the
/// image is newer, so it is the image's own time.
pub(crate) fn published(shell: &Shell, targets: &[Target]) -> Result<String> {
    let mut newest = 0_u64;
    for target in targets {
        let path = &target.release_file;
        let text =
            fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
        let date = crate::apt::field(&text, "Date")
            .with_context(|| format!("`{}` has no date", path.display()))?;
        let seconds = cmd!(shell, "date --utc --date {date} +%s").quiet().read()?;
        newest = newest.max(
            seconds
                .trim()
                .parse()
                .with_context(|| format!("reading `{date}`"))?,
        );
    }
    Ok(newest.to_string())
}

/// The sources as a file for apt, each with the `Signed-By` its entry has.
pub(crate) fn file(targets: &[Target]) -> Result<String> {
    let mut suites = BTreeMap::<_, Suite<'_>>::new();
    for target in targets {
        let (path, number) = &target.entry;
        let text = fs::read_to_string(path).with_context(|| format!("reading `{path}`"))?;
        let suite = suites
            .entry((target.uri.as_str(), target.suite.as_str()))
            .or_default();
        suite.signed_by = suite
            .signed_by
            .take()
            .or_else(|| signed_by(path, &text, *number));
        if !suite.components.contains(&target.component.as_str()) {
            suite.components.push(&target.component);
        }
    }
    Ok(print(&suites))
}

/// What a suite of an address offers, and who signs it.
#[derive(Default)]
struct Suite<'a> {
    components: Vec<&'a str>,
    signed_by: Option<String>,
}

fn print(suites: &BTreeMap<(&str, &str), Suite<'_>>) -> String {
    let paragraphs = suites.iter().map(|((uri, name), suite)| {
        let components = suite.components.join(" ");
        let signed_by = suite
            .signed_by
            .as_ref()
            .map(|key| format!("Signed-By: {key}\n"));
        let signed_by = signed_by.unwrap_or_default();
        format!("Types: deb\nURIs: {uri}\nSuites: {name}\nComponents: {components}\n{signed_by}")
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// Picks from apt's index targets those of the distribution's release, its updates and its
/// security fixes; no backports, nothing proposed, no foreign architecture.
fn select(indextargets: &str, codename: &str) -> Vec<Target> {
    let suites = ["", "-updates", "-security"].map(|suffix| format!("{codename}{suffix}"));
    let picked = |paragraph: &str| {
        let field = |name| crate::apt::field(paragraph, name).map(str::to_owned);
        let suite = field("Release")?;
        // A source may name the suite `stable`; the release itself tells its codename.
        let named = suites.contains(&suite);
        let called = suites.contains(&field("Codename")?);
        let aside = ["-backports", "-proposed"]
            .iter()
            .any(|suffix| suite.ends_with(suffix));
        let ours = ORIGINS.contains(&field("Origin")?.as_str());
        let native = field("Architecture")? == "amd64";
        if !ours || !native || aside || !(named || called) {
            return None;
        }
        let (path, number) = field("Sourcesentry")?.rsplit_once(':').map(own)?;
        Some(Target {
            uri: field("Repo-URI")?,
            suite,
            component: field("Component")?,
            entry: (path, number.parse().ok()?),
            release_file: release_file(&field("Filename")?, &field("MetaKey")?)?,
        })
    };
    indextargets.split("\n\n").filter_map(picked).collect()
}

fn own((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

/// Apt names its lists by their address: `…_dists_SUITE_main_binary-amd64_Packages`, perhaps
/// compressed, stands beside `…_dists_SUITE_InRelease`.
fn release_file(list: &str, meta_key: &str) -> Option<PathBuf> {
    let (stem, _compression) = list.split_once(&meta_key.replace('/', "_"))?;
    Some(PathBuf::from(format!("{stem}InRelease")))
}

/// What an entry of a sources file says about the keys that sign it: a path, fingerprints, or a
/// whole key.
fn signed_by(path: &str, text: &str, number: usize) -> Option<String> {
    let index = number.checked_sub(1)?;
    if path.ends_with(".list") {
        let line = text.lines().nth(index)?;
        let (_, options) = line.split_once('[')?;
        let (options, _) = options.split_once(']')?;
        let value = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        return value.map(|value| value.replace(',', " "));
    }
    let mut lines = paragraph(text, index)?
        .into_iter()
        .skip_while(|line| !is_signed_by(line));
    let first = lines.next()?.split_once(':')?.1.trim().to_owned();
    let more = lines.take_while(|line| line.starts_with([' ', '\t']));
    Some(more.fold(first, |value, line| format!("{value}\n{line}")))
}

fn is_signed_by(line: &str) -> bool {
    line.get(..10)
        .is_some_and(|key| key.eq_ignore_ascii_case("signed-by:"))
}

/// The paragraph at an index, without comments; one that has only comments does not count.
fn paragraph(text: &str, index: usize) -> Option<Vec<&str>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let paragraphs = lines
        .split(|line| line.trim().is_empty())
        .filter(|lines| !lines.is_empty());
    paragraphs.map(<[&str]>::to_vec).nth(index)
}

#[cfg(test)]
mod tests;
