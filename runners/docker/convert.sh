#!/bin/sh
# convert.sh STORE LAYOUT TAG OUT: starts a dockerd of its own and has image.sh give it the image.
# convert.sh STORE LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches, by batch.py.
# STORE is a storage driver, or `containerd`.
set -eu
store=$1 layout=$2 tag=$3 out=$4 seconds=${5-}
here=${0%/*}
export DOCKER_HOST="unix://$TMPDIR/d.sock" DOCKER_CONFIG="$TMPDIR/config"
daemon=

clean_up() {
    status=$?
    trap - EXIT
    # A daemon that is asked to stop waits for a second; what it would put in order goes away just below.
    for process in $daemon $(cat "$TMPDIR/exec/containerd/containerd.pid" 2>/dev/null); do
        while kill -KILL "$process" 2>/dev/null; do sleep 0.01; done
    done
    while read -r _ _ _ _ at _; do
        case $at in "$TMPDIR"/* | /sys/fs/cgroup) echo "$at" ;; esac
    done < /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -n
    find "$TMPDIR" -mindepth 1 -delete
    exit "$status"
}
trap clean_up EXIT

case $store in
containerd) echo '{"features":{"containerd-snapshotter":true}}' ;;
*) echo "{\"storage-driver\":\"$store\"}" ;;
esac > "$TMPDIR/daemon.json"
# dockerd does not start where it sees no cgroups; it never gets to use them.
mount -n -t cgroup2 cgroup2 /sys/fs/cgroup
mount -n -o remount,bind,ro /sys/fs/cgroup
dockerd --config-file "$TMPDIR/daemon.json" --data-root "$TMPDIR/root" --exec-root "$TMPDIR/exec" \
    --pidfile "$TMPDIR/pid" --host "$DOCKER_HOST" --iptables=false --ip6tables=false --bridge=none \
    > "$TMPDIR/dockerd.log" 2>&1 &
daemon=$!
until [ -e "$TMPDIR/d.sock" ]; do
    kill -0 "$daemon" 2>/dev/null || { cat "$TMPDIR/dockerd.log"; exit 70; }
    sleep 0.01
done

case $seconds in
'') sh "$here/image.sh" "$store" "$layout" "$tag" "$out" ;;
*) python3 "$here/batch.py" "$store" "$layout" "$tag" "$out" "$seconds" ;;
esac
