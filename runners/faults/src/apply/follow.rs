//! Calls that follow a symbolic link of the image where they should not, as the host's kernel would.

use super::Applier;
use crate::name::Name;
use crate::rootfs::{Content, Id};
use crate::tar::Attributes;
use crate::{Fault, Refusal};

impl Applier {
    pub(super) fn link_target(&self, id: Id) -> Option<Vec<u8>> {
        match &self.rootfs.node(id).content {
            Content::Symlink(target) => Some(target.clone()),
            _ => None,
        }
    }

    /// chmod(2), or chown(2) and utimes(2) where lchown(2) and lutimes(2) are meant.
    pub(super) fn follow_attributes(
        &mut self,
        above: &[Name],
        target: &[u8],
        attributes: &Attributes,
    ) {
        let follows_mode = self.is(Fault::LinkModeFollows);
        match self.on_host(above, target) {
            Err(path) => self.outside.push(path),
            Ok(None) => {}
            Ok(Some(id)) => {
                let behind = &mut self.rootfs.node_mut(id).attributes;
                if follows_mode {
                    behind.mode = attributes.mode;
                } else {
                    (behind.uid, behind.gid) = (attributes.uid, attributes.gid);
                    (behind.seconds, behind.nanos) = (attributes.seconds, attributes.nanos);
                }
            }
        }
    }

    /// open(2) with O_TRUNC: through links, for all names of the inode, and waiting for a named pipe.
    pub(super) fn overwrite(
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
}
