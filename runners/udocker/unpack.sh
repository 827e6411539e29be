# unpack.sh BUILT LAYOUT OUT
# Its store is in $TMPDIR. What it prints of an installation that failed is about engines to run containers with.
home=$TMPDIR/home
export HOME="$home" UDOCKER_DIR="$home/udocker" PYTHONPATH="$1" PYTHONDONTWRITEBYTECODE=1 PATH="$home/bin:$PATH"
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/bin"
# It does not start without curl, to fetch those engines with; there is no network.
ln -s /bin/false "$home/bin/curl"
tar -C "$2" -cf "$home/image.tar" .
udocker() { python3 -c 'import sys; from udocker.maincmd import main; sys.exit(main())' --allow-root "$@"; }
udocker load -i "$home/image.tar"
# The name that it gives the image is random.
image=$(udocker images | sed -n 's/^\([^ ]*:[^ ]\{1,\}\)  *\..*/\1/p' | head -n 1)
udocker create --name=c "$image"
cp -a "$UDOCKER_DIR/containers/c/ROOT" "$3"
