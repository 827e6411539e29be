//! Entries at their names: layer.md#changeset-over-existing-files, layer.md#hardlinks.

use super::Applier;
use super::walk::{Place, parts};
use crate::name::{Name, components, scripted};
use crate::rootfs::{Content, Id, Node};
use crate::tar::{Attributes, Entry, Kind};
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
            Kind::Hardlink(target) => self.place_hardlink(dir, name, target, entry),
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
        let mut attributes = self.prepared(entry, name);
        let parent = &self.rootfs.node(dir).attributes;
        if self.is(Fault::SetgidInherited) && parent.mode & 0o2000 != 0 && attributes.gid == 0 {
            attributes.gid = parent.gid;
        }
        let Some(content) = self.content(kind)? else {
            return Ok(());
        };
        if self.is(Fault::LinkAttributesFollow)
            && let Content::Symlink(target) = &content
        {
            self.follow_attributes(above, target, &attributes);
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

    fn link_target(&self, id: Id) -> Option<Vec<u8>> {
        match &self.rootfs.node(id).content {
            Content::Symlink(target) => Some(target.clone()),
            _ => None,
        }
    }

    /// chown(2) and utimes(2) where lchown(2) and lutimes(2) are meant.
    fn follow_attributes(&mut self, above: &[Name], target: &[u8], attributes: &Attributes) {
        match self.on_host(above, target) {
            Err(path) => self.outside.push(path),
            Ok(None) => {}
            Ok(Some(id)) => {
                let behind = &mut self.rootfs.node_mut(id).attributes;
                (behind.uid, behind.gid) = (attributes.uid, attributes.gid);
                (behind.seconds, behind.nanos) = (attributes.seconds, attributes.nanos);
                if attributes.mode != 0o777 {
                    behind.mode = attributes.mode;
                }
            }
        }
    }

    /// open(2) with O_TRUNC: through links, for all names of the inode, and waiting for a named pipe.
    fn overwrite(
        &mut self,
        above: &[Name],
        id: Id,
        content: &Content,
        attributes: &Attributes,
    ) -> Option<Result<(), Refusal>> {
        let id = match self.link_target(id) {
            None => id,
            Some(target) => match self.on_host(above, &target) {
                Ok(behind) => behind?,
                Err(path) => {
                    self.outside.push(path);
                    return Some(Ok(()));
                }
            },
        };
        let node = self.rootfs.node_mut(id);
        match node.content {
            Content::File(_) => {
                node.content = content.clone();
                node.attributes = attributes.clone();
                Some(Ok(()))
            }
            Content::Fifo => Some(Err(Refusal::new("waits for somebody to read the pipe"))),
            _ => None,
        }
    }

    fn place_hardlink(
        &mut self,
        dir: Id,
        name: &[u8],
        target: &[u8],
        entry: &Entry,
    ) -> Result<(), Refusal> {
        if self.is(Fault::HardlinkTargetOnHost) && (target.starts_with(b"/") || leads_out(target)) {
            self.outside.push(target.escape_ascii().to_string());
            return Ok(());
        }
        let Some(id) = self.hardlink_source(target)? else {
            return match self.is(Fault::DanglingHardlinkLeftOut) {
                true => Ok(()),
                false => Err(Refusal::new("the hard link's target is not there")),
            };
        };
        if self.rootfs.child(dir, name) == Some(id) {
            if self.is(Fault::SelfLinkDeletesFile) {
                self.rootfs.unlink(dir, name);
            }
            return Ok(());
        }
        if self.rootfs.node(id).content.is_dir() && !self.is(Fault::DirectoryHardlinkAccepted) {
            return Err(Refusal::new("a hard link to a directory"));
        }
        let id = self.hardlink_node(id, entry);
        self.put(dir, name, id);
        Ok(())
    }

    fn hardlink_source(&mut self, target: &[u8]) -> Result<Option<Id>, Refusal> {
        if self.is(Fault::HardlinkByRawName) && !self.raw_names.contains(target) {
            return Ok(None);
        }
        let path = components(target, self.fault)?;
        let Some((name, above)) = path.split_last() else {
            return Err(Refusal::new("a hard link to the root"));
        };
        let dir = match self.find_parents(above) {
            Place::Directory(dir) => dir,
            Place::Nowhere => return Ok(None),
            Place::Outside(path) => {
                self.outside.push(path);
                return Ok(None);
            }
        };
        let Some(id) = self.rootfs.child(dir, name) else {
            return Ok(None);
        };
        let Some(target) = self
            .link_target(id)
            .filter(|_| self.is(Fault::HardlinkFollowsLink))
        else {
            return Ok(Some(id));
        };
        match self.on_host(above, &target) {
            Ok(behind) => Ok(behind),
            Err(path) => {
                self.outside.push(path);
                Ok(Some(id))
            }
        }
    }

    /// The node that a further name for `id` stands for.
    fn hardlink_node(&mut self, id: Id, entry: &Entry) -> Id {
        let mut node = self.rootfs.node(id).clone();
        let is_empty = matches!(&node.content, Content::File(bytes) if bytes.is_empty());
        let is_lower = id < self.lower;
        match self.fault {
            Some(Fault::HardlinksCopied) => self.rootfs.add(node),
            Some(Fault::SymlinkHardlinksCopied) if matches!(node.content, Content::Symlink(_)) => {
                self.rootfs.add(node)
            }
            Some(Fault::EmptyHardlinksCopied) if is_empty => self.rootfs.add(node),
            Some(Fault::LowerHardlinkEmpty) if is_lower => {
                node.content = Content::File([].into());
                self.rootfs.add(node)
            }
            Some(Fault::HardlinkSetsAttributes) => {
                let xattrs = node.attributes.xattrs;
                let attributes = entry.attributes.clone();
                self.rootfs.node_mut(id).attributes = Attributes {
                    xattrs,
                    ..attributes
                };
                id
            }
            _ => id,
        }
    }

    /// Names a node in the place of whatever was there.
    fn put(&mut self, dir: Id, name: &[u8], id: Id) {
        self.bury(dir, name);
        self.rootfs.link(dir, name, id);
        self.own.explicit.insert(id);
        self.touch(dir);
    }

    /// Takes note of a directory that loses its name, where a fault brings its children back.
    pub(super) fn bury(&mut self, dir: Id, name: &[u8]) {
        let Some(old) = self.rootfs.child(dir, name) else {
            return;
        };
        let buries =
            self.is(Fault::DirectoryMergedAcrossFile) || self.is(Fault::WhiteoutSparesRecreated);
        if buries && self.rootfs.node(old).content.is_dir() {
            self.buried.insert((dir, name.to_vec()), old);
        }
    }

    /// Gives a directory that is made anew the children of the one that had its name.
    pub(super) fn unbury(&mut self, dir: Id, name: &[u8], id: Id) {
        let Some(old) = self.buried.remove(&(dir, name.to_vec())) else {
            return;
        };
        let is_own = self.is(Fault::WhiteoutSparesRecreated)
            && !self
                .own
                .hidden
                .iter()
                .any(|path| path.last().is_some_and(|last| last == name));
        if is_own {
            return;
        }
        let children = self.rootfs.children(old).clone();
        if let Some(own) = self.rootfs.children_mut(id) {
            own.extend(children);
        }
    }

    /// A directory whose children change, where a fault lets its time move.
    pub(super) fn touch(&mut self, dir: Id) {
        if self.is(Fault::DirectoryTimeBeforeChildren) {
            self.rootfs.node_mut(dir).attributes.seconds = self.surroundings.now;
        }
    }

    /// What overlayfs does with its own attributes on a directory.
    fn obey_overlay(&mut self, id: Id, entry: &Entry) -> Result<(), Refusal> {
        if !self.is(Fault::OverlayXattrsObeyed) {
            return Ok(());
        }
        let value = |name: &[u8]| entry.attributes.xattrs.get(name);
        if value(b"trusted.overlay.opaque").is_some()
            && let Some(children) = self.rootfs.children_mut(id)
        {
            children.clear();
        }
        if let Some(to) = value(b"trusted.overlay.redirect") {
            let path: Vec<Name> = parts(to).map(<[u8]>::to_vec).collect();
            if let Place::Directory(source) = self.find_parents(&path) {
                let children = self.rootfs.children(source).clone();
                if let Some(own) = self.rootfs.children_mut(id) {
                    own.extend(children);
                }
            }
        }
        Ok(())
    }
}

/// Whether a link's target is absolute or begins by climbing.
fn leads_out(target: &[u8]) -> bool {
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
