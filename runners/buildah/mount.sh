# buildah from, mount, and a copy of what is mounted: mount.sh vfs|overlay LAYOUT TAG OUT
# mount.sh vfs|overlay LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches.
set -eu
driver=$1 layout=$2 tag=$3 out=$4 seconds=${5-}
here=${0%/*}
stores=$TMPDIR/stores
clean() {
    status=$?
    trap - EXIT
    empty "$stores/own"
    empty "$stores/shared"
    rm -rf "$stores"
    exit "$status"
}
# Removes a storage: with overlay containers are mounted, and the driver's folder is a mount point; vfs mounts nothing.
empty() {
    if [ "$driver" = overlay ]; then
        umount -n "$1"/root/overlay/*/merged 2> /dev/null || :
        umount -n "$1/root/overlay" 2> /dev/null || :
    fi
    rm -rf "$1"
}
trap clean EXIT
mkdir "$stores"

# in STORE COMMAND ...: so that it can be run by `timeout`, too.
cat > "$stores/in" <<END
store=\$1
shift
exec buildah --root "\$store/root" --runroot "\$store/run" --storage-driver $driver "\$@"
END
in="sh $stores/in"

# As users run it, with a storage in which nothing is.
alone() {
    container=$($limit $in "$stores/own" from -q "oci:$1:$tag") || return
    mounted=$($limit $in "$stores/own" mount "$container") || return
    $limit sh "$here/copy.sh" "$mounted" "$2"
}
limit=
if [ -z "$seconds" ]; then
    alone "$layout" "$out"
    exit
fi
limit="timeout $seconds"

# Many have one storage, in which layers are found that an image before had. What is refused there is asked alone.
for each in "$layout"/*; do
    name=${each##*/}
    mkdir -p "$out/$name"
    if $limit $in "$stores/shared" from -q --name "image-$name" "oci:$each:$tag" > "$out/$name/log" 2>&1; then
        echo "image-$name" >> "$stores/made"
        continue
    fi
    status=0
    alone "$each" "$out/$name/rootfs" > "$out/$name/log" 2>&1 < /dev/null || status=$?
    echo "$status" > "$out/$name/status"
    empty "$stores/own"
done
[ -e "$stores/made" ] || exit 0
# By one start; of several it says which is mounted where.
if [ "$(wc -l < "$stores/made")" = 1 ]; then cat "$stores/made" >> "$stores/made.again"; fi
$in "$stores/shared" mount $(cat "$stores"/made*) > "$stores/mounted"
while read -r container mounted; do
    name=${container#image-}
    if [ ! -e "$out/$name/status" ]; then
        status=0
        $limit sh "$here/copy.sh" "$mounted" "$out/$name/rootfs" >> "$out/$name/log" 2>&1 < /dev/null || status=$?
        echo "$status" > "$out/$name/status"
    fi
done < "$stores/mounted"
