//! Many images through one start of a converter, for those whose daemon takes longer to start than to convert.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::contain::{self, Ending, Limits};
use super::convert::{self, fill_in, inputs, is_escape, last_line, powers};
use super::{Conversion, Converted, Runner, Setting};

/// Converts every layout below `layouts` at once; `work` is an empty directory. What the command does is
/// written in [`Runner::batch`].
///
/// `None` if anything but conversions was seen: an escape, something left behind, a command that failed.
/// Whose image that was nobody can tell, so then each is to be converted alone.
///
/// # Errors
///
/// As [`super::convert()`].
pub fn convert_batch(
    stage: &Runner,
    layouts: &Path,
    names: &[String],
    tag: &str,
    work: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<Option<BTreeMap<String, Converted>>> {
    let Some(command) = &stage.batch else {
        return Ok(None);
    };
    let out = work.join("rootfs");
    let seconds = setting.limits.time.as_secs().to_string();
    let words = command.iter().map(|word| {
        let word = fill_in(word).replace("{tag}", tag);
        word.replace("{seconds}", &seconds)
    });
    let argv: Vec<OsString> = words.map(OsString::from).collect();
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let ran = contain::run(&contain::Command {
        argv: &argv,
        layout: Some(layouts),
        inputs: &inputs(stage, layouts),
        out: &out,
        limits: Limits {
            time: setting.limits.time.max(Duration::from_secs(2)) * count,
            ..setting.limits
        },
        surroundings: setting.surroundings.clone(),
        lower: stage.root.path(),
        powers: powers(stage, setting.privileged),
        helper: setting.helper,
    })?;
    let escaped = ran.escapes.iter().any(|escape| is_escape(stage, escape));
    if ran.ending != Ending::Exited(0) || escaped || !ran.leftovers.is_empty() {
        return Ok(None);
    }
    let mut converted = BTreeMap::new();
    for name in names {
        if let Some(one) = read_one(stage, &out.join(name), &layouts.join(name))? {
            let one = Converted {
                protections_missing: ran.protections_missing.clone(),
                ..one
            };
            converted.insert(name.clone(), one);
        }
    }
    Ok(Some(converted))
}

/// What became of one image: its exit status, its log and its artifact. `None` where the command said nothing
/// of it, or where a failure left an artifact, which is a finding and so is looked at alone.
fn read_one(stage: &Runner, folder: &Path, layout: &Path) -> anyhow::Result<Option<Converted>> {
    let artifact: PathBuf = folder.join("rootfs");
    let text = |name: &str| {
        fs::read(folder.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let Some(status) = text("status")
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok())
    else {
        return Ok(None);
    };
    // Anything else is left behind, which only a conversion alone can tell whose it is.
    let is_known =
        |name: &std::ffi::OsStr| ["rootfs", "status", "log"].iter().any(|one| name == *one);
    for entry in fs::read_dir(folder)? {
        if !is_known(&entry?.file_name()) {
            return Ok(None);
        }
    }
    let log = text("log").unwrap_or_default();
    let is_there = fs::symlink_metadata(&artifact).is_ok();
    let conversion = match (status, is_there) {
        (0, true) => Conversion::Produced(artifact, stage.output),
        (1..128, false) => Conversion::Rejected(status, last_line(&log)),
        _ => return Ok(None),
    };
    Ok(Some(convert::of_one_stage(
        stage,
        layout.to_owned(),
        conversion,
        format!("(one of a batch)\n{log}"),
    )))
}
