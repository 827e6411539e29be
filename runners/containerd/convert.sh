#!/bin/sh
# convert.sh SNAPSHOTTER LAYOUT TAG OUT: starts a containerd of its own and has image.sh give it the image.
# convert.sh SNAPSHOTTER LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches.
set -eu
snapshotter=$1 layout=$2 tag=$3 out=$4 seconds=${5-}
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
    # The image, and layers of the EROFS snapshotter, which stay mounted for the next container.
    while read -r _ _ _ _ at _; do
        case $at in "$TMPDIR"/*) echo "$at" ;; esac
    done < /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -n
    find "$TMPDIR" -mindepth 1 -delete
    exit "$status"
}
trap clean_up EXIT

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
END
case $snapshotter in
native) # It unpacks for the snapshotters that are named here, else for overlayfs alone.
    cat >> "$TMPDIR/config.toml" <<END
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "native"
END
    ;;
erofs) # As containerd's docs/snapshotters/erofs.md has it.
    cat >> "$TMPDIR/config.toml" <<END
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "erofs"
differ = "erofs"
[plugins."io.containerd.service.v1.diff-service"]
default = ["erofs", "walking"]
END
    ;;
esac
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

case $seconds in
'') sh "${0%/*}/image.sh" "$snapshotter" "$layout" "$tag" "$out" image ;;
*)
    for each in "$layout"/*; do
        name=${each##*/}
        mkdir -p "$out/$name"
        status=0
        timeout "$seconds" sh "${0%/*}/image.sh" "$snapshotter" "$each" "$tag" "$out/$name/rootfs" "image-$name" \
            > "$out/$name/log" 2>&1 || status=$?
        echo "$status" > "$out/$name/status"
    done
    ;;
esac
