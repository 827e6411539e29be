# podman create, which pulls, and export: export.sh LAYOUT:TAG OUT
set -eu
image=$1 out=$2
store=$TMPDIR/store
podman() {
    command podman --root "$store/root" --runroot "$store/run" --tmpdir "$store/tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend none "$@"
}
# The lock of all containers is there as long as the machine is up.
trap 'rm -rf "$store" /dev/shm/libpod_lock' EXIT
container=$(podman create -q "oci:$image" true)
podman export -o "$store/export.tar" "$container"
mkdir "$out"
tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$store/export.tar" -C "$out"
