#!/bin/sh
# convert.sh LAYOUT TAG OUT: imports the layout into a containerd with the EROFS snapshotter and takes out the images of
# the layers, bottom first, as nerdbox hands them to its guest.
set -eu
layout=$1 tag=$2 out=$3
export CONTAINERD_ADDRESS="$TMPDIR/state/c.sock"
# With it mkfs.erofs gives every file that time, and a daemon is not started with it.
unset SOURCE_DATE_EPOCH
daemon=

clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$daemon" ]; then
        kill "$daemon" && wait "$daemon" || :
    fi
    while read -r _ _ _ _ at _; do
        case $at in "$TMPDIR"/*) echo "$at" ;; esac
    done < /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -n
    find "$TMPDIR" -mindepth 1 -delete
    exit "$status"
}
trap clean_up EXIT

# The configuration that nerdbox's examples have.
cat > "$TMPDIR/config.toml" <<END
version = 3
root = "$TMPDIR/root"
state = "$TMPDIR/state"
# What serves Kubernetes wants a network and cgroups, and has no part in unpacking.
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
address = "$CONTAINERD_ADDRESS"
[plugins."io.containerd.internal.v1.opt"]
path = "$TMPDIR/opt"
[plugins."io.containerd.differ.v1.erofs"]
mkfs_options = ["-b4096"]
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "erofs"
differ = "erofs"
[plugins."io.containerd.service.v1.diff-service"]
default = ["erofs", "walking"]
END
# To read a layer from a pipe mkfs.erofs first makes its file 2 TiB long, with holes, which the harness's limit
# kills it for. When the signal is ignored it takes a file beside it instead.
mkdir "$TMPDIR/bin"
cat > "$TMPDIR/bin/mkfs.erofs" <<'END'
#!/bin/sh
trap '' XFSZ
exec /usr/bin/mkfs.erofs "$@"
END
chmod +x "$TMPDIR/bin/mkfs.erofs"
PATH="$TMPDIR/bin:$PATH" containerd -c "$TMPDIR/config.toml" > "$TMPDIR/containerd.log" 2>&1 &
daemon=$!
until [ -S "$CONTAINERD_ADDRESS" ]; do
    kill -0 "$daemon" || { cat "$TMPDIR/containerd.log" >&2; exit 70; }
    sleep 0.01
done

tar -C "$layout" -cf - . | ctr image import --snapshotter erofs --base-name image -
# Under this name the image is there if the layout's reference says so.
ctr image ls -q | grep -qx "image:$tag"
mkdir "$out"
number=0
# One snapshot for each layer, numbered in their order.
for snapshot in $(ls "$TMPDIR/root/io.containerd.snapshotter.v1.erofs/snapshots" | sort -n); do
    cp "$TMPDIR/root/io.containerd.snapshotter.v1.erofs/snapshots/$snapshot/layer.erofs" \
        "$(printf '%s/%04d.erofs' "$out" "$number")"
    number=$((number + 1))
done
