# composefs: dump.sh RUNNER CFSCTL LAYOUT:TAG ARCHIVE
set -eu
runner=$1 cfsctl=$2 image=$3 out=$4
repo=$TMPDIR/repo dump=$TMPDIR/dump
trap 'rm -rf "$repo" "$dump"' EXIT
"$cfsctl" --repo "$repo" init --insecure
"$cfsctl" --repo "$repo" oci pull "oci:$image" image
"$cfsctl" --repo "$repo" oci dump image >"$dump"
python3 "$runner/archive.py" "$dump" "$repo/objects" "$out"
