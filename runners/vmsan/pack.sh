#!/bin/sh
# pack.sh EXPORT OUT: what vmsan does with the archive that `docker export` made.
set -eu
export=$1 out=$2
trap 'rm -rf "$TMPDIR/extracted"' EXIT
bytes=$(stat -c %s "$export")
mebibytes=$(((bytes + 1048575) / 1048576 + 512))
if [ "$mebibytes" -lt 1024 ]; then mebibytes=1024; fi
mkdir "$TMPDIR/extracted"
tar -xf "$export" -C "$TMPDIR/extracted"
mkfs.ext4 -q -d "$TMPDIR/extracted" "$out" "${mebibytes}M"
tune2fs -m 0 "$out"
