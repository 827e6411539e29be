//! A root filesystem in memory: nodes, and directories that name them.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::Fault;
use crate::name::Name;
use crate::tar::Attributes;

/// A node's place; a hard link is a second name for one.
pub(crate) type Id = usize;

/// The root directory.
pub(crate) const ROOT: Id = 0;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) attributes: Attributes,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Directory(BTreeMap<Name, Id>),
    File(Rc<[u8]>),
    Symlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

impl Content {
    pub(crate) fn is_dir(&self) -> bool {
        matches!(self, Content::Directory(_))
    }
}

#[derive(Debug)]
pub(crate) struct Rootfs {
    nodes: Vec<Node>,
    folds_case: bool,
}

/// A directory that no layer describes.
pub(crate) fn neutral_directory() -> Node {
    let attributes = Attributes {
        mode: 0o755,
        ..Attributes::default()
    };
    let content = Content::Directory(BTreeMap::new());
    Node {
        content,
        attributes,
    }
}

impl Rootfs {
    pub(crate) fn new(fault: Option<Fault>) -> Rootfs {
        Rootfs {
            nodes: vec![neutral_directory()],
            folds_case: fault == Some(Fault::NamesFoldCase),
        }
    }

    /// How many nodes were ever made.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(crate) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id]
    }

    pub(crate) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// What a directory has; nothing where `dir` is none.
    pub(crate) fn children(&self, dir: Id) -> &BTreeMap<Name, Id> {
        static NONE: BTreeMap<Name, Id> = BTreeMap::new();
        match &self.nodes[dir].content {
            Content::Directory(children) => children,
            _ => &NONE,
        }
    }

    pub(crate) fn children_mut(&mut self, dir: Id) -> Option<&mut BTreeMap<Name, Id>> {
        match &mut self.nodes[dir].content {
            Content::Directory(children) => Some(children),
            _ => None,
        }
    }

    pub(crate) fn child(&self, dir: Id, name: &[u8]) -> Option<Id> {
        let children = self.children(dir);
        let exact = children.get(name).copied();
        if exact.is_some() || !self.folds_case {
            return exact;
        }
        let mut names = children.iter();
        let found = names.find(|(other, _)| folded(other) == folded(name));
        found.map(|(_, id)| *id)
    }

    /// Names a node; whatever had the name loses it.
    pub(crate) fn link(&mut self, dir: Id, name: &[u8], id: Id) {
        self.unlink(dir, name);
        if let Some(children) = self.children_mut(dir) {
            children.insert(name.to_vec(), id);
        }
    }

    pub(crate) fn unlink(&mut self, dir: Id, name: &[u8]) {
        let folds_case = self.folds_case;
        if let Some(children) = self.children_mut(dir) {
            match folds_case {
                true => children.retain(|other, _| folded(other) != folded(name)),
                false => drop(children.remove(name)),
            }
        }
    }
}

/// A name as a store has it that does not tell upper from lower case.
fn folded(name: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(name).to_lowercase();
    text.replace('ß', "ss").into_bytes()
}
