#!/bin/sh
# image.sh SNAPSHOTTER LAYOUT TAG OUT NAME: with the containerd that listens at $CONTAINERD_ADDRESS, under that name.
set -eu
snapshotter=$1 layout=$2 tag=$3 out=$4 name=$5
mounted=$(mktemp -d)
# The image and its snapshots stay, and go with the daemon: to have ctr remove them takes two more starts of it. But each layer
# of the EROFS snapshotter has a loop device.
clean_up() {
    status=$?
    trap - EXIT
    if [ "$snapshotter" = erofs ]; then
        ctr image unmount --rm --snapshotter "$snapshotter" "$mounted" > /dev/null 2>&1 || :
        ctr image rm --sync "$name:$tag" > /dev/null 2>&1 || :
    else
        umount -n "$mounted" 2> /dev/null || :
    fi
    rmdir "$mounted"
    exit "$status"
}
trap clean_up EXIT

tar -C "$layout" -cf - . | ctr image import --snapshotter "$snapshotter" --base-name "$name" -
ctr image mount --snapshotter "$snapshotter" "$name:$tag" "$mounted"
# Not -a, which says nothing where it loses an attribute. What cannot be read was not refused: the part that could be stays
# to be seen. What the disk below OUT has no room for, and what is too deep for cp, nobody is to blame for: that counts as refused.
said=$(cp -dR --preserve=mode,ownership,timestamps,links,xattr "$mounted" "$out" 2>&1) || {
    printf '%s\n' "$said" >&2
    printf '%s\n' "$said" | grep -qvE ': (No space left on device|File name too long)$' || rm -rf "$out"
    exit 1
}
