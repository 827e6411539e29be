# umoci unpack IMAGE into a bundle: unpack.sh IMAGE OUT [--rootless]
#
# The bundle is made at OUT, where a failure leaves what it leaves; of a whole one OUT becomes the rootfs.
set -eu
image=$1 out=$2
shift 2
umoci unpack "$@" --image "$image" "$out"
mv "$out" "$out.bundle"
mv "$out.bundle/rootfs" "$out"
# By their names: what an image puts beside its rootfs stays, and is seen.
rm "$out.bundle/config.json" "$out.bundle/umoci.json" "$out.bundle"/sha256_*.mtree
rmdir "$out.bundle"
