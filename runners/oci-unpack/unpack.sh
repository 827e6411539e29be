# unpack.sh PROGRAM LAYOUT TAG OUT
# The library makes its tree as rootfs/ of a target, beside the image's configuration. What it left of a tree
# when it failed stays to be seen.
status=0
"$1" "$2" "$3" "$4.target" || status=$?
if [ -e "$4.target/rootfs" ]; then
  mv "$4.target/rootfs" "$4"
fi
rm -rf "$4.target"
exit "$status"
