# crane export from a registry that serves the layout: export.sh LAYOUT TAG OUT
# export.sh LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches.
set -eu
layout=$1 tag=$2 out=$3 seconds=${4-}
work=$TMPDIR/crane
mkdir "$work"
layouts=$layout
if [ -z "$seconds" ]; then
    layouts=$work/layouts
    mkdir "$layouts"
    ln -s "$layout" "$layouts/0"
fi
python3 "$(dirname "$0")/registry.py" "$layouts" "$work/port" &
registry=$!
trap 'kill $registry; wait $registry 2>/dev/null || true; rm -rf "$work"' EXIT
until [ -e "$work/port" ]; do
    kill -0 $registry
    sleep 0.02
done
host=127.0.0.1:$(cat "$work/port")

# Under `timeout` a function is of no use, so this is a script of its own.
cat > "$work/one" <<'END'
set -eu
image=$1 archive=$2 out=$3
trap 'rm -f "$archive"' EXIT
crane export --insecure --platform linux/amd64 "$image" "$archive"
mkdir "$out"
tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$archive" -C "$out"
END
case $seconds in
'') sh "$work/one" "$host/image-0:$tag" "$work/export.tar" "$out" ;;
*)
    for each in "$layout"/*; do
        name=${each##*/}
        mkdir -p "$out/$name"
        status=0
        timeout "$seconds" sh "$work/one" "$host/image-$name:$tag" "$work/export.tar" "$out/$name/rootfs" \
            > "$out/$name/log" 2>&1 || status=$?
        echo "$status" > "$out/$name/status"
    done
    ;;
esac
