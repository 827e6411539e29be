//! Why a case has no variant of some kind.

/// Why a case has no variant of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// The case expects nothing.
    NoVerdict,
    /// The case expects a rejection or one of several outcomes, which entries decide.
    NotOneTree,
    /// Documents or blobs are edited by hand, by place and offset.
    Damaged,
    /// A layer is an EROFS image, which has no headers, no order and no spelling.
    NotTar,
    /// Headers, bytes or media types are written by hand.
    HandWritten,
    /// An entry goes through a symbolic link, so that its path does not say where it lands.
    ThroughLink,
    /// A hard link reaches into another layer, which the spec lets fail.
    LinkAcrossLayers,
    /// An entry takes the place of another that is no directory.
    Replaces,
    /// A whiteout stands where it would hide entries of its own layer.
    Whiteout,
    /// The header family cannot hold a value.
    Unholdable,
    /// A path or a number of layers would grow beyond what the spec is sure about.
    TooLarge,
    /// The root's extended attributes are what a converter must keep.
    RootXattrs,
    /// The case is so already.
    Same,
}

impl LeftOut {
    /// Every reason, in the order they are counted in.
    pub const ALL: [LeftOut; 13] = [
        LeftOut::NoVerdict,
        LeftOut::NotOneTree,
        LeftOut::Damaged,
        LeftOut::NotTar,
        LeftOut::HandWritten,
        LeftOut::ThroughLink,
        LeftOut::LinkAcrossLayers,
        LeftOut::Replaces,
        LeftOut::Whiteout,
        LeftOut::Unholdable,
        LeftOut::TooLarge,
        LeftOut::RootXattrs,
        LeftOut::Same,
    ];

    /// What to say of such cases.
    pub fn words(self) -> &'static str {
        match self {
            LeftOut::NoVerdict => "no verdict",
            LeftOut::NotOneTree => "not one tree",
            LeftOut::Damaged => "documents or blobs changed by hand",
            LeftOut::NotTar => "layers that are no archives",
            LeftOut::HandWritten => "headers, bytes or media types written by hand",
            LeftOut::ThroughLink => "an entry goes through a link",
            LeftOut::LinkAcrossLayers => "a hard link across layers",
            LeftOut::Replaces => "an entry replaces another",
            LeftOut::Whiteout => "a whiteout beside its layer's own",
            LeftOut::Unholdable => "a value the headers cannot hold",
            LeftOut::TooLarge => "a path or a number of layers too large",
            LeftOut::RootXattrs => "extended attributes of the root",
            LeftOut::Same => "so already",
        }
    }
}
