# copy.sh MOUNTED OUT
# Not -a, which says nothing where it loses an attribute. What cannot be read was not refused: the part that could be stays
# to be seen. What the disk below OUT has no room for nobody is to blame for: that counts as refused.
mounted=$1 out=$2
said=$(cp -dR --preserve=mode,ownership,timestamps,links,xattr "$mounted" "$out" 2>&1) || {
    printf '%s\n' "$said" >&2
    printf '%s\n' "$said" | grep -qv ': No space left on device$' || rm -rf "$out"
    exit 1
}
