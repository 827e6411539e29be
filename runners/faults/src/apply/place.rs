//! Entries at their names: layer.md#changeset-over-existing-files, layer.md#hardlinks.

use super::Applier;
use super::walk::{Place, parts};
use crate::name::{Name, scripted};
use crate::rootfs::{Content, Id, Node};
use crate::tar::{Entry, Kind};
use crate::{Fault, Refusal};

impl Applier {
    pub(super) fn place(&mut self, path: &[Name], entry: &Entry) -> Result<(), Refusal> {
        let Some((name, above)) = path.split_last() else {
            return self.root(entry);
        };
        if name == b".." {
            return Err(Refusal::new("a name that ends in `..`"));
        }
        self.check_name(name)?;
        let is_absent = !matches!(self.find_parents(above), Place::Directory(_));
        if matches!(entry.kind, Kind::Hardlink(_))
            && is_absent
            && self.is(Fault::HardlinkParentRefused)
        {
            return Err(Refusal::new("there is no such directory"));
        }
        let dir = match self.make_parents(above)? {
            Place::Directory(dir) => dir,
            Place::Nowhere => return Err(Refusal::new("a parent leads nowhere")),
            Place::Outside(path) => {
                self.outside.push(format!("{path}/{}", name.escape_ascii()));
                return Ok(());
            }
        };
        let existing = self.rootfs.child(dir, name);
        if existing.is_some_and(|id| self.own.explicit.contains(&id))
            && self.is(Fault::FirstDuplicateWins)
        {
            return Ok(());
        }
        let is_link = matches!(entry.kind, Kind::Symlink(_) | Kind::Hardlink(_));
        if existing.is_some() && is_link && self.is(Fault::LinkOverFileRefused) {
            return Err(Refusal::new("the file exists"));
        }
        match &entry.kind {
            Kind::Directory => self.place_directory(above, dir, name, entry),
            Kind::Hardlink(target) => self.place_hardlink(dir, name, target),
            kind => self.place_leaf(above, dir, name, kind, entry),
        }
    }

    fn check_name(&self, name: &[u8]) -> Result<(), Refusal> {
        const DEVICES: [&[u8]; 4] = [b"con", b"nul", b"aux", b"prn"];
        let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
        let is_device = DEVICES.contains(&stem.to_ascii_lowercase().as_slice());
        let is_bad = is_device || name.contains(&b':') || name.ends_with(b".");
        match is_bad && self.is(Fault::WindowsNamesRefused) {
            true => Err(Refusal::new("no name on Windows")),
            false => Ok(()),
        }
    }

    fn place_directory(
        &mut self,
        above: &[Name],
        dir: Id,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), Refusal> {
        let mut attributes = self.prepared(entry, name);
        let existing = self.rootfs.child(dir, name);
        let mut at = existing.filter(|id| self.rootfs.node(*id).content.is_dir());
        if let Some(target) = existing.and_then(|id| self.link_target(id))
            && self.is(Fault::DirectoryEntryFollowsLink)
        {
            match self.on_host(above, &target) {
                Err(path) => {
                    self.outside.push(path);
                    return Ok(());
                }
                Ok(behind) => at = behind.or(at),
            }
        }
        if let Some(id) = at {
            if self.is(Fault::DirectoryXattrsMerged) {
                let old = self.rootfs.node(id).attributes.xattrs.clone();
                attributes.xattrs = old.into_iter().chain(attributes.xattrs).collect();
            }
            if !self.is(Fault::DirectoryAttributesKept) || self.own.implied.contains(&id) {
                self.rootfs.node_mut(id).attributes = attributes;
            }
            self.own.explicit.insert(id);
            return self.obey_overlay(id, entry);
        }
        if existing.is_some() && self.is(Fault::FileNotReplacedByDirectory) {
            return Err(Refusal::new("not a directory"));
        }
        let content = Content::Directory(std::collections::BTreeMap::new());
        let id = self.rootfs.add(Node {
            content,
            attributes,
        });
        self.unbury(dir, name, id);
        self.put(dir, name, id);
        self.obey_overlay(id, entry)
    }

    fn place_leaf(
        &mut self,
        above: &[Name],
        dir: Id,
        name: &[u8],
        kind: &Kind,
        entry: &Entry,
    ) -> Result<(), Refusal> {
        if let Kind::Char(0, 0) = kind
            && self.is(Fault::CharZeroIsWhiteout)
        {
            self.rootfs.unlink(dir, name);
            return Ok(());
        }
        if self.is(Fault::OverlayXattrsObeyed) && self.is_hidden_by_overlay(dir, name, entry) {
            return Ok(());
        }
        let mut attributes = self.prepared(entry, name);
        let parent = &self.rootfs.node(dir).attributes;
        if self.is(Fault::SetgidInherited) && parent.mode & 0o2000 != 0 && attributes.gid == 0 {
            attributes.gid = parent.gid;
        }
        let Some(content) = self.content(kind)? else {
            return Ok(());
        };
        let follows = self.is(Fault::LinkAttributesFollow) || self.is(Fault::LinkModeFollows);
        if follows && let Content::Symlink(target) = &content {
            self.follow_attributes(above, target, &attributes);
        }
        if self.is(Fault::LinkAttributesFollow) && matches!(content, Content::Symlink(_)) {
            (attributes.uid, attributes.gid, attributes.seconds) = (0, 0, 0);
        }
        let existing = self.rootfs.child(dir, name);
        if existing.is_some_and(|id| !self.rootfs.children(id).is_empty())
            && self.is(Fault::DirectoryNotReplaced)
        {
            return Err(Refusal::new("is a directory"));
        }
        if let Some(id) = existing.filter(|_| self.is(Fault::OverwritesInPlace))
            && let Content::File(_) = content
            && let Some(done) = self.overwrite(above, id, &content, &attributes)
        {
            return done;
        }
        let id = self.rootfs.add(Node {
            content,
            attributes,
        });
        self.put(dir, name, id);
        Ok(())
    }

    /// What a leaf holds; nothing where a fault leaves the entry out.
    fn content(&self, kind: &Kind) -> Result<Option<Content>, Refusal> {
        Ok(Some(match kind {
            Kind::File(bytes) => Content::File(bytes.clone()),
            Kind::Symlink(target) => return self.symlink(target),
            Kind::Char(major, minor) => Content::Char(*major, *minor),
            Kind::Block(major, minor) => Content::Block(*major, *minor),
            Kind::Fifo => Content::Fifo,
            Kind::Directory | Kind::Hardlink(_) => return Ok(None),
        }))
    }

    fn symlink(&self, target: &[u8]) -> Result<Option<Content>, Refusal> {
        match self.fault {
            Some(Fault::EmptyLinkTargetAccepted) => {}
            _ if target.is_empty() => return Err(Refusal::new("a link to nothing")),
            Some(Fault::LongLinkTargetRefused) if target.len() > 1023 => {
                return Err(Refusal::new("a link target that fills a block"));
            }
            Some(Fault::EscapingLinksLeftOut) if leads_out(target) => return Ok(None),
            Some(Fault::NamesGoThroughScript) => {
                return Ok(Some(Content::Symlink(scripted(target))));
            }
            Some(Fault::LinkTargetCleaned) => return Ok(Some(Content::Symlink(cleaned(target)))),
            _ => {}
        }
        Ok(Some(Content::Symlink(target.to_vec())))
    }

    /// Names a node in the place of whatever was there.
    pub(super) fn put(&mut self, dir: Id, name: &[u8], id: Id) {
        self.bury(dir, name);
        self.rootfs.link(dir, name, id);
        self.own.explicit.insert(id);
        self.touch(dir);
    }
}

/// Whether a link's target is absolute or begins by climbing.
pub(super) fn leads_out(target: &[u8]) -> bool {
    target.starts_with(b"/") || target.starts_with(b"../") || target == b".."
}

/// A target as Go's `path.Clean` makes it.
fn cleaned(target: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for part in parts(target) {
        match names.last() {
            Some(last) if part == b".." && *last != b".." => drop(names.pop()),
            _ => names.push(part),
        }
    }
    let path = names.join(&b'/');
    match (target.starts_with(b"/"), path.is_empty()) {
        (true, _) => [b"/", path.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => path,
    }
}
