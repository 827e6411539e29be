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
# Not -a, which says nothing where it loses an attribute. What cannot be read was not refused: the part that could be stays
# to be seen. What the disk below OUT has no room for nobody is to blame for: that counts as refused.
said=$(cp -dR --preserve=mode,ownership,timestamps,links,xattr "$mounted" "$out" 2>&1) || {
    printf '%s\n' "$said" >&2
    printf '%s\n' "$said" | grep -qv ': No space left on device$' || rm -rf "$out"
    exit 1
}
