#!/bin/sh
# image.sh SNAPSHOTS LAYOUT TAG OUT: imports the layout into the containerd that listens at $CONTAINERD_ADDRESS and takes the
# images of the layers, bottom first, out of its folder of snapshots, as nerdbox hands them to its guest.
set -eu
snapshots=$1 layout=$2 tag=$3 out=$4
tar -C "$layout" -cf - . | ctr image import --snapshotter erofs --base-name image -
# Under this name the image is there if the layout's reference says so, and an import can end well without having unpacked
# anything.
ctr image check --snapshotter erofs "name==image:$tag" | grep -q ' true *$'
mkdir "$out"
number=0
# One snapshot for each layer, numbered in their order.
for snapshot in $(ls "$snapshots" | sort -n); do
    cp "$snapshots/$snapshot/layer.erofs" "$(printf '%s/%04d.erofs' "$out" "$number")"
    number=$((number + 1))
done
