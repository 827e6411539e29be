//! What run, helper and first process tell each other: one JSON value behind its length.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Escape, Faults, Leftover, Limits, Log, Powers, Way};

/// A message may not be longer than this; logs and escapes are capped far below it.
const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// Everything the helper has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) way: Way,
    /// Placeholders are already replaced.
    #[serde(with = "many_bytes")]
    pub(super) argv: Vec<Vec<u8>>,
    /// Host paths in the order of their inside names.
    pub(super) inputs: Vec<Input>,
    /// The parent of the output, on the host.
    #[serde(with = "path")]
    pub(super) out_parent: PathBuf,
    #[serde(with = "path_option")]
    pub(super) lower: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) powers: Powers,
    pub(super) faults: Faults,
    pub(super) start: Start,
    pub(super) cgroups: super::cgroup::Cgroups,
}

/// A host path seen read-only under `/in`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) name: String,
    #[serde(with = "path")]
    pub(super) host: PathBuf,
}

/// How the first process starts the converter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) umask: u32,
    #[serde(with = "path")]
    pub(super) cwd: PathBuf,
    #[serde(with = "bytes")]
    pub(super) hostname: Vec<u8>,
    /// `NAME=value`, all there is.
    #[serde(with = "many_bytes")]
    pub(super) environment: Vec<Vec<u8>>,
}

/// What the first process has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InitPlan {
    pub(super) way: Way,
    #[serde(with = "many_bytes")]
    pub(super) argv: Vec<Vec<u8>>,
    /// The new root, a mount point.
    #[serde(with = "path")]
    pub(super) root: PathBuf,
    pub(super) limits: Limits,
    pub(super) powers: Powers,
    pub(super) start: Start,
    /// Whether a cgroup holds the memory down, so that no limit per process is needed.
    pub(super) memory_held: bool,
    /// The processes of this user beyond which no more can be started, where no cgroup sees to it.
    pub(super) processes_max: Option<u64>,
}

/// A signal that the first process is to send to the converter, at any time while it runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Interrupt(pub(super) i32);

/// What the first process saw.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InitReport {
    pub(super) ending: Ending,
    pub(super) leftovers: Vec<Leftover>,
    /// The largest process, in bytes.
    pub(super) peak_memory: u64,
    pub(super) missing: Vec<Protection>,
}

/// What the helper saw.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) ending: Ending,
    pub(super) stdout: Log,
    pub(super) stderr: Log,
    pub(super) escapes: Vec<Escape>,
    pub(super) escapes_omitted: u64,
    pub(super) leftovers: Vec<Leftover>,
    pub(super) stopped: bool,
    /// The number of the helper's handle on the small disk of the output.
    pub(super) disk: Option<i32>,
    pub(super) missing: Vec<Protection>,
    pub(super) peak_memory: Option<u64>,
}

/// [`super::Ending`] on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    Exited(i32),
    Signaled(i32),
    TimedOut,
    FileSize,
    Output,
    Memory,
    Processes,
}

/// A protection that can be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Protection {
    Namespaces,
    Network,
    Overlay,
    Powers,
    MemoryCgroup,
    ProcessCgroup,
    NetworkWitness,
    Sysfs,
}

impl Protection {
    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Network => "network isolation",
            Self::Overlay => "root overlay",
            Self::Powers => "reduced capabilities",
            Self::MemoryCgroup => "memory cgroup",
            Self::ProcessCgroup => "process cgroup",
            Self::NetworkWitness => "network witness",
            Self::Sysfs => "private sysfs",
        }
    }
}

/// Why the helper or the first process could not do its work.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trouble {
    pub(super) operation: String,
    #[serde(with = "path")]
    pub(super) path: PathBuf,
    pub(super) cause: String,
    /// Whether it is the converter's program that could not be started.
    pub(super) program: bool,
}

impl Trouble {
    /// The trouble that `operation` on `path` failed with `cause`.
    pub(super) fn new(
        operation: &str,
        path: impl Into<PathBuf>,
        cause: impl std::fmt::Display,
    ) -> Self {
        let cause = cause.to_string();
        Self {
            operation: operation.to_owned(),
            path: path.into(),
            cause,
            program: false,
        }
    }
}

/// Turns any error into [`Trouble`] with its operation and path.
pub(super) trait Context<T> {
    fn context(self, operation: &str, path: impl Into<PathBuf>) -> Result<T, Trouble>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn context(self, operation: &str, path: impl Into<PathBuf>) -> Result<T, Trouble> {
        self.map_err(|cause| Trouble::new(operation, path, cause))
    }
}

/// Writes one message.
pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&json)
}

/// Reads one message; the end of the stream before it is `UnexpectedEof`.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut json = vec![0; length as usize];
    from.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Bytes as base64, because JSON has no bytes.
pub(super) mod bytes {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(it: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(it))
    }

    pub(in super::super) fn deserialize<'de, D>(from: D) -> Result<Vec<u8>, D::Error>
    where
        D: Deserializer<'de>,
    {
        BASE64
            .decode(String::deserialize(from)?.as_bytes())
            .map_err(D::Error::custom)
    }
}

/// A list of byte strings.
pub(super) mod many_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super::bytes")] Vec<u8>);

    pub(in super::super) fn serialize<S>(it: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
    {
        to.collect_seq(it.iter().map(|bytes| One(bytes.clone())))
    }

    pub(in super::super) fn deserialize<'de, D>(from: D) -> Result<Vec<Vec<u8>>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Vec::<One>::deserialize(from)?
            .into_iter()
            .map(|One(bytes)| bytes)
            .collect())
    }
}

/// A path, which may be any bytes.
pub(super) mod path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(it: &Path, to: S) -> Result<S::Ok, S::Error> {
        super::bytes::serialize(it.as_os_str().as_bytes(), to)
    }

    pub(in super::super) fn deserialize<'de, D>(from: D) -> Result<PathBuf, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(OsString::from_vec(super::bytes::deserialize(from)?).into())
    }
}

/// A path or none.
pub(super) mod path_option {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super::path")] PathBuf);

    pub(in super::super) fn serialize<S>(it: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
    {
        it.clone().map(One).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D>(from: D) -> Result<Option<PathBuf>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::<One>::deserialize(from)?.map(|One(path)| path))
    }
}
