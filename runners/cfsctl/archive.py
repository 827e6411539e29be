"""What a composefs dump lists, as a tar archive: archive.py DUMP OBJECTS ARCHIVE. The form is composefs-dump(5)."""

import io
import re
import sys
import tarfile

KINDS = {
    0o100000: tarfile.REGTYPE,
    0o040000: tarfile.DIRTYPE,
    0o120000: tarfile.SYMTYPE,
    0o020000: tarfile.CHRTYPE,
    0o060000: tarfile.BLKTYPE,
    0o010000: tarfile.FIFOTYPE,
}


def unescape(text):
    """The bytes of a field; `-` alone is none."""
    if text == b"-":
        return b""
    short = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}
    return re.sub(
        rb"\\(x([0-9a-f]{2})|.)",
        lambda found: bytes([int(found[2], 16)]) if found[2] else short[found[1]],
        text,
    )


def name(field):
    return unescape(field).decode("utf-8", "surrogateescape")


def add(archive, line, objects):
    path, size, mode, _links, uid, gid, device, mtime, payload, content, _digest, *xattrs = line.split(b" ")
    entry = tarfile.TarInfo("./" + name(path).lstrip("/"))
    if mode.startswith(b"@"):
        entry.type = tarfile.LNKTYPE
        entry.linkname = "./" + name(payload).lstrip("/")
        archive.addfile(entry)
        return
    bits = int(mode, 8)
    entry.type, entry.mode = KINDS[bits & 0o170000], bits & 0o7777
    entry.uid, entry.gid = int(uid), int(gid)
    seconds, _, nanoseconds = mtime.partition(b".")
    entry.mtime = int(seconds)
    if int(nanoseconds or b"0"):
        entry.pax_headers["mtime"] = f"{int(seconds)}.{int(nanoseconds):09d}"
    # As the kernel packs a number of a device.
    rdev = int(device)
    entry.devmajor, entry.devminor = (rdev >> 8) & 0xFFF, (rdev & 0xFF) | (rdev >> 12) & 0xFFF00
    for xattr in xattrs:
        key, _, value = xattr.partition(b"=")
        entry.pax_headers["SCHILY.xattr." + name(key)] = name(value)
    if entry.type == tarfile.SYMTYPE:
        entry.linkname = name(payload)
    if entry.type != tarfile.REGTYPE:
        archive.addfile(entry)
        return
    entry.size = int(size)
    if payload == b"-":
        archive.addfile(entry, io.BytesIO(unescape(content)))
        return
    with open(f"{objects}/{name(payload)}", "rb") as file:
        archive.addfile(entry, file)


def main(dump, objects, out):
    with open(dump, "rb") as lines, tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as archive:
        # A hard link stands where its path sorts, which may be before the file.
        entries = lines.read().splitlines()
        links = [line for line in entries if line.split(b" ")[2].startswith(b"@")]
        for line in [line for line in entries if line not in set(links)] + links:
            add(archive, line, objects)


main(*sys.argv[1:])
