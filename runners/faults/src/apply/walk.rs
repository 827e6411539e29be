//! From a path to a directory, through links, inside the root.

use std::collections::VecDeque;

use super::Applier;
use crate::name::Name;
use crate::rootfs::{Content, Id, ROOT, neutral_directory};
use crate::{Fault, Refusal};

/// The links Linux follows in one path.
const LINKS_MAX: usize = 40;

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Place {
    Directory(Id),
    Nowhere,
    /// A path of the host, to which a real process would have gone.
    Outside(String),
}

/// A walk under way.
struct Walk {
    /// The directories from the root down.
    stack: Vec<Id>,
    /// What is still to go, and whether a link brought it.
    left: VecDeque<(Name, bool)>,
    links: usize,
    /// Whether missing directories are made.
    makes: bool,
    /// Whether a link may lead out of the root.
    leaves: bool,
}

/// What a step of a walk found.
enum Step {
    On,
    Ends(Place),
}

impl Applier {
    /// The directory of an entry; what is missing is made.
    pub(super) fn make_parents(&mut self, path: &[Name]) -> Result<Place, Refusal> {
        self.walk(path, true, self.is(Fault::LinksResolvedOnHost))
    }

    /// The directory of something that must be there.
    pub(super) fn find_parents(&mut self, path: &[Name]) -> Place {
        let leaves = self.is(Fault::LinksResolvedOnHost);
        self.walk(path, false, leaves).unwrap_or(Place::Nowhere)
    }

    fn walk(&mut self, path: &[Name], makes: bool, leaves: bool) -> Result<Place, Refusal> {
        let mut walk = Walk {
            stack: vec![ROOT],
            left: path.iter().map(|name| (name.clone(), false)).collect(),
            links: 0,
            makes,
            leaves,
        };
        while let Some((name, by_link)) = walk.left.pop_front() {
            match self.step(&mut walk, &name, by_link)? {
                Step::On => {}
                Step::Ends(place) => return Ok(place),
            }
        }
        Ok(Place::Directory(*walk.stack.last().unwrap_or(&ROOT)))
    }

    fn step(&mut self, walk: &mut Walk, name: &[u8], by_link: bool) -> Result<Step, Refusal> {
        let dir = *walk.stack.last().unwrap_or(&ROOT);
        if name == b".." {
            let is_out = walk.stack.len() == 1;
            if is_out && (walk.leaves || self.is(Fault::DotDotFollowed) && !by_link) {
                return Ok(Step::Ends(Place::Outside(walk.rest("/.."))));
            }
            walk.stack.truncate((walk.stack.len() - 1).max(1));
            return Ok(Step::On);
        }
        let Some(id) = self.rootfs.child(dir, name) else {
            return self.absent(walk, dir, name, by_link);
        };
        match self.rootfs.node(id).content.clone() {
            Content::Directory(_) => {
                self.check_writable(id, walk.makes)?;
                self.reset_parent(id, walk.makes);
                walk.stack.push(id);
                Ok(Step::On)
            }
            Content::Symlink(target) => self.follow(walk, dir, name, &target, by_link),
            _ if walk.makes && !by_link => {
                if self.is(Fault::FileNotReplacedByDirectory) {
                    return Err(Refusal::new("a parent is a file"));
                }
                let made = self.make_directory(dir, name)?;
                walk.stack.push(made);
                Ok(Step::On)
            }
            _ if walk.makes => Err(Refusal::new("a parent is a link to a file")),
            _ => Ok(Step::Ends(Place::Nowhere)),
        }
    }

    fn absent(
        &mut self,
        walk: &mut Walk,
        dir: Id,
        name: &[u8],
        by_link: bool,
    ) -> Result<Step, Refusal> {
        if !walk.makes {
            return Ok(Step::Ends(Place::Nowhere));
        }
        if by_link {
            return Err(Refusal::new("a parent is a link to nowhere"));
        }
        let made = self.make_directory(dir, name)?;
        walk.stack.push(made);
        Ok(Step::On)
    }

    fn follow(
        &mut self,
        walk: &mut Walk,
        dir: Id,
        name: &[u8],
        target: &[u8],
        by_link: bool,
    ) -> Result<Step, Refusal> {
        if walk.makes && self.is(Fault::LinkedParentRefused) {
            return Err(Refusal::new("a parent is a link"));
        }
        let replaces = self.is(Fault::LinkedParentReplaced) || self.is(Fault::HypemanInVm);
        if walk.makes && !by_link && replaces {
            let made = self.make_directory(dir, name)?;
            walk.stack.push(made);
            return Ok(Step::On);
        }
        walk.links += 1;
        if walk.links > LINKS_MAX {
            return Err(Refusal::new("too many links in a path"));
        }
        if target.starts_with(b"/") {
            if walk.leaves {
                let target = target.escape_ascii().to_string();
                return Ok(Step::Ends(Place::Outside(walk.rest(&target))));
            }
            walk.stack.truncate(1);
        }
        for name in parts(target).rev() {
            walk.left.push_front((name.to_vec(), true));
        }
        Ok(Step::On)
    }

    /// A directory that no entry names.
    pub(super) fn make_directory(&mut self, dir: Id, name: &[u8]) -> Result<Id, Refusal> {
        if self.is(Fault::UnnamedParentRefused) {
            return Err(Refusal::new("a directory without an entry"));
        }
        let mut node = neutral_directory();
        if self.is(Fault::UnnamedParentUnderUmask) {
            node.attributes.mode = 0o777 & !self.surroundings.umask;
        }
        if self.is(Fault::UnnamedParentIsNow) {
            node.attributes.seconds = self.surroundings.now;
        }
        let id = self.rootfs.add(node);
        self.unbury(dir, name, id);
        self.own.implied.insert(id);
        self.bury(dir, name);
        self.rootfs.link(dir, name, id);
        self.touch(dir);
        Ok(id)
    }

    fn check_writable(&self, id: Id, makes: bool) -> Result<(), Refusal> {
        let mode = self.rootfs.node(id).attributes.mode;
        match makes && mode & 0o300 != 0o300 && self.is(Fault::ReadOnlyDirectoryRefused) {
            true => Err(Refusal::new("permission denied")),
            false => Ok(()),
        }
    }

    fn reset_parent(&mut self, id: Id, makes: bool) {
        let resets = self.is(Fault::ParentResetByLayer) && makes
            || self.is(Fault::WhiteoutResetsParents) && !makes;
        if resets && !self.own.explicit.contains(&id) && self.own.implied.insert(id) {
            self.rootfs.node_mut(id).attributes = neutral_directory().attributes;
        }
    }

    /// Where the host's kernel would take a link that stands in `dir`: the node, if it is inside.
    pub(super) fn on_host(&mut self, path: &[Name], target: &[u8]) -> Result<Option<Id>, String> {
        let text = target.escape_ascii().to_string();
        if target.starts_with(b"/") {
            return Err(text);
        }
        let mut whole = path.to_vec();
        whole.extend(parts(target).map(<[u8]>::to_vec));
        let Some(last) = whole.pop() else {
            return Ok(Some(ROOT));
        };
        let name = last.clone();
        if last == b".." {
            whole.push(last);
            return match self.walk(&whole, false, true) {
                Ok(Place::Directory(id)) => Ok(Some(id)),
                Ok(Place::Outside(path)) => Err(path),
                _ => Ok(None),
            };
        }
        match self.walk(&whole, false, true) {
            Ok(Place::Directory(dir)) => Ok(self.rootfs.child(dir, &name)),
            Ok(Place::Outside(path)) => Err(path),
            _ => Ok(None),
        }
    }
}

impl Walk {
    /// A path of the host: `start`, then what is still to go.
    fn rest(&self, start: &str) -> String {
        let names = self
            .left
            .iter()
            .map(|(name, _)| format!("/{}", name.escape_ascii()));
        start.to_owned() + &names.collect::<String>()
    }
}

/// The parts of a link's target that mean something.
pub(super) fn parts(target: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let parts = target.split(|byte| *byte == b'/');
    parts.filter(|part| !part.is_empty() && *part != b".")
}
