# apptainer build --sandbox, then without what it adds to every image: build.sh LAYOUT OUT
#
# Links it adds are known by what they lead to, files and places for its mounts by being empty and made just
# now. What an image has of these names is older, and stays, as does an `etc` where the image has none.
set -eu
layout=$1 out=$2
stamp=$TMPDIR/stamp
trap 'rm -f "$stamp"' EXIT
touch "$stamp"
# No tag: what follows a colon it takes for a part of the path.
apptainer -s build --sandbox "$out" "oci:$layout"

unlink_to() {
    [ "$(readlink "$out/$1" || true)" != "$2" ] || rm "$out/$1"
}
for action in exec run shell test; do
    unlink_to ".$action" ".singularity.d/actions/$action"
done
unlink_to environment .singularity.d/env/90-environment.sh
unlink_to singularity .singularity.d/runscript
rm -r "$out/.singularity.d"
for place in etc/hosts etc/resolv.conf dev home proc root sys tmp var/tmp var; do
    # No link on the way: these may lead anywhere.
    [ ! -L "$out/${place%%/*}" ] || continue
    [ ! -e "$out/$place" ] || find "$out/$place" -maxdepth 0 -empty -newer "$stamp" -delete
done
python3 "$(dirname "$0")/times.py" "$layout" "$out"
