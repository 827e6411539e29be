//! Many commands in one container, one after the other: most of what a short conversion takes is its container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::contain::{self, Command, Ending, Limits, Ran, Way};

/// How long one command among others may take at most. What takes longer is run alone, where it has all the
/// time that the limits give it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How long a script may be: Linux takes no longer word (`MAX_ARG_STRLEN`).
const SCRIPT_BYTES_MAX: usize = 100 << 10;

/// How much a command may say among others, in bytes: what is not read in full is not judged.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Runs each of the commands that follow it, in whose folders, which are there, all is kept. What a shell adds to the
/// environment by itself is taken away.
const SCRIPT: &str = r#"out=$1 seconds=$2
unset PWD OLDPWD SHLVL
one() {
    name=$1
    shift
    timeout -s KILL "$seconds" "$@" >"$out/$name/log" 2>&1 </dev/null
    echo $? >"$out/$name/status"
}
"#;

/// A command that runs among others.
pub struct One {
    /// The name of its folder below the output.
    pub name: String,
    /// Its program and arguments.
    pub argv: Vec<String>,
}

/// How a command among others ended: by itself, and not by a signal or at the time limit.
pub struct Ended {
    /// Its exit status.
    pub status: i32,
    /// What it said.
    pub log: String,
}

/// How each of many commands ended, by its name.
pub struct AllEnded {
    /// Those of which that is known.
    pub by_name: BTreeMap<String, Ended>,
    /// The protections that this host could not give.
    pub protections_missing: Vec<&'static str>,
}

/// Runs commands in the container that `around` describes, whose own command is not looked at. Below the output
/// each has a folder of its name.
///
/// A command is in the answer only if it came to an end by itself and could be started. There is no answer where
/// there is no containment, or anything but the commands' outputs was seen: whose it is nobody can tell.
///
/// # Errors
///
/// As [`contain::run`].
pub fn run_each(commands: &[One], around: &Command<'_>) -> anyhow::Result<Option<AllEnded>> {
    let script = script(commands);
    if contain::probe(around.helper).way == Way::Plain || script.len() > SCRIPT_BYTES_MAX {
        return Ok(None);
    }
    let each = around.limits.time.min(TIME_MAX);
    let seconds = each.as_secs().max(1).to_string();
    let words = ["sh", "-c", &script, "sh", "{out}", &seconds];
    let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
    let ran = contain::run(&Command {
        argv: &words.map(OsString::from),
        limits: Limits {
            // What it takes to kill and to start is not the commands'.
            time: (each + Duration::from_secs(1)).saturating_mul(count),
            ..around.limits
        },
        surroundings: around.surroundings.clone(),
        ..*around
    })?;
    let is_quiet = ran.escapes.is_empty() && ran.leftovers.is_empty();
    if ran.ending != Ending::Exited(0) || !is_quiet {
        return Ok(None);
    }
    let names: Vec<&str> = commands.iter().map(|one| one.name.as_str()).collect();
    all_ended(&names, &ran, around.out)
}

/// What the folders of these names say of how the commands ended; nothing where there is anything beside them.
pub(super) fn all_ended(names: &[&str], ran: &Ran, out: &Path) -> anyhow::Result<Option<AllEnded>> {
    if fs::symlink_metadata(out).is_err() || !has_only(out, names)? {
        return Ok(None);
    }
    let mut by_name = BTreeMap::new();
    for name in names {
        if let Some(ended) = read_ended(&out.join(name))? {
            by_name.insert((*name).to_owned(), ended);
        }
    }
    Ok(Some(AllEnded {
        by_name,
        protections_missing: ran.protections_missing.clone(),
    }))
}

/// How the command ended that has this folder.
fn read_ended(folder: &Path) -> std::io::Result<Option<Ended>> {
    let read = |name: &str| -> std::io::Result<Option<String>> {
        let path = folder.join(name);
        if !fs::symlink_metadata(&path).is_ok_and(|file| file.is_file()) {
            return Ok(None);
        }
        let mut text = Vec::new();
        fs::File::open(path)?
            .take(LOG_BYTES_MAX)
            .read_to_end(&mut text)?;
        let is_whole = (text.len() as u64) < LOG_BYTES_MAX;
        Ok(is_whole.then(|| String::from_utf8_lossy(&text).into_owned()))
    };
    let status = read("status")?.and_then(|text| text.trim().parse().ok());
    let (Some(status), Some(log)) = (status, read("log")?) else {
        return Ok(None);
    };
    // Others may be what `timeout` or the shell has to say. 125 is podman's and buildah's, too, and says `timeout` that
    // it failed itself, it says so.
    let is_its_own = match status {
        0..=123 => true,
        125 => !log.lines().any(|line| line.starts_with("timeout: ")),
        _ => false,
    };
    Ok(is_its_own.then_some(Ended { status, log }))
}

/// Whether a folder has nothing but what these names say.
///
/// # Errors
///
/// Trouble of the host.
pub(super) fn has_only(folder: &Path, names: &[&str]) -> std::io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let found = entry?.file_name();
        if !names.iter().any(|name| found == *name) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn script(commands: &[One]) -> String {
    let mut script = SCRIPT.to_owned();
    let mut line = |words: &mut dyn Iterator<Item = &str>| {
        for word in words {
            script.push_str(" '");
            script.push_str(&word.replace('\'', r"'\''"));
            script.push('\'');
        }
        script.push('\n');
    };
    // All at once: to start a program takes as long as some conversions.
    let folders = commands.iter().map(|one| format!("{{out}}/{}", one.name));
    let folders: Vec<String> = folders.collect();
    line(
        &mut ["mkdir", "{out}"]
            .into_iter()
            .chain(folders.iter().map(String::as_str)),
    );
    for one in commands {
        let argv = one.argv.iter().map(String::as_str);
        line(&mut ["one", &one.name].into_iter().chain(argv));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::{One, SCRIPT, read_ended, script};

    #[test]
    fn a_status_counts_that_is_the_commands_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let ended = |status: &str, log: &str| {
            fs_err::write(folder.path().join("status"), status).expect("it is written");
            fs_err::write(folder.path().join("log"), log).expect("it is written");
            let ended = read_ended(folder.path()).expect("it is read");
            ended.map(|ended| ended.status)
        };
        assert_eq!(ended("0\n", ""), Some(0));
        assert_eq!(ended("123\n", "no\n"), Some(123));
        assert_eq!(ended("125\n", "Error: no layer\n"), Some(125));
        let failed = "timeout: fork system call failed: Resource temporarily unavailable\n";
        assert_eq!(ended("125\n", failed), None);
        for status in ["124\n", "126\n", "127\n", "137\n", "-9\n", "done\n", ""] {
            assert_eq!(ended(status, ""), None, "{status}");
        }
    }

    #[test]
    fn every_word_reaches_its_command_as_it_is() {
        let argv = [
            "printf",
            "[%s]",
            "it's",
            "$HOME `x` \"y\"",
            "two\nlines",
            "",
        ];
        let one = One {
            name: "0".to_owned(),
            argv: argv.map(str::to_owned).to_vec(),
        };
        let script = script(&[one]);
        let (_, lines) = script.split_at(SCRIPT.len());
        let (folders, line) = lines.split_once('\n').expect("two lines");
        assert_eq!(folders, " 'mkdir' '{out}' '{out}/0'");
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("one() {{ shift; \"$@\"; }}\n{line}")])
            .output()
            .expect("sh starts");
        let said = String::from_utf8(said.stdout).expect("text");
        assert_eq!(said, "[it's][$HOME `x` \"y\"][two\nlines][]");
    }
}
