#!/bin/sh
# image.sh STORE LAYOUT TAG OUT: pulls the image into the dockerd at $DOCKER_HOST, creates a container and exports it.
set -eu
store=$1 layout=$2 tag=$3 out=$4
here=${0%/*}
own_files=$(mktemp -d)
registry=

clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$registry" ]; then kill "$registry" 2>/dev/null || :; fi
    rm -rf "$own_files"
    exit "$status"
}
trap clean_up EXIT

# dockerd loads no image layouts: it pulls, from what stands here for a registry that the layout was pushed to.
python3 "$here/registry.py" "$layout" "$tag" "$own_files/port" &
registry=$!
until [ -e "$own_files/port" ]; do
    kill -0 "$registry" 2>/dev/null || exit 70
    sleep 0.01
done
image="127.0.0.1:$(cat "$own_files/port")/image:$tag"
docker pull -q "$image"
# These docker makes where the image has none, and fills where it has: what the image itself says of their times. The
# store has a directory for each layer, the last one made is the highest, and those of vfs hold all that is below, too.
layers=$(ls -dtc "$TMPDIR"/root/overlay2/*/diff "$TMPDIR"/root/containerd/daemon/*.overlayfs/snapshots/*/fs 2>/dev/null) || :
if [ "$store" = vfs ]; then layers=$(ls -dtc "$TMPDIR"/root/vfs/dir/* | head -n 1); fi
own=
for name in dev etc; do
    for layer in $layers; do
        if [ -d "$layer/$name" ] && [ ! -L "$layer/$name" ]; then own="$own $name=$(stat -c %Y "$layer/$name")"; fi
        # A file, a link or a whiteout hides what lies below it as a directory does.
        if [ -e "$layer/$name" ] || [ -L "$layer/$name" ]; then break; fi
    done
done
touch "$own_files/stamp"
docker create --pull never --name cc "$image" true
docker export -o "$own_files/export.tar" cc
python3 "$here/strip.py" "$own_files/stamp" "$own_files/export.tar" "$out" $own
