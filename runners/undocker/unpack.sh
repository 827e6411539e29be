# unpack.sh BUILT LAYOUT:TAG OUT
save=$TMPDIR/image.tar
trap 'rm -f "$save"' EXIT
skopeo --insecure-policy --tmpdir "$TMPDIR" copy -q "oci:$2" "docker-archive:$save:image:latest"
PYTHONPATH=$1 PYTHONDONTWRITEBYTECODE=1 python3 -m undocker -o "$3" < "$save"
