//! `harness bench convert`: extractors side by side on one image.

mod blobs;
mod contender;
mod hold;
mod measure;
mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;

use super::race::{Sample, Standing, race};
use super::{Home, Host, load_average, write_json};
use crate::command::{EXIT_GREEN, EXIT_RED};
use crate::runner::Runners;
use crate::{image, tree};

pub(super) use blobs::{HELPER as INFLATE, inflate};
pub(super) use measure::{HELPER as MEASURE, main as measure_main};

use contender::{Contender, Course, Output, comparisons, converter};
use measure::{Plan, measure};
use report::{Entry, Image, Place, Report};

/// Where most machines have memory to write to.
const MEMORY: &str = "/dev/shm";

/// Times extractors side by side on one image layout, with tar and bare decompression for comparison.
///
/// Nothing of what they make is compared, only that there is something: `harness run --layout` says
/// whether it is right. Contenders are kept from writing to anything but their own folder, but are
/// not contained, so only an image that the model has a tree for is taken.
#[derive(Args)]
pub(super) struct Convert {
    /// The image layout.
    #[arg(long, value_name = "DIR")]
    layout: PathBuf,
    /// The reference of the image in the layout.
    #[arg(long, value_name = "NAME", default_value = image::TAG)]
    reference: String,
    /// An extractor of runners/; may be given more than once.
    #[arg(long, value_name = "NAME", default_values = ["native", "native-tar", "umoci"])]
    converter: Vec<String>,
    /// How many rounds count.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = super::rounds)]
    runs: usize,
    /// Where outputs are made; may be given more than once [default: /dev/shm, and target/ on disk].
    #[arg(long, value_name = "DIR")]
    on: Vec<PathBuf>,
    /// Where to write all figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Convert {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let harness =
            std::env::current_exe().context("failed to find the harness's own program")?;
        let image = self.image()?;
        let course = Course {
            harness: &harness,
            layout: &image.layout,
            reference: &self.reference,
            blobs: &image.layers,
            is_root: rustix::process::geteuid().is_root(),
        };
        let contenders = self.contenders(home, &course)?;
        let (folders, notes) = self.folders(home);
        let mut places = Vec::new();
        for folder in &folders {
            places.push(self.place(folder, &contenders, &harness)?);
        }
        let report = Report {
            host: Host::here(),
            rounds: self.runs,
            contenders: contenders.into_iter().map(|one| one.about).collect(),
            image,
            places,
            notes,
        };
        if let Some(path) = &self.json {
            write_json(path, &report)?;
        }
        crate::command::print(&report.text())?;
        Ok(if report.is_red() {
            EXIT_RED
        } else {
            EXIT_GREEN
        })
    }

    /// Reads the image in full: what is broken or hostile is not timed, and the page cache is warm.
    fn image(&self) -> anyhow::Result<Image> {
        let layout = fs::canonicalize(&self.layout)?;
        let layers = image::read_layout(&layout, Some(&self.reference))?;
        let tree = tree::apply_layers(&layers, false).with_context(|| {
            format!(
                "only an image that the model has a tree for is timed, `{}` is not",
                layout.display()
            )
        })?;
        Ok(Image {
            reference: self.reference.clone(),
            layers: blobs::blobs(&layout, &self.reference)?,
            entries: layers.iter().map(|layer| layer.entries.len()).sum(),
            paths: tree.len(),
            layout,
        })
    }

    fn contenders(&self, home: &Home, course: &Course<'_>) -> anyhow::Result<Vec<Contender>> {
        let runners = Runners::read(&home.root.join("runners"), &home.tools())?;
        let mut contenders: Vec<Contender> = Vec::new();
        for name in &self.converter {
            if !contenders.iter().any(|known| known.about.name == *name) {
                contenders.push(converter(&runners.chain(name)?, course)?);
            }
        }
        contenders.extend(comparisons(course));
        Ok(contenders)
    }

    fn folders(&self, home: &Home) -> (Vec<PathBuf>, Vec<String>) {
        if !self.on.is_empty() {
            return (self.on.clone(), Vec::new());
        }
        let disk = home.scratch().join("bench");
        match Path::new(MEMORY).is_dir() {
            true => (vec![MEMORY.into(), disk], Vec::new()),
            false => (
                vec![disk],
                vec![format!("nothing is timed in memory: there is no {MEMORY}")],
            ),
        }
    }

    fn place(
        &self,
        folder: &Path,
        contenders: &[Contender],
        harness: &Path,
    ) -> anyhow::Result<Place> {
        fs::create_dir_all(folder)?;
        let work = tempfile::Builder::new()
            .prefix("harness-bench-")
            .tempdir_in(folder)
            .with_context(|| format!("failed to write to `{}`", folder.display()))?;
        // Without symbolic links, so that it is the path of a mount point.
        let cell = fs::canonicalize(work.path())?.join("run");
        let filesystem = filesystem(folder)?;
        let able: Vec<&Contender> = contenders
            .iter()
            .filter(|contender| contender.missing.is_none())
            .collect();
        let load_before = load_average();
        let name = |contender: &&Contender| contender.about.name.clone();
        let mut standings = race(&able, self.runs, name, |contender| {
            time(contender, &cell, harness, filesystem != "tmpfs")
        })?
        .into_iter();
        let standings = contenders.iter().map(|contender| Entry {
            name: contender.about.name.clone(),
            standing: match &contender.missing {
                Some(why) => Standing::Missing(why.clone()),
                None => standings
                    .next()
                    .expect("everyone who is able has a standing"),
            },
        });
        Ok(Place {
            standings: standings.collect(),
            folder: folder.to_owned(),
            filesystem,
            load_before,
            load_after: load_average(),
        })
    }
}

/// Runs a contender once in the new folder `cell`, of which nothing stays.
fn time(
    contender: &Contender,
    cell: &Path,
    harness: &Path,
    syncs: bool,
) -> anyhow::Result<Result<Sample, String>> {
    fs::create_dir(cell)?;
    let out = cell.join("out");
    if contender.output == Output::InDirectory {
        fs::create_dir(&out)?;
    }
    sync(cell)?;
    let plan = Plan {
        commands: contender.commands(&out),
        folder: cell.to_owned(),
        must_hold: !contender.is_trusted,
        forgiven: contender.forgiven,
    };
    let measured = measure(harness, &plan)?;
    let begin = Instant::now();
    sync(cell)?;
    let sync_seconds = begin.elapsed().as_secs_f64();
    let result = measured.and_then(|run| contender.judge(run, &out));
    fs::remove_dir_all(cell)?;
    let writes = contender.output != Output::Nothing;
    Ok(result.map(|sample| Sample {
        sync_seconds: (syncs && writes).then_some(sync_seconds),
        ..sample
    }))
}

/// Has the file system write all it holds back, so that one contender's writes are not done at the
/// cost of the next.
fn sync(folder: &Path) -> anyhow::Result<()> {
    let folder = fs::File::open(folder)?;
    rustix::fs::syncfs(&folder).with_context(|| format!("failed to sync `{:?}`", folder.path()))
}

/// The name of a folder's file system, or the kernel's number for it.
fn filesystem(folder: &Path) -> anyhow::Result<String> {
    let stat = rustix::fs::statfs(folder)
        .with_context(|| format!("failed to look at `{}`", folder.display()))?;
    // linux/magic.h
    Ok(match stat.f_type as u64 {
        0x0102_1994 => "tmpfs".to_owned(),
        0xef53 => "ext4".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        other => format!("file system {other:#x}"),
    })
}
