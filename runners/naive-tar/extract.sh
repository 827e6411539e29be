# One tar per layer, bottom first: extract.sh tar|bsdtar|busybox LAYOUT:TAG OUT [whiteouts]
set -eu
with=$1 image=$2 out=$3 then=${4:-}
blobs=$TMPDIR/blobs
trap 'rm -rf "$blobs"' EXIT

# What a layer's `.wh.NAME` files name, and these files themselves. Opaque whiteouts are not known.
delete_marked() {
    find "$out" -name '.wh.*' | while read -r marker; do
        name=${marker##*/}
        rm -rf "${marker%/*}/${name#.wh.}"
        rm -rf "$marker"
    done
}

skopeo --insecure-policy copy -q "oci:$image" "dir:$blobs"
jq -r '.layers[].digest' "$blobs/manifest.json" | cut -d : -f 2 >"$blobs/layers"
mkdir "$out"
while read -r layer; do
    case $with in
    tar) tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$blobs/$layer" -C "$out" ;;
    bsdtar) bsdtar --numeric-owner -xpf "$blobs/$layer" -C "$out" ;;
    busybox)
        # Debian's is built without the option that sees what a file is compressed with.
        z=
        [ "$(od -A n -t x1 -N 2 "$blobs/$layer")" != ' 1f 8b' ] || z=z
        busybox tar "-x${z}f" "$blobs/$layer" -C "$out"
        ;;
    esac
    [ -z "$then" ] || delete_marked
done <"$blobs/layers"
