//! Hard links: layer.md#hardlinks.

use super::Applier;
use super::place::leads_out;
use super::walk::Place;
use crate::name::components;
use crate::rootfs::{Content, Id};
use crate::{Fault, Refusal};

impl Applier {
    pub(super) fn place_hardlink(
        &mut self,
        dir: Id,
        name: &[u8],
        target: &[u8],
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
        let id = self.hardlink_node(id);
        self.put(dir, name, id);
        Ok(())
    }

    pub(super) fn hardlink_source(&mut self, target: &[u8]) -> Result<Option<Id>, Refusal> {
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
    pub(super) fn hardlink_node(&mut self, id: Id) -> Id {
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
            _ => id,
        }
    }
}
