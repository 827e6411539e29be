//! Many images through one start of a converter, or at least through one container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::contain::{self, Command, Ending, Limits};
use super::convert::{self, ending, fill_in, inputs, is_escape, last_line, limits, powers};
use super::each::{AllEnded, Ended, One, all_ended, has_only, run_each};
use super::{Chain, Conversion, Converted, Need, Runner, Setting};

/// Whether many images can go through this chain at once: each stage has a command for that, or keeps no state
/// that one image could leave to another.
pub fn takes_batches(chain: &Chain) -> bool {
    let keeps_nothing = |stage: &Runner| {
        let mounts = [Need::Mount, Need::Loop].iter();
        stage.state.is_empty() && !mounts.into_iter().any(|need| stage.needs.contains(need))
    };
    chain
        .stages
        .iter()
        .all(|stage| stage.batch.is_some() || keeps_nothing(stage))
}

/// Converts these layouts below `layouts` at once; `work` is an empty directory.
///
/// An image is in the answer only if nothing but conversions was seen, by none of them: no escape, nothing left
/// behind, no limit that was reached. Whose image that was nobody can tell, so then each is to be converted alone.
///
/// # Errors
///
/// As [`super::convert()`].
pub fn convert_batch(
    chain: &Chain,
    layouts: &Path,
    names: &[String],
    tag: &str,
    work: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<BTreeMap<String, Converted>> {
    let start = |name: &String| (name.clone(), (Converted::new(), name.clone()));
    let going = names.iter().map(start).collect();
    convert_rest(chain, 0, layouts, going, tag, work, setting)
}

/// Goes on at the stage of this number with images, of each of which is given what came of it so far and where that
/// is below `folder`; else as [`convert_batch`].
///
/// # Errors
///
/// As [`convert_batch`].
pub fn convert_rest(
    chain: &Chain,
    from: usize,
    folder: &Path,
    mut going: BTreeMap<String, (Converted, String)>,
    tag: &str,
    work: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<BTreeMap<String, Converted>> {
    let mut done = BTreeMap::new();
    let mut folder = folder.to_owned();
    for (index, stage) in chain.stages.iter().enumerate().skip(from) {
        if going.is_empty() {
            break;
        }
        let cell = work.join(format!("{index}-{}", stage.name));
        fs::create_dir(&cell)?;
        let batch = Batch {
            stage,
            folder: &folder,
            tag,
            out: &cell.join("rootfs"),
            setting,
        };
        let paths = going
            .iter()
            .map(|(name, (_, path))| (name.as_str(), path.as_str()));
        let Some(all) = batch.run(&paths.collect::<Vec<_>>())? else {
            return Ok(BTreeMap::new());
        };
        for (name, (mut converted, path)) in std::mem::take(&mut going) {
            let Some(ended) = all.by_name.get(&name) else {
                continue;
            };
            for missing in &all.protections_missing {
                converted.miss(missing);
            }
            if !batch.add(ended, &name, &path, &mut converted)? {
                continue;
            }
            match &converted.conversion {
                Conversion::Produced(artifact, _) if index + 1 < chain.stages.len() => {
                    let file = artifact.file_name().unwrap_or_default();
                    let path = format!("{name}/{}", file.to_string_lossy());
                    going.insert(name, (converted, path));
                }
                _ => {
                    done.insert(name, converted);
                }
            }
        }
        folder = cell.join("rootfs");
    }
    Ok(done)
}

/// One stage, and the images it converts together.
struct Batch<'a> {
    stage: &'a Runner,
    /// What all inputs are below.
    folder: &'a Path,
    tag: &'a str,
    /// The folder that has one for each image.
    out: &'a Path,
    setting: &'a Setting<'a>,
}

impl Batch<'_> {
    /// Converts the images of these names, which are at these paths below the folder.
    fn run(&self, images: &[(&str, &str)]) -> anyhow::Result<Option<AllEnded>> {
        let Batch { stage, setting, .. } = self;
        let inputs = inputs(stage, self.folder);
        let around = Command {
            argv: &[],
            layout: Some(self.folder),
            inputs: &inputs,
            out: self.out,
            limits: limits(stage, setting.limits),
            surroundings: setting.surroundings.clone(),
            lower: stage.root.path(),
            powers: powers(stage, setting.privileged),
            helper: setting.helper,
        };
        match &stage.batch {
            Some(command) => self.run_at_once(command, images, &around),
            None => {
                let one = |(name, path): &(&str, &str)| self.one(name, path);
                let commands: Vec<One> = images.iter().map(one).collect();
                run_each(&commands, &around)
            }
        }
    }

    /// By the runner's own command for many.
    fn run_at_once(
        &self,
        command: &[String],
        images: &[(&str, &str)],
        around: &Command<'_>,
    ) -> anyhow::Result<Option<AllEnded>> {
        let time = around.limits.time;
        let seconds = time.as_secs().to_string();
        let words = command.iter().map(|word| {
            let word = fill_in(word).replace("{tag}", self.tag);
            word.replace("{seconds}", &seconds)
        });
        let argv: Vec<OsString> = words.map(OsString::from).collect();
        let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        let ran = contain::run(&Command {
            argv: &argv,
            limits: Limits {
                time: time.max(Duration::from_secs(2)).saturating_mul(count),
                ..around.limits
            },
            surroundings: around.surroundings.clone(),
            ..*around
        })?;
        let escaped = ran
            .escapes
            .iter()
            .any(|escape| is_escape(self.stage, escape));
        if ran.ending != Ending::Exited(0) || escaped || !ran.leftovers.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = images.iter().map(|(name, _)| *name).collect();
        all_ended(&names, &ran, self.out)
    }

    /// The command for one image among others.
    fn one(&self, name: &str, path: &str) -> One {
        let artifact = format!("{{out}}/{name}/{}", self.artifact());
        let words = convert::argv(self.stage, &self.folder.join(path), self.tag);
        let argv = words.iter().map(|word| {
            let word = word.to_string_lossy().replace("{layout}", "{in0}");
            let word = word.replace("{in0}", &format!("{{in0}}/{path}"));
            word.replace("{out}", &artifact)
        });
        One {
            name: name.to_owned(),
            argv: argv.collect(),
        }
    }

    /// The name of what is made of each image.
    fn artifact(&self) -> String {
        match self.stage.batch {
            Some(_) => "rootfs".to_owned(),
            None => format!("rootfs{}", ending(self.stage.output)),
        }
    }

    /// Adds what became of one image to what came of it before; false where that is not known for sure, which
    /// is to be looked at alone.
    fn add(
        &self,
        ended: &Ended,
        name: &str,
        path: &str,
        converted: &mut Converted,
    ) -> anyhow::Result<bool> {
        let (folder, file) = (self.out.join(name), self.artifact());
        // Anything else is left behind.
        if !has_only(&folder, &[&file, "status", "log"])? {
            return Ok(false);
        }
        let artifact = folder.join(file);
        let is_there = fs::symlink_metadata(&artifact).is_ok();
        let conversion = match (ended.status, is_there) {
            (0, true) => Conversion::Produced(artifact, self.stage.output),
            (1.., false) => Conversion::Rejected(ended.status, last_line(&ended.log)),
            _ => return Ok(false),
        };
        converted.stage.clone_from(&self.stage.name);
        converted.conversion = conversion.clone();
        let input = self.folder.join(path);
        converted.stages.push((input, conversion));
        converted.log.push_str("(one of a batch)\n");
        converted.log.push_str(&ended.log);
        Ok(true)
    }
}
