# podman create, which pulls, and export: export.sh LAYOUT TAG OUT
# export.sh LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches.
set -eu
layout=$1 tag=$2 out=$3 seconds=${4-}
stores=$TMPDIR/stores
# The lock of all containers is there as long as the machine is up.
trap 'rm -rf "$stores" /dev/shm/libpod_lock' EXIT
mkdir "$stores"

# one STORE IMAGE OUT: a script of its own, as `timeout` knows no functions.
cat > "$stores/one" <<'END'
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
END
if [ -z "$seconds" ]; then
    sh "$stores/one" "$stores/own" "$layout:$tag" "$out"
    exit
fi

# Many have one storage, in which layers are found that an image before had. What is refused there, or has the identifier of
# an image before, whose manifest would be read in the place of its own, is asked with a storage in which nothing is.
images=$stores/shared/root/vfs-images
for each in "$layout"/*; do
    name=${each##*/}
    mkdir -p "$out/$name"
    before=$(ls "$images" 2> /dev/null | wc -l)
    status=0
    timeout "$seconds" sh "$stores/one" "$stores/shared" "$each:$tag" "$out/$name/rootfs" > "$out/$name/log" 2>&1 || status=$?
    if [ "$status" != 0 ] || [ "$(ls "$images" | wc -l)" = "$before" ]; then
        rm -rf "$out/$name/rootfs"
        status=0
        timeout "$seconds" sh "$stores/one" "$stores/own" "$each:$tag" "$out/$name/rootfs" > "$out/$name/log" 2>&1 || status=$?
        rm -rf "$stores/own"
    fi
    echo "$status" > "$out/$name/status"
done
