"""Takes back what apptainer's additions do to directories: times.py LAYOUT ROOTFS

A directory that they were put into gets the time of the last header that names it, and an empty `etc` goes
where no layer has one. What cannot be read here stays as it is, and is seen.
"""

import json
import os
import pathlib
import sys
import tarfile

layout, rootfs = map(pathlib.Path, sys.argv[1:])


def blob(descriptor):
    algorithm, _, digits = descriptor["digest"].partition(":")
    return layout / "blobs" / algorithm / digits


def layers(descriptors):
    document = json.loads(blob(descriptors[0]).read_bytes())
    return layers(document["manifests"]) if "manifests" in document else document["layers"]


def put_back():
    times = {}
    first_names = set()
    for layer in layers(json.loads((layout / "index.json").read_bytes())["manifests"]):
        with tarfile.open(blob(layer)) as archive:
            for member in archive:
                parts = [part for part in member.name.split("/") if part not in ("", ".")]
                first_names.update(parts[:1])
                if member.isdir() and parts in ([], ["etc"], ["var"]):
                    times["/".join(parts)] = member.mtime
    etc = rootfs / "etc"
    if "etc" not in first_names and not any(etc.iterdir()):
        etc.rmdir()
    for name, time in times.items():
        if not (rootfs / name).is_symlink():
            os.utime(rootfs / name, (time, time))


try:
    put_back()
except (tarfile.TarError, OSError, EOFError, ValueError, KeyError, IndexError, TypeError) as error:
    print(f"times.py: {error}", file=sys.stderr)
