"""Every layer of an image by itself: unpacked by GNU tar, then its whiteouts made what overlayfs takes
for one.

usage: convert.py LAYOUT TAG OUT, or for many convert.py LAYOUTS TAG OUT SECONDS
"""

import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys

UNPACK = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dc"]}
TAR = ["tar", "--extract", "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*"]
PREFIX = ".wh."


def main(layout: pathlib.Path, tag: str, out: pathlib.Path) -> None:
    manifest = read_json(blob(layout, named(read_json(layout / "index.json"), tag)))
    out.mkdir()
    for number, layer in enumerate(manifest["layers"]):
        directory = out / f"{number:04}"
        directory.mkdir()
        packed = compression(layer["mediaType"])
        with open(blob(layout, layer), "rb") as source:
            unpack = subprocess.Popen(UNPACK.get(packed, ["cat"]), stdin=source, stdout=subprocess.PIPE)
            tar = subprocess.run([*TAR, "--directory", directory], stdin=unpack.stdout)
            unpack.stdout.close()
            # tar reads no further than to the archive's end, which what stands behind it is not told of otherwise.
            if tar.returncode != 0 or unpack.wait() not in (0, -signal.SIGPIPE):
                sys.exit(f"layer {number}: tar: exit {tar.returncode}")
        translate(directory)


def translate(layer: pathlib.Path) -> None:
    """Whiteouts by name become whiteouts by kind; directories keep their times."""
    for directory, _, names in os.walk(layer):
        marked = [name for name in names if name.startswith(PREFIX)]
        times = os.stat(directory)
        for name in marked:
            path = os.path.join(directory, name)
            os.unlink(path)
            hidden = name.removeprefix(PREFIX)
            if hidden == ".wh..opq":
                os.setxattr(directory, "trusted.overlay.opaque", b"y")
            elif not os.path.lexists(os.path.join(directory, hidden)):
                os.mknod(os.path.join(directory, hidden), stat.S_IFCHR, os.makedev(0, 0))
        if marked:
            os.utime(directory, ns=(times.st_atime_ns, times.st_mtime_ns))


def compression(media_type: str) -> str:
    """What stands behind the `+`; docker's types have it behind a dot."""
    return "gzip" if media_type.endswith(".tar.gzip") else media_type.partition("+")[2]


def named(index: dict, tag: str) -> dict:
    """The manifest's descriptor."""
    for descriptor in index["manifests"]:
        if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            return descriptor
    sys.exit(f"no image `{tag}`")


def blob(layout: pathlib.Path, descriptor: dict) -> pathlib.Path:
    algorithm, _, digest = descriptor["digest"].partition(":")
    return layout / "blobs" / algorithm / digest


def read_json(path: pathlib.Path) -> dict:
    with open(path, "rb") as file:
        return json.load(file)


def each(layouts, outs, seconds):
    """Returns in a process of its own for each layout, with it and what it is to become, as runners/README.md says of batches."""
    for name in sorted(os.listdir(layouts)):
        folder = os.path.join(outs, name)
        os.makedirs(folder)
        child = os.fork()
        if child == 0:
            signal.alarm(int(seconds))
            log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            return os.path.join(layouts, name), os.path.join(folder, "rootfs")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with open(os.path.join(folder, "status"), "w") as file:
            print(status, file=file)
    sys.exit()


if __name__ == "__main__":
    layout, tag, out = sys.argv[1:4]
    if len(sys.argv) > 4:
        layout, out = each(layout, out, sys.argv[4])
    try:
        main(pathlib.Path(layout), tag, pathlib.Path(out))
    except BaseException:
        # Half of the layers are this script's, and no tool's.
        shutil.rmtree(out, ignore_errors=True)
        raise
