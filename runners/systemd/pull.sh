# systemd-pull oci from a registry that serves the layout, then systemd-mstack: pull.sh LAYOUT TAG OUT
#
# systemd-pull speaks nothing but TLS and takes no file of certificates, so the system's are covered by a bind
# mount, and so is /etc/hosts for a name with a dot.
set -eu
layout=$1 tag=$2 out=$3
work=$TMPDIR/systemd
host=registry.example
mkdir -p "$work/machines" "$work/mounted"
clean() {
    status=$?
    [ -z "${registry:-}" ] || { kill "$registry" 2>/dev/null || true; wait "$registry" 2>/dev/null || true; }
    umount -n -R "$work/mounted" 2>/dev/null || true
    umount -n /etc/hosts 2>/dev/null || true
    umount -n /etc/ssl/certs/ca-certificates.crt 2>/dev/null || true
    # Layers are immutable.
    chattr -R -i "$work/machines" 2>/dev/null || true
    rm -rf "$work"
    exit $status
}
trap clean EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -keyout "$work/key" -out "$work/certificate" 2>/dev/null
# Both families, lest the other is asked of a name server.
printf "%s $host\n" 127.0.0.1 ::1 >"$work/hosts"
mount --bind "$work/hosts" /etc/hosts
mount --bind "$work/certificate" /etc/ssl/certs/ca-certificates.crt
python3 "$(dirname "$0")/registry.py" "$layout" "$work/ready" "$work/certificate" "$work/key" &
registry=$!
until [ -e "$work/ready" ]; do
    kill -0 "$registry"
    sleep 0.02
done

/usr/lib/systemd/systemd-pull --image-root="$work/machines" --class=machine --sync=no --btrfs-subvol=no \
    oci "$host:8443/image:$tag" image
systemd-mstack --mount --mkdir "$work/machines/image.mstack" "$work/mounted"
# Not -a, which says nothing where it loses an attribute. What cannot be read was not refused: the part that could be stays
# to be seen. What the disk below OUT has no room for, and what is too deep for cp, nobody is to blame for: that counts as refused.
said=$(cp -dR --preserve=mode,ownership,timestamps,links,xattr "$work/mounted" "$out" 2>&1) || {
    printf '%s\n' "$said" >&2
    printf '%s\n' "$said" | grep -qvE ': (No space left on device|File name too long)$' || rm -rf "$out"
    exit 1
}
