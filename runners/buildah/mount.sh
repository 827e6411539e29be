# buildah from, mount, and a copy of what is mounted: mount.sh vfs|overlay LAYOUT:TAG OUT
set -eu
driver=$1 image=$2 out=$3
store=$TMPDIR/store
buildah() {
    command buildah --root "$store/root" --runroot "$store/run" --storage-driver "$driver" "$@"
}
clean() {
    [ -z "${container:-}" ] || buildah umount "$container" >/dev/null
    umount -n "$store/root/$driver" 2>/dev/null || true # overlay makes its folder a mount point
    rm -rf "$store"
}
trap clean EXIT
container=$(buildah from -q "oci:$image")
mounted=$(buildah mount "$container")
cp -a "$mounted" "$out"
