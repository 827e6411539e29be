//! The mistakes, each by name. What project shipped which stands in `faults.toml`.

macro_rules! faults {
    ($($(#[doc = $wrong:literal])+ $variant:ident = $name:literal,)+) => {
        /// One mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $wrong])+ $variant,)+
        }

        impl Fault {
            /// Every mistake, in the order of the subjects of the image-spec.
            pub const ALL: &[Fault] = &[$(Fault::$variant),+];

            /// Its name, after the mistake.
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$variant => $name,)+
                }
            }

            /// What it does wrong, in one sentence.
            pub fn wrong(self) -> &'static str {
                match self {
                    $(Fault::$variant => concat!($($wrong),+).trim_ascii(),)+
                }
            }
        }
    };
}

faults! {
    // Null converters: a suite that they pass says nothing.
    /// Every image is rejected.
    AlwaysRejects = "always-rejects",
    /// Every image becomes an empty directory.
    AlwaysEmptyTree = "always-empty-tree",
    /// Every conversion succeeds, without any output.
    ExitsWithoutOutput = "exits-without-output",
    /// Only the last layer is looked at.
    CopiesLastLayer = "copies-last-layer",

    // Whiteouts.
    /// Whiteouts are files like any other, and what they name stays.
    WhiteoutsIgnored = "whiteouts-ignored",
    /// A whiteout hides what its own layer brought before it.
    WhiteoutHidesOwnLayer = "whiteout-hides-own-layer",
    /// A whiteout hides what its own layer brings after it.
    WhiteoutHidesLaterEntry = "whiteout-hides-later-entry",
    /// A whiteout is one directory entry, so a directory made again in its layer has its old children back.
    WhiteoutSparesRecreated = "whiteout-spares-recreated",
    /// All whiteouts are applied after all layers.
    WhiteoutsAfterAllLayers = "whiteouts-after-all-layers",
    /// A layer is extracted whole, with directories in the place of linked parents, then its markers are applied.
    HypemanInVm = "hypeman-in-vm",
    /// Layers are read top first, the first entry of a path wins, hard links are resolved at the end.
    ReverseWalkFirstWins = "reverse-walk-first-wins",
    /// Layers are read top first, and a whiteout reaches only the layer directly below.
    WhiteoutReachesOneLayer = "whiteout-reaches-one-layer",
    /// A whiteout of a directory takes away an empty one only.
    WhiteoutNotRecursive = "whiteout-not-recursive",
    /// A whiteout of what is not there is an error.
    WhiteoutOfAbsentRefused = "whiteout-of-absent-refused",
    /// A whiteout below a path that its layer deleted is an error.
    WhiteoutBelowWhiteoutRefused = "whiteout-below-whiteout-refused",
    /// A whiteout of a symbolic link deletes what the link leads to.
    WhiteoutFollowsLink = "whiteout-follows-link",
    /// A directory that a whiteout changes gets the time of the conversion.
    WhiteoutTouchesParent = "whiteout-touches-parent",
    /// A whiteout brings the directories it stands in into being, with attributes of its own choice.
    WhiteoutResetsParents = "whiteout-resets-parents",
    /// A whiteout without a name, or of `.`, deletes the directory it stands in.
    NamelessWhiteoutHidesDirectory = "nameless-whiteout-hides-directory",
    /// A whiteout of `..` deletes the directory above the one it stands in.
    WhiteoutOfDotDotObeyed = "whiteout-of-dot-dot-obeyed",
    /// A doubled whiteout prefix deletes the directory it stands in.
    DoublePrefixHidesDirectory = "double-prefix-hides-directory",
    /// The whiteout prefix is compared without regard to case.
    WhiteoutPrefixFoldsCase = "whiteout-prefix-folds-case",
    /// The whiteout prefix is taken to be `.wh`, without its second dot.
    WhiteoutPrefixWithoutDot = "whiteout-prefix-without-dot",
    /// Markers are looked for in names as they stand, so `./.wh.x` and `/.wh.x` are none.
    MarkersMatchedOnRawNames = "markers-matched-on-raw-names",
    /// Markers are first made as files, so that one for a name of full length is too long.
    MarkersMadeAsFiles = "markers-made-as-files",

    // Opaque whiteouts.
    /// Opaque whiteouts hide nothing.
    OpaqueIgnored = "opaque-ignored",
    /// An opaque whiteout empties its directory when it is met, of its own layer's files too.
    OpaqueWhenSeen = "opaque-when-seen",
    /// An opaque whiteout spares only what entries of its layer name, not the directories they imply.
    OpaqueSparesExplicitOnly = "opaque-spares-explicit-only",
    /// An opaque whiteout in the root hides nothing.
    OpaqueOfRootIgnored = "opaque-of-root-ignored",
    /// An opaque whiteout resets the attributes of its directory.
    OpaqueResetsDirectory = "opaque-resets-directory",
    /// An opaque whiteout in a directory that is not there is an error.
    OpaqueOfAbsentRefused = "opaque-of-absent-refused",
    /// An opaque whiteout is looked for as `.wh..wh.opq`.
    OpaqueNameMisspelt = "opaque-name-misspelt",
    /// `.wh.__dir_opaque`, of AUFS, is an opaque whiteout too.
    OpaqueOfAufsObeyed = "opaque-of-aufs-obeyed",
    /// Whatever begins as the opaque whiteout does is one.
    OpaqueMatchedByPrefix = "opaque-matched-by-prefix",
    /// An opaque whiteout follows a link that its layer replaces.
    OpaqueFollowsReplacedLink = "opaque-follows-replaced-link",

    // Changeset over existing files.
    /// A file in the place of a directory is an error.
    DirectoryNotReplaced = "directory-not-replaced",
    /// A directory in the place of a file is an error.
    FileNotReplacedByDirectory = "file-not-replaced-by-directory",
    /// A directory that a file replaced has its children back when it comes again.
    DirectoryMergedAcrossFile = "directory-merged-across-file",
    /// A directory entry in the place of a link changes the directory behind the link.
    DirectoryEntryFollowsLink = "directory-entry-follows-link",
    /// A file is opened and cut where it exists, through links and for all its hard links.
    OverwritesInPlace = "overwrites-in-place",
    /// Of two entries for a path in one layer the first wins.
    FirstDuplicateWins = "first-duplicate-wins",
    /// A directory that is there keeps its attributes.
    DirectoryAttributesKept = "directory-attributes-kept",
    /// A directory entry adds its extended attributes to those that are there.
    DirectoryXattrsMerged = "directory-xattrs-merged",
    /// A hard or symbolic link in the place of a file is an error.
    LinkOverFileRefused = "link-over-file-refused",
    /// A link whose target is itself deletes the file.
    SelfLinkDeletesFile = "self-link-deletes-file",
    /// An index that an index leads to is an error.
    NestedIndexRefused = "nested-index-refused",
    /// A layer that stands in the image before is left out.
    LayersDeduplicated = "layers-deduplicated",
    /// A layer that stands in the image before is an error.
    DuplicateLayerRefused = "duplicate-layer-refused",

    // Parents.
    /// A parent that is a symbolic link is replaced by a directory.
    LinkedParentReplaced = "linked-parent-replaced",
    /// A parent that is a symbolic link is refused.
    LinkedParentRefused = "linked-parent-refused",
    /// Links are resolved on the host instead of inside the root.
    LinksResolvedOnHost = "links-resolved-on-host",
    /// `..` in an entry's name is followed, above the root too.
    DotDotFollowed = "dot-dot-followed",
    /// A parent that no entry of its layer names is reset to neutral attributes.
    ParentResetByLayer = "parent-reset-by-layer",
    /// The root gets neutral attributes again from each layer that does not name it.
    RootResetByLayer = "root-reset-by-layer",
    /// An entry for the root is ignored.
    RootEntryIgnored = "root-entry-ignored",
    /// A link in the place of the root is made, and what follows goes where it leads.
    RootReplacedByLink = "root-replaced-by-link",
    /// The root has the attributes of `usr`.
    RootAttributesOfUsr = "root-attributes-of-usr",
    /// A parent that no layer names is an error.
    UnnamedParentRefused = "unnamed-parent-refused",
    /// A parent that no layer names gets a mode that depends on the umask.
    UnnamedParentUnderUmask = "unnamed-parent-under-umask",
    /// A parent that no layer names gets the time of the conversion.
    UnnamedParentIsNow = "unnamed-parent-is-now",
    /// A directory that its owner may not write cannot get children.
    ReadOnlyDirectoryRefused = "read-only-directory-refused",
    /// A directory's time is set before its children come, and moves with them.
    DirectoryTimeBeforeChildren = "directory-time-before-children",

    // Links.
    /// Hard links become copies.
    HardlinksCopied = "hardlinks-copied",
    /// A hard link is written before the file it is a name of.
    HardlinkBeforeTarget = "hardlink-before-target",
    /// A hard link to a symbolic link becomes a copy.
    SymlinkHardlinksCopied = "symlink-hardlinks-copied",
    /// A hard link to an empty file becomes a file of its own.
    EmptyHardlinksCopied = "empty-hardlinks-copied",
    /// A hard link to a symbolic link is made to what the link leads to.
    HardlinkFollowsLink = "hardlink-follows-link",
    /// A hard link to a directory is made.
    DirectoryHardlinkAccepted = "directory-hardlink-accepted",
    /// A hard link's target is looked for by its name as it stands.
    HardlinkByRawName = "hardlink-by-raw-name",
    /// A hard link into a lower layer becomes an empty file.
    LowerHardlinkEmpty = "lower-hardlink-empty",
    /// A hard link's target is taken as a path of the host.
    HardlinkTargetOnHost = "hardlink-target-on-host",
    /// A hard link whose target is missing is left out.
    DanglingHardlinkLeftOut = "dangling-hardlink-left-out",
    /// A hard link is refused where its directory is not there yet.
    HardlinkParentRefused = "hardlink-parent-refused",
    /// A file whose pax header has a link path becomes a symbolic link.
    LinkPathMakesLink = "link-path-makes-link",
    /// Link targets are cleaned as paths are.
    LinkTargetCleaned = "link-target-cleaned",
    /// Symbolic links that lead out of the root are left out.
    EscapingLinksLeftOut = "escaping-links-left-out",
    /// Symbolic links with an empty target are made.
    EmptyLinkTargetAccepted = "empty-link-target-accepted",
    /// Link targets of more than 1023 bytes are refused.
    LongLinkTargetRefused = "long-link-target-refused",
    /// Link targets that do not fit the header are cut to what does.
    LongLinkTargetCut = "long-link-target-cut",
    /// The mode of a symbolic link is set on what it leads to.
    LinkModeFollows = "link-mode-follows",
    /// The owner and time of a symbolic link are set on what it leads to.
    LinkAttributesFollow = "link-attributes-follow",

    // Attributes.
    /// Everything belongs to root.
    OwnersDropped = "owners-dropped",
    /// Symbolic links belong to root.
    LinkOwnersDropped = "link-owners-dropped",
    /// Owners are cut to 16 bits.
    OwnerCutTo16Bits = "owner-cut-to-16-bits",
    /// Owners are cut to 32 bits.
    OwnerCutTo32Bits = "owner-cut-to-32-bits",
    /// A known owner's name wins over the number.
    OwnerNameWins = "owner-name-wins",
    /// The umask applies to every mode.
    UmaskApplied = "umask-applied",
    /// A mode of 0 is taken for no mode, and becomes the usual one.
    ZeroModeIsUsual = "zero-mode-is-usual",
    /// Files lose setuid and setgid, because the owner is set after the mode.
    SetuidLost = "setuid-lost",
    /// What belongs to group 0 in a setgid directory gets the directory's group.
    SetgidInherited = "setgid-inherited",
    /// All times are 0.
    TimesDropped = "times-dropped",
    /// The fraction of a time is dropped.
    TimeFractionDropped = "time-fraction-dropped",
    /// Times before 1970 are 0.
    TimeBefore1970IsZero = "time-before-1970-is-zero",
    /// Times are cut to 32 bits with a sign.
    TimeCutTo32Bits = "time-cut-to-32-bits",
    /// Times are cut to 32 bits without a sign.
    TimeCutToUnsigned = "time-cut-to-unsigned-32-bits",
    /// A time is read up to the first byte that does not belong to a number.
    TimeReadUpToJunk = "time-read-up-to-junk",
    /// A time of 0 is taken for no time, and becomes that of the conversion.
    ZeroTimeIsNow = "zero-time-is-now",
    /// The times of symbolic links and special files are not set.
    SpecialTimesDropped = "special-times-dropped",
    /// Extended attributes are dropped.
    XattrsDropped = "xattrs-dropped",
    /// All extended attributes but file capabilities are dropped.
    XattrsButCapabilityDropped = "xattrs-but-capability-dropped",
    /// File capabilities are lost, because the owner is set after them.
    CapabilityLost = "capability-lost",
    /// POSIX access lists are dropped.
    AclsDropped = "acls-dropped",
    /// Extended attributes of the trusted namespace are dropped.
    TrustedXattrsDropped = "trusted-xattrs-dropped",
    /// Extended attributes without a value are dropped.
    EmptyXattrsDropped = "empty-xattrs-dropped",
    /// Extended attributes with large values are dropped.
    LargeXattrsDropped = "large-xattrs-dropped",
    /// Names and values of extended attributes may be of any length.
    XattrLimitsUnchecked = "xattr-limits-unchecked",
    /// The kernel's own overlay attributes in an image steer the conversion.
    OverlayXattrsObeyed = "overlay-xattrs-obeyed",

    // Special files.
    /// A character device 0,0 is a whiteout.
    CharZeroIsWhiteout = "char-zero-is-whiteout",
    /// Device numbers are cut to what the kernel holds.
    DeviceNumbersMasked = "device-numbers-masked",
    /// Devices are left out.
    DevicesSkipped = "devices-skipped",
    /// Devices become empty files.
    DevicesAreEmptyFiles = "devices-are-empty-files",
    /// Named pipes are left out.
    FifosSkipped = "fifos-skipped",

    // Names.
    /// Names are text, and bytes that are not UTF-8 are replaced.
    NamesAreUtf8 = "names-are-utf-8",
    /// Names that are not UTF-8 are refused.
    NonUtf8NamesRefused = "non-utf-8-names-refused",
    /// Names are composed as Unicode has it.
    NamesComposed = "names-composed",
    /// Names are compared without regard to case.
    NamesFoldCase = "names-fold-case",
    /// Entries with a backslash in their names are left out.
    BackslashLeftOut = "backslash-left-out",
    /// Names go through a script of commands, one on a line.
    NamesGoThroughScript = "names-go-through-script",
    /// Names that Windows does not have are refused.
    WindowsNamesRefused = "windows-names-refused",
    /// Files that the container engine writes itself are left out.
    EngineFilesLeftOut = "engine-files-left-out",
    /// Files that lazy-pulling formats add are left out.
    LandmarksLeftOut = "landmarks-left-out",
    /// `lost+found` has the attributes that mke2fs gives it.
    LostAndFoundReset = "lost-and-found-reset",
    /// Names of more than 255 bytes are accepted.
    NameLengthUnchecked = "name-length-unchecked",
    /// Paths of more than 4096 bytes are left out.
    LongPathsLeftOut = "long-paths-left-out",
    /// An absolute name is refused.
    AbsoluteNameRefused = "absolute-name-refused",
    /// A name that is not in its plainest spelling is refused.
    UncleanNameRefused = "unclean-name-refused",

    // Archives.
    /// A header with a NUL type flag is skipped.
    TypeflagNulSkipped = "typeflag-nul-skipped",
    /// A header with the type flag 7 is skipped.
    TypeflagSevenSkipped = "typeflag-seven-skipped",
    /// Headers with unknown type flags are skipped.
    UnknownTypeSkipped = "unknown-type-skipped",
    /// A trailing slash does not make a directory of an old header.
    TrailingSlashIsNoDirectory = "trailing-slash-is-no-directory",
    /// A trailing slash makes a directory of anything but a hard link.
    TrailingSlashIsDirectory = "trailing-slash-is-directory",
    /// A directory is told by its trailing slash alone.
    DirectoryNeedsSlash = "directory-needs-slash",
    /// A ustar magic without the version 00 is refused.
    UstarVersionChecked = "ustar-version-checked",
    /// Headers without a magic are refused.
    OldHeadersRefused = "old-headers-refused",
    /// The last twelve bytes of a header are not part of its checksum.
    ChecksumWithoutPadding = "checksum-without-padding",
    /// Headers with a wrong checksum are skipped.
    BadHeadersSkipped = "bad-headers-skipped",
    /// A header with a wrong checksum ends the archive.
    BadHeaderEndsArchive = "bad-header-ends-archive",
    /// An archive that is cut off is read as far as it goes.
    TruncationAccepted = "truncation-accepted",
    /// Zero blocks are skipped, and what stands behind the end is read.
    ReadsBehindTheEnd = "reads-behind-the-end",
    /// Anything behind the two zero blocks of the end is refused.
    PaddingRefused = "padding-refused",
    /// An archive of no entries is refused.
    EmptyArchiveRefused = "empty-archive-refused",
    /// The payload of a link or directory is not skipped, and taken for the end of the archive.
    LinkPayloadNotSkipped = "link-payload-not-skipped",
    /// The prefix field is ignored.
    PrefixIgnored = "prefix-ignored",
    /// The prefix field is used in GNU headers, where times stand.
    PrefixOfGnuHeader = "prefix-of-gnu-header",
    /// A text field that is full loses its last byte.
    FullFieldLosesLastByte = "full-field-loses-last-byte",
    /// A number field without a NUL or blank at its end is refused.
    NumberFieldNeedsEnd = "number-field-needs-end",
    /// A number field with blanks before its digits is refused.
    NumberBlanksRefused = "number-blanks-refused",
    /// Numbers in base 256 are refused.
    Base256Refused = "base-256-refused",
    /// The GNU long name is ignored.
    GnuLongNameIgnored = "gnu-long-name-ignored",
    /// The pax path is ignored.
    PaxPathIgnored = "pax-path-ignored",
    /// The pax size is ignored.
    PaxSizeIgnored = "pax-size-ignored",
    /// A pax path ends at its first NUL.
    PaxNameCutAtNul = "pax-name-cut-at-nul",
    /// The length and end of a pax record are not checked.
    PaxLengthUnchecked = "pax-length-unchecked",
    /// Two pax headers before one file are merged.
    PaxHeadersMerged = "pax-headers-merged",
    /// An unknown pax key is refused.
    PaxUnknownKeyRefused = "pax-unknown-key-refused",
    /// A pax global header applies from the second entry on.
    GlobalHeaderFromSecondEntry = "global-header-from-second-entry",
    /// A pax global header is refused.
    GlobalHeaderRefused = "global-header-refused",
    /// A pax global header becomes a file.
    GlobalHeaderIsFile = "global-header-is-file",
    /// A sparse file is written as the archive stores it.
    SparseWrittenRaw = "sparse-written-raw",

    // Blobs.
    /// Only the first gzip member is read.
    FirstGzipMemberOnly = "first-gzip-member-only",
    /// A second gzip member is an error.
    SecondGzipMemberRefused = "second-gzip-member-refused",
    /// The checksum and length of a gzip member are not checked.
    GzipTrailerUnchecked = "gzip-trailer-unchecked",
    /// A gzip stream that is cut off is read as far as it goes.
    GzipTruncationAccepted = "gzip-truncation-accepted",
    /// A gzip header with optional fields is refused.
    GzipOptionalFieldsRefused = "gzip-optional-fields-refused",
    /// Only the first zstd frame is read.
    FirstZstdFrameOnly = "first-zstd-frame-only",
    /// zstd is not known.
    ZstdUnknown = "zstd-unknown",
    /// Layers are told by their first bytes, whatever their media type says.
    LayerMediaTypeIgnored = "layer-media-type-ignored",
    /// Layers of unknown media types are left out.
    UnknownLayersLeftOut = "unknown-layers-left-out",
    /// Docker's media types are not known.
    DockerMediaTypesRefused = "docker-media-types-refused",
    /// Non-distributable layers are left out.
    NondistributableLeftOut = "nondistributable-left-out",
    /// No size, digest, diff ID or gzip trailer is checked, and what is cut off is read as far as it goes.
    IntegrityUnchecked = "integrity-unchecked",
    /// Neither a blob's digest nor its diff ID is checked.
    DigestUnchecked = "digest-unchecked",
    /// A digest in capital letters is taken for one in small letters.
    DigestCaseIgnored = "digest-case-ignored",
    /// A blob's size is not checked.
    SizeUnchecked = "size-unchecked",
    /// Diff IDs are not looked at.
    DiffIdUnchecked = "diff-id-unchecked",
    /// Diff IDs are compared, but not counted.
    DiffIdsNotCounted = "diff-ids-not-counted",

    // Documents.
    /// The first manifest of the index is taken.
    FirstManifestTaken = "first-manifest-taken",
    /// The configuration is not read.
    ConfigNotRead = "config-not-read",
    /// An unknown rootfs type is accepted.
    RootfsTypeUnchecked = "rootfs-type-unchecked",
    /// The schema version is not checked.
    SchemaVersionUnchecked = "schema-version-unchecked",
    /// The media type that a document states of itself is not checked.
    MediaTypeInsideUnchecked = "media-type-inside-unchecked",
    /// A document may be a manifest and an index at once.
    ManifestAndIndexAtOnce = "manifest-and-index-at-once",
    /// Media types of configurations and layers are not looked at.
    MediaTypesIgnored = "media-types-ignored",
    /// The version of the layout is not checked.
    LayoutVersionUnchecked = "layout-version-unchecked",
    /// Of a JSON key that stands twice the last one counts, and diff IDs are not counted.
    LastJsonKeyWins = "last-json-key-wins",
    /// JSON keys are compared without regard to case.
    JsonKeysFoldCase = "json-keys-fold-case",
    /// What follows a JSON document is ignored.
    JsonTailIgnored = "json-tail-ignored",
    /// A null in a document is refused.
    NullsRefused = "nulls-refused",
    /// An unknown key in a document is refused.
    UnknownKeysRefused = "unknown-keys-refused",
    /// A history that does not match the layers is refused.
    HistoryCounted = "history-counted",
}
