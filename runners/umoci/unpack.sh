# umoci unpack IMAGE into a bundle: unpack.sh IMAGE OUT [--rootless]
#
# The bundle is made at OUT; of a whole one OUT becomes the rootfs. What a failure leaves in it stays; the empty
# folder that remains of most looks like no output, and goes.
set -eu
image=$1 out=$2
shift 2
umoci unpack "$@" --image "$image" "$out" || {
    status=$?
    rmdir "$out" 2>/dev/null || true
    exit $status
}
mv "$out" "$out.bundle"
mv "$out.bundle/rootfs" "$out"
# By their names: what an image puts beside its rootfs stays, and is seen.
rm "$out.bundle/config.json" "$out.bundle/umoci.json" "$out.bundle"/sha256_*.mtree
rmdir "$out.bundle"
