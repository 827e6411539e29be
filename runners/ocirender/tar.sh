# tar.sh PROGRAM LAYOUT OUT
# The archive has no entry for the root directory: the one put before it stands for the directory that a user
# unpacks it in.
"$1" tar "$2" "$3"
cd "$TMPDIR"
trap 'rm -rf root entry whole' EXIT
mkdir root
tar --format=ustar --mode=755 --owner=0 --group=0 --numeric-owner --mtime=@0 -C root -cf entry .
head -c 512 entry | cat - "$3" > whole
mv whole "$3"
