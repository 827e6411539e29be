//! What the three layers do to the root filesystem, as shell: the one language in which everybody
//! reads `rm`, `ln` and `chmod`.
//!
//! Each script runs in the root filesystem of umoci's bundle; umoci makes the layer changeset, its
//! whiteouts included, from what the script did. `$BASE` and `$PYTHON` are the archives that
//! mmdebstrap made, without and with Python.

/// One layer: what its history says it does, and the script that does it.
pub(super) struct Layer {
    pub(super) created_by: &'static str,
    pub(super) script: &'static str,
}

/// The layers, lowest first.
pub(super) const LAYERS: [Layer; 3] = [
    Layer {
        created_by: "mmdebstrap --variant=minbase",
        script: BASE,
    },
    Layer {
        created_by: "python3-minimal installed, documentation deleted",
        script: PYTHON,
    },
    Layer {
        created_by: "deletions, replacements, changes",
        script: UPPER,
    },
];

/// The distribution's own files, without what mmdebstrap copies from this machine.
const BASE: &str = r#"
tar --extract --file "$BASE" --numeric-owner --same-permissions --xattrs --xattrs-include='*'
echo localhost >etc/hostname
rm --force etc/resolv.conf
"#;

/// The same with Python. Files that did not change get their old times from the archive, so umoci
/// leaves them out; each documentation file is one explicit whiteout, and so is each section of the
/// manual. The copyright files stay, as in the images people use.
const PYTHON: &str = r#"
find . -mindepth 1 -maxdepth 1 -exec rm --recursive --force -- {} +
tar --extract --file "$PYTHON" --numeric-owner --same-permissions --xattrs --xattrs-include='*'
echo localhost >etc/hostname
rm --force etc/resolv.conf
find usr/share/doc ! -type d ! -name copyright -delete
find usr/share/man usr/share/info -mindepth 1 -maxdepth 1 -exec rm --recursive -- {} +
"#;

/// What images are built of besides packages.
///
/// Only empty directories are replaced by another kind. Of a directory with children, umoci 0.4.7
/// writes the new link or file and then whiteouts of the old children *below* it, a layer changeset
/// that no two tools read alike: a question for the corpus, not for an image that must just work.
const UPPER: &str = r#"
# Gone: a tree, a link, a file.
rm --recursive usr/share/zoneinfo usr/share/bash-completion
rm etc/os-release etc/issue.net

# Replaced by the same kind: the old children must not shine through.
rm --recursive etc/skel
mkdir etc/skel
echo 'export EDITOR=ed' >etc/skel/.profile

# Replaced by another kind: a directory by a link, a directory by a file, a file by a directory,
# a link by a file.
rmdir usr/share/man usr/share/info
ln --symbolic ../local/share/man usr/share/man
echo 'none installed' >usr/share/info
rm etc/motd
mkdir etc/motd
echo 'a message' >etc/motd/10-message
rm usr/bin/awk
printf '#!/bin/sh\nexec mawk "$@"\n' >usr/bin/awk
chmod 0755 usr/bin/awk

# Changed: content, mode, owner.
echo 'made by ci real-image' >>etc/issue
chmod 0640 etc/debian_version
mkdir --parents srv/app
printf 'print("hello from the upper layer")\n' >srv/app/main.py
chown --recursive 1000:1000 srv/app

# A second name for a file of a lower layer, and a file written through the merged /bin.
ln usr/bin/sha256sum usr/bin/sum256
printf '#!/bin/sh\nexec python3 /srv/app/main.py\n' >bin/app
chmod 0755 bin/app
"#;
