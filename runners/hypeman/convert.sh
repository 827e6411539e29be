#!/bin/sh
# convert.sh ext4|erofs LAYOUT TAG OUT: what hypeman does on its host, with the programs its library calls stand for.
set -eu
format=$1 layout=$2 tag=$3 out=$4
# hypeman's service has no such variable, and both mkfs would cut times to it.
unset SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rootfs=$work/rootfs

umoci raw unpack --rootless --image "$layout:$tag" "$rootfs"

# Disks are whole sectors of 4 KiB, since macOS asks for that.
align() { echo $((($1 + 4095) / 4096 * 4096)); }

case $format in
ext4)
    # Bytes of everything but directories, half as much again, 10 MiB at least; inodes are not counted.
    bytes=$(find "$rootfs" ! -type d -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f\n", sum }')
    size=$((bytes + bytes / 2))
    [ "$size" -ge 10485760 ] || size=10485760
    truncate -s "$(align "$size")" "$out"
    mkfs.ext4 -b 4096 -O ^has_journal -d "$rootfs" -F "$out"
    ;;
erofs)
    mkfs.erofs -zlz4 "$out" "$rootfs"
    truncate -s "$(align "$(stat -c %s "$out")")" "$out"
    ;;
esac
