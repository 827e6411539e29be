#!/bin/sh
# convert.sh LAYOUT TAG OUT: starts a containerd of its own with the EROFS snapshotter and has image.sh give it the image.
# convert.sh LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches.
set -eu
layout=$1 tag=$2 out=$3 seconds=${4-}
export CONTAINERD_ADDRESS="$TMPDIR/state/c.sock"
# With it mkfs.erofs gives every file that time, and a daemon is not started with it.
unset SOURCE_DATE_EPOCH
daemon=

start() {
    PATH="$TMPDIR/bin:$PATH" containerd -c "$TMPDIR/config.toml" > "$TMPDIR/containerd.log" 2>&1 &
    daemon=$!
    until [ -S "$CONTAINERD_ADDRESS" ]; do
        kill -0 "$daemon" || { cat "$TMPDIR/containerd.log" >&2; exit 70; }
        sleep 0.01
    done
}

stop() {
    if [ -n "$daemon" ]; then
        kill "$daemon" && wait "$daemon" || :
    fi
    while read -r _ _ _ _ at _; do
        case $at in "$TMPDIR"/*) echo "$at" ;; esac
    done < /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -n
    rm -rf "$TMPDIR/root" "$TMPDIR/state"
}

clean_up() {
    status=$?
    trap - EXIT
    stop
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
start

snapshots=$TMPDIR/root/io.containerd.snapshotter.v1.erofs/snapshots
case $seconds in
'') sh "${0%/*}/image.sh" "$snapshots" "$layout" "$tag" "$out" ;;
*)
    for each in "$layout"/*; do
        name=${each##*/}
        mkdir -p "$out/$name"
        status=0
        timeout "$seconds" sh "${0%/*}/image.sh" "$snapshots" "$each" "$tag" "$out/$name/rootfs" \
            > "$out/$name/log" 2>&1 || status=$?
        echo "$status" > "$out/$name/status"
        ctr image rm --sync "image:$tag" > /dev/null 2>&1 || :
        # What is left of this image, as of one that was refused, would be taken for layers of the next.
        if [ -n "$(ls "$snapshots" 2> /dev/null)" ]; then
            stop
            start
        fi
    done
    ;;
esac
