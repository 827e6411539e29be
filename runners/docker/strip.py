"""Takes out of an exported archive what docker puts into every container: strip.py STAMP EXPORT OUT NAME=TIME…

What a container gets is younger than STAMP, and what an image says is not, so nothing of an image's own is taken; but
a file of the image's under one of these names docker has replaced, and that stays to be seen. A NAME is a directory of
the image's own that docker put something into: it stays and has the TIME it had. All else is copied byte for byte. An
archive of docker's has no entry for the root directory, which the harness wants: one is put before.
"""

import os
import sys
import tarfile

# moby's daemon/initlayer, each after what lies in it.
ADDED = [
    ".dockerenv", "dev/console", "dev/pts", "dev/shm", "dev",
    "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "etc", "proc", "sys",
]  # fmt: skip


def with_time(block, time):
    """A header with another modification time."""
    block = bytearray(block)
    block[136:148] = b"%011o\0" % time
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def strip(start, export, out, times):
    """Copies an archive without what is younger than `start` and docker's."""
    with tarfile.open(export, "r:") as archive:
        members = archive.getmembers()
        end = archive.offset
    kept = {member.name.rstrip("/"): member for member in members}
    for name in ADDED:
        member = kept.get(name)
        is_parent = any(other.startswith(name + "/") for other in kept)
        if member and member.mtime >= start and member.size == 0 and not is_parent and name not in times:
            del kept[name]

    behind = [member.offset for member in members[1:]] + [end]
    root = tarfile.TarInfo("./")
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    with open(export, "rb") as read, open(out, "wb") as write:
        write.write(root.tobuf())
        for member, until in zip(members, behind):
            name = member.name.rstrip("/")
            if name not in kept:
                continue
            read.seek(member.offset)
            head = read.read(member.offset_data - member.offset)
            if member.mtime >= start and times.get(name, -1) >= 0:
                head = head[:-512] + with_time(head[-512:], times[name])
            write.write(head + read.read(until - member.offset_data))
        write.write(bytes(1024))


if __name__ == "__main__":
    stamp, export, out, *own = sys.argv[1:]
    times = {name: int(time) for name, time in (word.split("=") for word in own)}
    strip(int(os.stat(stamp).st_mtime), export, out, times)
