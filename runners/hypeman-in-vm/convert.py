"""convert.py LAYOUT TAG OUT: what hypeman's builder did inside its VM from pull request 94 until 98 took it out.

Only the registry is replaced, by the layout. Nothing here is better than it was: no digest, size or diff ID is
looked at, and what the markers of a layer name is removed after the layer's own entries were made.

convert.py LAYOUTS TAG OUT SECONDS: the same for many images.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

OPAQUE = ".wh..wh..opq"


def blob(layout, digest):
    """The blob a registry would send; it has none under a name that is no digest."""
    if not re.fullmatch(r"[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-zA-Z=_-]+", digest):
        sys.exit(f"no blob {digest!r}")
    path = os.path.join(layout, "blobs", *digest.split(":"))
    if not stat.S_ISREG(os.stat(path).st_mode):
        sys.exit(f"blob {digest} is no file")
    return open(path, "rb")


def document(text):
    """The first JSON value as Go reads it: what follows is not looked at, nor is the case of keys."""
    fold = json.JSONDecoder(object_pairs_hook=lambda pairs: {key.lower(): value for key, value in pairs})
    return fold.raw_decode(text.decode("utf-8", "replace").lstrip())[0]


def layer(fields):
    """The media type and the digest; the size had to be a number, and nothing else was asked of it."""
    values = [fields.get(key) or empty for key, empty in (("mediatype", ""), ("digest", ""), ("size", 0))]
    media_type, digest, size = values
    if [type(value) for value in values] != [str, str, int] or not -(2**63) <= size < 2**63:
        raise ValueError(f"a layer's descriptor is {fields}")
    return media_type, digest


def layers(layout, tag):
    with open(os.path.join(layout, "index.json"), "rb") as file:
        index = document(file.read())
    name = "org.opencontainers.image.ref.name"
    tagged = [one for one in index["manifests"] if (one.get("annotations") or {}).get(name) == tag]
    manifest = document(blob(layout, tagged[0]["digest"]).read())
    if choices := manifest.get("manifests"):

        def is_ours(one):
            platform = one.get("platform") or {}
            return platform.get("architecture") == "amd64" and platform.get("os") == "linux"

        # Without one for this machine the first is taken.
        chosen = next(filter(is_ours, choices), choices[0])
        manifest = document(blob(layout, chosen["digest"]).read())
    return [layer(fields) for fields in manifest.get("layers") or []]


def extract(file, media_type, rootfs):
    if "zstd" in media_type:
        # A shell's pipe: what zstd thinks of its input is lost.
        command = ["sh", "-c", f"zstd -d | tar -xf - -C {rootfs}"]
    else:
        command = ["tar", "-xzf" if "gzip" in media_type else "-xf", "-", "-C", rootfs]
    subprocess.run(command, stdin=file, check=True)


def remove(path):
    # The join was a textual one: the target of `.wh...` is the parent.
    path = os.path.normpath(path)
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.remove(path)
    except OSError:
        pass


def apply_markers(path):
    """Visits a tree in order of names, the directory before its children; whatever fails is passed over."""
    name = os.path.basename(path)
    try:
        is_dir = stat.S_ISDIR(os.lstat(path).st_mode)
        children = sorted(map(os.fsencode, os.listdir(path))) if is_dir else []
    except OSError:
        return
    if name.startswith(".wh."):
        folder = os.path.dirname(path)
        if name == OPAQUE:
            for sibling in os.listdir(folder):
                if sibling != OPAQUE:
                    remove(os.path.join(folder, sibling))
        else:
            remove(os.path.join(folder, name.removeprefix(".wh.")))
        try:
            os.rmdir(path) if is_dir else os.remove(path)
        except OSError:
            pass
    for child in children:
        apply_markers(os.path.join(path, os.fsdecode(child)))


def main(layout, tag, out):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        rootfs = os.path.join(place, "erofs-extract")
        os.mkdir(rootfs, 0o755)
        for media_type, digest in layers(layout, tag):
            with blob(layout, digest) as file:
                extract(file, media_type, rootfs)
            apply_markers(rootfs)
        # Then `sync` without fsync, which is too weak for another machine that reads the volume.
        os.environ.pop("SOURCE_DATE_EPOCH", None)
        subprocess.run(["mkfs.erofs", "-zlz4", out, rootfs], check=True)


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


sys.setrecursionlimit(10000)
layout, tag, out = sys.argv[1:4]
if len(sys.argv) > 4:
    layout, out = each(layout, out, sys.argv[4])
try:
    main(layout, tag, out)
except (subprocess.CalledProcessError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    # The host's own conversion took over then.
    sys.exit(f"erofs creation failed: {error}")
