# buildah from, mount, and a copy of what is mounted: mount.sh vfs|overlay LAYOUT:TAG OUT
set -eu
driver=$1 image=$2 out=$3
store=$TMPDIR/store
buildah() {
    command buildah --root "$store/root" --runroot "$store/run" --storage-driver "$driver" "$@"
}
clean() {
    # With overlay the container is mounted, and the driver's folder a mount point; vfs mounts nothing.
    if [ "$driver" = overlay ]; then umount -n "${mounted:-}" "$store/root/overlay" 2>/dev/null || true; fi
    rm -rf "$store"
}
trap clean EXIT
container=$(buildah from -q "oci:$image")
mounted=$(buildah mount "$container")
# What cannot be copied was not refused: the part that was stays to be seen.
cp -a "$mounted" "$out"
