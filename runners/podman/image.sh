# podman create, which pulls, and export: image.sh vfs|overlay STORE LAYOUT:TAG OUT
set -eu
driver=$1 store=$2 image=$3 out=$4
podman() {
    command podman --root "$store/root" --runroot "$store/run" --tmpdir "$store/tmp" --storage-driver "$driver" \
        --cgroup-manager cgroupfs --events-backend none "$@"
}
archive=$store.tar
# The driver's folder is a mount point with overlay.
trap 'rm -f "$archive"; umount -n "$store/root/overlay" 2> /dev/null || :' EXIT
container=$(podman create -q "oci:$image" true)
podman export -o "$archive" "$container"
mkdir "$out"
tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$archive" -C "$out"
