# tar.sh PROGRAM LAYOUT OUT
# The archive has no entry for the root directory: the one put before it stands for the directory that a user
# unpacks it in.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
"$1" tar "$2" "$root/image.tar"
mkdir "$root/empty"
tar --format=ustar --mode=755 --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$root/empty" -cf "$root/entry" .
head -c 512 "$root/entry" | cat - "$root/image.tar" > "$3"
