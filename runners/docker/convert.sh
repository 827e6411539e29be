#!/bin/sh
# convert.sh STORE LAYOUT TAG OUT: pulls the image into a dockerd of its own, creates a container and exports it.
# STORE is a storage driver, or `containerd`.
set -eu
store=$1 layout=$2 tag=$3 out=$4
here=${0%/*}
export DOCKER_HOST="unix://$TMPDIR/d.sock" DOCKER_CONFIG="$TMPDIR/config"
daemon= registry=

clean_up() {
    status=$?
    trap - EXIT
    # A daemon that is asked to stop waits for a second; what it would put in order goes away just below.
    for process in $daemon $registry $(cat "$TMPDIR/exec/containerd/containerd.pid" 2>/dev/null); do
        while kill -KILL "$process" 2>/dev/null; do sleep 0.01; done
    done
    while read -r _ _ _ _ at _; do
        case $at in "$TMPDIR"/* | /sys/fs/cgroup) echo "$at" ;; esac
    done < /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -n
    find "$TMPDIR" -mindepth 1 -delete
    exit "$status"
}
trap clean_up EXIT

# wait_for FILE PROCESS: until it is there.
wait_for() {
    until [ -e "$1" ]; do
        kill -0 "$2" 2>/dev/null || { cat "$TMPDIR/dockerd.log" 2>/dev/null; exit 70; }
        sleep 0.01
    done
}

touch "$TMPDIR/stamp"
case $store in
containerd) echo '{"features":{"containerd-snapshotter":true}}' ;;
*) echo "{\"storage-driver\":\"$store\"}" ;;
esac > "$TMPDIR/daemon.json"
# dockerd loads no image layouts: it pulls, from what stands here for a registry that the layout was pushed to.
python3 "$here/registry.py" "$layout" "$tag" "$TMPDIR/port" &
registry=$!
wait_for "$TMPDIR/port" "$registry"
# dockerd does not start where it sees no cgroups; it never gets to use them.
mount -n -t cgroup2 cgroup2 /sys/fs/cgroup
mount -n -o remount,bind,ro /sys/fs/cgroup
dockerd --config-file "$TMPDIR/daemon.json" --data-root "$TMPDIR/root" --exec-root "$TMPDIR/exec" \
    --pidfile "$TMPDIR/pid" --host "$DOCKER_HOST" --iptables=false --ip6tables=false --bridge=none \
    > "$TMPDIR/dockerd.log" 2>&1 &
daemon=$!
wait_for "$TMPDIR/d.sock" "$daemon"

image="127.0.0.1:$(cat "$TMPDIR/port")/image:$tag"
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
docker create --pull never --name cc "$image" true
docker export -o "$TMPDIR/export.tar" cc
python3 "$here/strip.py" "$TMPDIR/stamp" "$TMPDIR/export.tar" "$out" $own
