# systemd-pull oci from a registry that serves the layout, then systemd-mstack: pull.sh LAYOUT TAG OUT
# pull.sh LAYOUTS TAG OUT SECONDS: the same for many images, as runners/README.md says of batches.
#
# systemd-pull speaks nothing but TLS and takes no file of certificates, so the system's are covered by a bind
# mount, and so is /etc/hosts for a name with a dot.
set -eu
layout=$1 tag=$2 out=$3 seconds=${4-}
work=$TMPDIR/systemd
host=registry.example
mkdir -p "$work/layouts"
clean() {
    status=$?
    trap - EXIT
    [ -z "${registry:-}" ] || { kill "$registry" 2>/dev/null || true; wait "$registry" 2>/dev/null || true; }
    umount -n /etc/hosts 2>/dev/null || true
    umount -n /etc/ssl/certs/ca-certificates.crt 2>/dev/null || true
    empty "$work/own"
    empty "$work/shared"
    rm -rf "$work"
    exit $status
}
# Removes a place for images; layers are immutable.
empty() {
    [ -d "$1" ] || return 0
    umount -n -R "$1/mounted" 2>/dev/null || true
    chattr -R -i "$1" 2>/dev/null || true
    rm -rf "$1"
}
trap clean EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -keyout "$work/key" -out "$work/certificate" 2>/dev/null
# Both families, lest the other is asked of a name server.
printf "%s $host\n" 127.0.0.1 ::1 >"$work/hosts"
mount --bind "$work/hosts" /etc/hosts
mount --bind "$work/certificate" /etc/ssl/certs/ca-certificates.crt
layouts=$layout
if [ -z "$seconds" ]; then
    layouts=$work/layouts
    ln -s "$layout" "$layouts/0"
fi
python3 "$(dirname "$0")/registry.py" "$layouts" "$work/ready" "$work/certificate" "$work/key" &
registry=$!
until [ -e "$work/ready" ]; do
    kill -0 "$registry"
    sleep 0.02
done

# one PLACE NAME OUT: a script of its own, as `timeout` knows no functions.
cat > "$work/one" <<END
set -eu
place=\$1 name=\$2 out=\$3
mkdir -p "\$place/machines" "\$place/mounted"
trap 'status=\$?; umount -n -R "\$place/mounted" 2>/dev/null; exit \$status' EXIT
/usr/lib/systemd/systemd-pull --image-root="\$place/machines" --class=machine --sync=no --btrfs-subvol=no \\
    oci "$host:8443/image-\$name:$tag" "image-\$name"
systemd-mstack --mount --mkdir "\$place/machines/image-\$name.mstack" "\$place/mounted"
# Not -a, which says nothing where it loses an attribute. What cannot be read was not refused: the part that could be stays
# to be seen. What the disk below OUT has no room for, and what is too deep for cp, nobody is to blame for: that counts as refused.
said=\$(cp -dR --preserve=mode,ownership,timestamps,links,xattr "\$place/mounted" "\$out" 2>&1) || {
    printf '%s\n' "\$said" >&2
    printf '%s\n' "\$said" | grep -qvE ': (No space left on device|File name too long)\$' || rm -rf "\$out"
    exit 1
}
END
if [ -z "$seconds" ]; then
    sh "$work/one" "$work/own" 0 "$out"
    exit
fi

# Many have one place, in which layers are found that an image before had. What is refused there is asked alone.
for each in "$layout"/*; do
    name=${each##*/}
    mkdir -p "$out/$name"
    status=0
    timeout "$seconds" sh "$work/one" "$work/shared" "$name" "$out/$name/rootfs" >"$out/$name/log" 2>&1 || status=$?
    if [ "$status" != 0 ] && [ ! -e "$out/$name/rootfs" ]; then
        status=0
        timeout "$seconds" sh "$work/one" "$work/own" "$name" "$out/$name/rootfs" >"$out/$name/log" 2>&1 || status=$?
        empty "$work/own"
    fi
    echo "$status" >"$out/$name/status"
done
