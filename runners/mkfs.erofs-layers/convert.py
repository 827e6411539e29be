"""Every layer of an image by itself: `mkfs.erofs --tar=f --aufs` on its archive, unpacked.

usage: convert.py LAYOUT TAG OUT, or for many convert.py LAYOUTS TAG OUT SECONDS
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

UNPACK = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dc"]}
# Else images differ by an identifier that is made up each time.
UUID = "6f2d4a3c-0000-4000-8000-000000000001"
# With SOURCE_DATE_EPOCH it gives every file that time.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}


def main(layout: pathlib.Path, tag: str, out: pathlib.Path) -> None:
    manifest = read(layout, named(read_json(layout / "index.json"), tag))
    out.mkdir()
    for number, layer in enumerate(manifest["layers"]):
        image = out / f"{number:04}.erofs"
        packed = compression(layer["mediaType"])
        with tempfile.TemporaryDirectory() as work:
            archive = pathlib.Path(work) / "layer.tar"
            with open(blob(layout, layer), "rb") as source, open(archive, "wb") as target:
                subprocess.run(UNPACK.get(packed, ["cat"]), stdin=source, stdout=target, check=True)
            command = ["mkfs.erofs", "--quiet", "--tar=f", "--aufs", "-U", UUID, image, archive]
            # Its scratch file is to be larger than the limit; it goes on if it is told so without a signal.
            subprocess.run(command, check=True, env=ENVIRONMENT, restore_signals=False)


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


def read(layout: pathlib.Path, descriptor: dict) -> dict:
    return read_json(blob(layout, descriptor))


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
    except BaseException as error:
        # Half of the layers are this script's, and no tool's.
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, subprocess.CalledProcessError):
            sys.exit(f"{os.path.basename(error.cmd[0])}: exit {error.returncode}")
        raise
