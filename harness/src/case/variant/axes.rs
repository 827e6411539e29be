//! The table of axes and values, in the order they are listed.

use super::{Axis, Value, names, order, packing, parents, split};
use crate::case::Level::{DeFacto, Must, Should};

const APPLYING: &str = "layer.md#applying-changesets";
const AS_TAR: &str = "In the absence of any whiteout files in a layer changeset, the archive is extracted like \
                      a regular tar archive.";
const OVER: &str = "layer.md#changeset-over-existing-files";
const OVER_DIRS: &str = "If the entry and the existing path are both directories, then the existing path's \
                         attributes MUST be replaced by those of the entry in the changeset.";
const LAYERS: &str = "manifest.md#image-manifest-property-descriptions";
const RESULT: &str = "The final filesystem layout MUST match the result of applying the layers to an empty directory.";
const ROOT: &str =
    "The ownership, mode, and other attributes of the initial empty directory are unspecified.";
const POPULATE: &str = "layer.md#populate-initial-filesystem";
const RELATIVE: &str = "is then created as a plain tar archive with relative path to rootfs-c9d-v1";
const WHITEOUTS: &str = "layer.md#whiteouts";
const LOWER: &str = "Whiteout files MUST only apply to resources in lower/parent layers.";
const CHANGES: &str = "layer.md#representing-changes";
const ONLY: &str = "A tar archive is then created which contains only this changeset:";
const TAR: &str = "layer.md#distributable-format";
const IN_TAR: &str = "Layer Changesets for the media type application/vnd.oci.image.layer.v1.tar MUST be packaged \
                      in tar archive.";
const GZIP: &str = "layer.md#gzip-media-types";
const ZSTD: &str = "layer.md#zstd-media-types";
const PAYLOAD: &str = "payload which has been compressed with";
const MEDIA: &str = "media-types.md#compatibility-matrix";

/// Every axis with its values.
pub const AXES: &[Axis] = &[
    Axis {
        name: "root",
        of_entries: true,
        values: &[
            value(
                "absent",
                "no entry for the root",
                LAYERS,
                ROOT,
                Must,
                names::root_absent,
            ),
            value(
                "dot-slash",
                "an entry `./` in every layer",
                POPULATE,
                RELATIVE,
                Must,
                names::root_dot_slash,
            ),
            value(
                "dot",
                "an entry `.` in every layer",
                OVER,
                OVER_DIRS,
                DeFacto,
                names::root_dot,
            ),
            value(
                "slash",
                "an entry `/` in every layer",
                OVER,
                OVER_DIRS,
                DeFacto,
                names::root_slash,
            ),
        ],
    },
    Axis {
        name: "spelling",
        of_entries: true,
        values: &[
            value(
                "plain",
                "names without `./`",
                WHITEOUTS,
                "The following is a base layer with several resources:",
                Must,
                names::plain_names,
            ),
            value(
                "dot-slash",
                "names that begin `./`",
                POPULATE,
                RELATIVE,
                Must,
                names::dot_slash,
            ),
            value(
                "slash",
                "names that begin `/`",
                APPLYING,
                "",
                DeFacto,
                names::leading_slash,
            ),
            value(
                "double-slash",
                "names with double slashes",
                APPLYING,
                "",
                DeFacto,
                names::double_slash,
            ),
            value(
                "directory-slash",
                "directories that end in a slash",
                POPULATE,
                RELATIVE,
                Must,
                names::directory_slash,
            ),
            value(
                "directory-plain",
                "directories that do not end in a slash",
                APPLYING,
                AS_TAR,
                Must,
                names::directory_plain,
            ),
        ],
    },
    Axis {
        name: "parents",
        of_entries: true,
        values: &[
            value(
                "explicit",
                "every parent named",
                OVER,
                OVER_DIRS,
                Must,
                parents::explicit,
            ),
            value(
                "implied",
                "parents that only their children imply",
                CHANGES,
                ONLY,
                Must,
                parents::implied,
            ),
        ],
    },
    Axis {
        name: "order",
        of_entries: true,
        values: &[
            value(
                "whiteouts-first",
                "whiteouts before all else",
                WHITEOUTS,
                LOWER,
                Must,
                order::whiteouts_first,
            ),
            value(
                "whiteouts-last",
                "whiteouts behind all else",
                WHITEOUTS,
                LOWER,
                Must,
                order::whiteouts_last,
            ),
            value(
                "directories-last",
                "directories behind what is in them",
                OVER,
                OVER_DIRS,
                Must,
                order::directories_last,
            ),
            value(
                "reversed",
                "independent entries in reverse",
                APPLYING,
                AS_TAR,
                Must,
                order::reversed,
            ),
            value(
                "sorted",
                "independent entries sorted by name",
                APPLYING,
                AS_TAR,
                Must,
                order::sorted,
            ),
        ],
    },
    Axis {
        name: "split",
        of_entries: true,
        values: &[
            value(
                "halves",
                "each layer cut in two",
                LAYERS,
                RESULT,
                Must,
                split::halves,
            ),
            value(
                "everywhere",
                "each layer cut wherever it may be",
                LAYERS,
                RESULT,
                Must,
                split::everywhere,
            ),
        ],
    },
    Axis {
        name: "header",
        of_entries: false,
        values: &[
            value("ustar", "ustar headers", TAR, IN_TAR, Must, packing::ustar),
            value("pax", "pax headers", TAR, IN_TAR, Must, packing::pax),
            value("gnu", "GNU headers", TAR, IN_TAR, Must, packing::gnu),
        ],
    },
    Axis {
        name: "compression",
        of_entries: false,
        values: &[
            value(
                "none",
                "plain layers",
                TAR,
                IN_TAR,
                Must,
                packing::uncompressed,
            ),
            value("gzip", "gzip layers", GZIP, PAYLOAD, Must, packing::gzip),
            value(
                "gzip-members",
                "gzip layers of three members",
                "RFC 1952 §2.2",
                "A gzip file consists of a series of \"members\" (compressed data sets).",
                Must,
                packing::gzip_members,
            ),
            value("zstd", "zstd layers", ZSTD, PAYLOAD, Should, packing::zstd),
            value(
                "zstd-frames",
                "zstd layers of three frames",
                "RFC 8878 §3.1",
                "Zstandard compressed data is made up of one or more frames.",
                Should,
                packing::zstd_frames,
            ),
        ],
    },
    Axis {
        name: "media-type",
        of_entries: false,
        values: &[
            value(
                "docker-layers",
                "docker's media types on layers",
                MEDIA,
                "Interchangeable and fully compatible mime-types:",
                DeFacto,
                packing::docker_layers,
            ),
            value(
                "docker",
                "docker's media types throughout",
                MEDIA,
                "Similar/related schema:",
                DeFacto,
                packing::docker,
            ),
        ],
    },
    Axis {
        name: "empty-layer",
        of_entries: false,
        values: &[
            value(
                "bottom",
                "an empty layer below",
                LAYERS,
                RESULT,
                Must,
                packing::empty_bottom,
            ),
            value(
                "middle",
                "an empty layer between",
                LAYERS,
                RESULT,
                Must,
                packing::empty_middle,
            ),
            value(
                "top",
                "an empty layer on top",
                LAYERS,
                RESULT,
                Must,
                packing::empty_top,
            ),
        ],
    },
];

const fn value(
    name: &'static str,
    does: &'static str,
    spec: &'static str,
    quote: &'static str,
    level: crate::case::Level,
    make: fn(&[crate::case::Layer]) -> Result<super::Made, super::LeftOut>,
) -> Value {
    Value {
        name,
        does,
        spec,
        quote,
        level,
        make,
    }
}
