"""What image.sh does, of many layouts by the daemon's API alone: batch.py STORE LAYOUTS TAG OUT SECONDS

Most of what an image takes is the start of docker's own program, five times. What it asks of the daemon is asked
here; what is news in what comes of it the harness asks again, with the program. The daemon listens at $DOCKER_HOST.
"""

import glob
import http.client
import json
import os
import socket
import sys
import threading
import time
import urllib.parse

from registry import Registry, Unfit
from strip import strip


class Refused(Exception):
    """What the daemon says against a request."""


class Daemon(http.client.HTTPConnection):
    """A connection to the daemon for one image, which is not to take longer than so many seconds at anything."""

    def __init__(self, seconds):
        super().__init__("localhost", timeout=seconds)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))

    def ask(self, method, path, body=None, to=None, **query):
        """The answer to a request, or where it was written."""
        headers = {"Content-Type": "application/json"}
        path = f"/{path}?{urllib.parse.urlencode(query)}"
        self.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = self.getresponse()
        if response.status >= 400:
            raise Refused(f"{path}: {response.status}: {response.read().decode(errors='replace').strip()}")
        if to is None:
            return response.read()
        with open(to, "wb") as file:
            while part := response.read(1 << 20):
                file.write(part)


def own_times(store):
    """Of `dev` and `etc` the time they have in the highest layer that has them as directories, as image.sh says."""
    root = os.path.join(os.environ["TMPDIR"], "root")
    patterns = ["overlay2/*/diff", "containerd/daemon/*.overlayfs/snapshots/*/fs"]
    if store == "vfs":
        patterns = ["vfs/dir/*"]
    layers = [path for pattern in patterns for path in glob.glob(os.path.join(root, pattern))]
    layers.sort(key=lambda path: os.stat(path).st_ctime_ns, reverse=True)
    if store == "vfs":
        layers = layers[:1]
    times = {}
    for name in ["dev", "etc"]:
        for path in (os.path.join(layer, name) for layer in layers):
            if os.path.isdir(path) and not os.path.islink(path):
                times[name] = int(os.stat(path).st_mtime)
            # A file, a link or a whiteout hides what lies below it as a directory does.
            if os.path.lexists(path):
                break
    return times


def convert(store, layout, tag, out, seconds):
    registry = Registry(layout, tag)
    threading.Thread(target=registry.serve_forever, args=[0.01], daemon=True).start()
    daemon = Daemon(seconds)
    try:
        name = f"127.0.0.1:{registry.server_port}/image"
        pulled = daemon.ask("POST", "images/create", fromImage=name, tag=tag)
        for line in pulled.splitlines():
            if "error" in json.loads(line):
                raise Refused(line.decode(errors="replace"))
        times = own_times(store)
        start = int(time.time())
        daemon.ask("POST", "containers/create", {"Image": f"{name}:{tag}", "Cmd": ["true"]}, name="cc")
        export = os.path.join(os.environ["TMPDIR"], "export.tar")
        daemon.ask("GET", "containers/cc/export", to=export)
        strip(start, export, out, times)
        os.remove(export)
    finally:
        daemon.close()
        registry.shutdown()
        registry.server_close()


def forget(seconds):
    """Has the daemon remove all it has, so that the next image finds nothing of this one."""
    daemon = Daemon(seconds)
    for container in json.loads(daemon.ask("GET", "containers/json", all=1)):
        daemon.ask("DELETE", f"containers/{container['Id']}", force=1)
    for image in json.loads(daemon.ask("GET", "images/json", all=1)):
        daemon.ask("DELETE", f"images/{image['Id']}", force=1)
    daemon.close()


store, layouts, tag, outs, seconds = sys.argv[1:]
for name in sorted(os.listdir(layouts)):
    out = os.path.join(outs, name)
    os.makedirs(out)
    status, said = 0, ""
    try:
        convert(store, os.path.join(layouts, name), tag, os.path.join(out, "rootfs"), int(seconds))
    except (Refused, Unfit) as refused:
        status, said = 1, str(refused)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException) as error:
        # A status that tells nothing: image.sh is asked then.
        status, said = 126, str(error)
    forget(int(seconds))
    for file, text in [("log", said), ("status", str(status))]:
        with open(os.path.join(out, file), "w") as write:
            print(text, file=write)
