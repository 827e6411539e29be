# export.sh vfs|overlay LAYOUT TAG OUT: gives the image to image.sh, with a storage in which nothing is.
# export.sh vfs|overlay LAYOUTS TAG OUT SECONDS: the same for many by podman's service, as runners/README.md says of batches.
set -eu
driver=$1 layout=$2 tag=$3 out=$4 seconds=${5-}
here=${0%/*} stores=$TMPDIR/stores
service=
clean() {
    status=$?
    trap - EXIT
    if [ -n "$service" ]; then
        kill "$service" && wait "$service" || :
    fi
    umount -n "$stores/shared/root/overlay" 2> /dev/null || :
    # The lock of all containers is there as long as the machine is up.
    rm -rf "$stores" /dev/shm/libpod_lock
    exit "$status"
}
trap clean EXIT
mkdir "$stores"

if [ -z "$seconds" ]; then
    sh "$here/image.sh" "$driver" "$stores/own" "$layout:$tag" "$out"
    exit
fi
store=$stores/shared
podman --root "$store/root" --runroot "$store/run" --tmpdir "$store/tmp" --storage-driver "$driver" \
    --cgroup-manager cgroupfs --events-backend none system service --time 0 "unix://$stores/socket" > "$stores/log" 2>&1 &
service=$!
until [ -e "$stores/socket" ]; do
    kill -0 "$service" 2> /dev/null || { cat "$stores/log" >&2; exit 70; }
    sleep 0.01
done
python3 "$here/batch.py" "$driver" "$stores" "$layout" "$tag" "$out" "$seconds"
