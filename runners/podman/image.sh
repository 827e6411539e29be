# podman create, which pulls, and export: image.sh STORE LAYOUT:TAG OUT
set -eu
store=$1 image=$2 out=$3
podman() {
    command podman --root "$store/root" --runroot "$store/run" --tmpdir "$store/tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend none "$@"
}
archive=$store.tar
trap 'rm -f "$archive"' EXIT
container=$(podman create -q "oci:$image" true)
podman export -o "$archive" "$container"
mkdir "$out"
tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$archive" -C "$out"
