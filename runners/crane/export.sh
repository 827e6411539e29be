# crane export from a registry that serves the layout: export.sh LAYOUT TAG OUT
set -eu
layout=$1 tag=$2 out=$3
work=$TMPDIR/crane
mkdir "$work"
python3 "$(dirname "$0")/registry.py" "$layout" "$work/port" &
registry=$!
trap 'kill $registry; wait $registry 2>/dev/null || true; rm -rf "$work"' EXIT
until [ -e "$work/port" ]; do
    kill -0 $registry
    sleep 0.02
done
crane export --insecure --platform linux/amd64 "127.0.0.1:$(cat "$work/port")/image:$tag" "$work/export.tar"
mkdir "$out"
tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$work/export.tar" -C "$out"
