//! Layers applied one on the other: layer.md#applying-changesets.
//!
//! Markers of a layer come first, because they "MUST only apply to resources in lower/parent layers"; then
//! its other entries in archive order.

mod order;
mod walk;
mod follow;
mod revive;
mod prepare;
mod hide;
mod hardlink;
mod place;

use std::collections::{BTreeMap, BTreeSet};

use order::{Meant, order};

use crate::name::{Meaning, Name, meaning};
use crate::rootfs::{Id, ROOT, Rootfs, neutral_directory};
use crate::tar::{Entry, Kind};
use crate::{Fault, Refusal, Surroundings};

pub(crate) struct Applier {
    pub(crate) fault: Option<Fault>,
    pub(crate) surroundings: Surroundings,
    pub(crate) rootfs: Rootfs,
    /// What a real process would have changed on the host.
    pub(crate) outside: Vec<String>,
    /// What this layer is about.
    own: Own,
    /// Every name as it stood in an archive.
    raw_names: BTreeSet<Vec<u8>>,
    /// Directories that something took the place of, for faults that bring their children back.
    buried: BTreeMap<(Id, Name), Id>,
    /// The number of nodes before this layer.
    lower: usize,
}

/// What the current layer names.
#[derive(Default)]
struct Own {
    /// Paths of directory entries, as written.
    directories: BTreeSet<Vec<Name>>,
    /// Nodes that entries of this layer name.
    explicit: BTreeSet<Id>,
    /// Nodes that this layer made or reset without naming them.
    implied: BTreeSet<Id>,
    /// Paths that whiteouts of this layer deleted.
    hidden: BTreeSet<Vec<Name>>,
}

impl Applier {
    pub(crate) fn new(fault: Option<Fault>, surroundings: Surroundings) -> Applier {
        Applier {
            fault,
            surroundings,
            rootfs: Rootfs::new(fault),
            outside: Vec::new(),
            own: Own::default(),
            raw_names: BTreeSet::new(),
            buried: BTreeMap::new(),
            lower: 0,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Applies layers, the base layer first.
    pub(crate) fn layers(&mut self, layers: &[Vec<Entry>]) -> Result<(), Refusal> {
        let mut deferred = Vec::new();
        for layer in layers {
            let entries = self.begin(layer)?;
            let (now, later) = order(entries, self.fault);
            deferred.extend(later);
            for (meaning, entry) in &now {
                self.entry(meaning, entry)?;
            }
        }
        for (meaning, entry) in &deferred {
            self.entry(meaning, entry)?;
        }
        if self.is(Fault::RootAttributesOfUsr)
            && let Some(usr) = self.rootfs.child(ROOT, b"usr")
        {
            self.rootfs.node_mut(ROOT).attributes = self.rootfs.node(usr).attributes.clone();
        }
        Ok(())
    }

    /// Takes note of what a layer names, and says what its entries mean.
    fn begin<'a>(&mut self, layer: &'a [Entry]) -> Result<Vec<Meant<'a>>, Refusal> {
        let mut entries = Vec::new();
        self.own = Own::default();
        self.lower = self.rootfs.len();
        for entry in layer {
            let meaning = meaning(&entry.path, self.fault)?;
            if let (Meaning::Path(path), Kind::Directory) = (&meaning, &entry.kind) {
                self.own.directories.insert(path.clone());
            }
            self.raw_names.insert(entry.path.clone());
            entries.push((meaning, entry));
        }
        if self.is(Fault::RootResetByLayer) {
            self.rootfs.node_mut(ROOT).attributes = neutral_directory().attributes;
        }
        Ok(entries)
    }

    pub(crate) fn entry(&mut self, meaning: &Meaning, entry: &Entry) -> Result<(), Refusal> {
        let result = match meaning {
            Meaning::Root => self.root(entry),
            Meaning::Path(path) if self.is_left_out(path) => Ok(()),
            Meaning::Path(path) => self.place(path, entry),
            Meaning::Explicit(dir, name) => self.hide(dir, name),
            Meaning::Opaque(dir) => self.hide_children(dir),
        };
        result.map_err(|refusal| {
            let name = entry.path.escape_ascii();
            Refusal::new(format!("`{name}`: {refusal}"))
        })
    }

    /// Whether a fault leaves an entry out for its name.
    fn is_left_out(&self, path: &[Name]) -> bool {
        const ENGINE: [&[u8]; 4] = [
            b"etc/hosts",
            b"etc/resolv.conf",
            b"etc/hostname",
            b".dockerenv",
        ];
        let path = path.join(&b'/');
        match self.fault {
            Some(Fault::LongPathsLeftOut) => path.len() > 4096,
            Some(Fault::BackslashLeftOut) => path.contains(&b'\\'),
            Some(Fault::LandmarksLeftOut) => {
                path.ends_with(b"prefetch.landmark") || path == b"stargz.index.json"
            }
            Some(Fault::EngineFilesLeftOut) => {
                ENGINE.contains(&path.as_slice()) || path.starts_with(b"dev/")
            }
            _ => false,
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), Refusal> {
        if let Kind::Symlink(target) = &entry.kind
            && self.is(Fault::RootReplacedByLink)
        {
            self.outside.push(target.escape_ascii().to_string());
            return Ok(());
        }
        if entry.kind != Kind::Directory {
            return Err(Refusal::new("the root is no directory"));
        }
        if !self.is(Fault::RootEntryIgnored) {
            self.rootfs.node_mut(ROOT).attributes = self.prepared(entry, b"");
        }
        Ok(())
    }
}
