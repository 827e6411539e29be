"""What image.sh does, of many layouts by podman's service: batch.py DRIVER STORES LAYOUTS TAG OUT SECONDS

Most of what an image takes is the start of podman's program, twice. The service does not pull from a layout; it loads
one as an archive, by the same code. So what it refuses, but for what a layer has in it, and layouts of which loading could
choose another image, image.sh is given. The service listens at STORES/socket.
"""

import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.parse

NAME = "org.opencontainers.image.ref.name"
DRIVER, STORES, LAYOUTS, TAG, OUTS, SECONDS = sys.argv[1:]


class Refused(Exception):
    """What the service says against a request, or why it is not asked."""

    def is_of_a_layer(self):
        """Whether a layer was refused as it was applied, which is no matter of how the image came."""
        return ": adding layer with blob " in str(self)


class Service(http.client.HTTPConnection):
    """A connection for one image, which is not to take longer than so many seconds at anything."""

    def __init__(self):
        super().__init__("localhost", timeout=int(SECONDS))

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.path.join(STORES, "socket"))

    def ask(self, method, path, body=None, kind="application/json", to=None, **query):
        """The answer to a request, or where it was written."""
        path = f"/v5.0.0/libpod/{path}?{urllib.parse.urlencode(query)}"
        self.request(method, path, body, {"Content-Type": kind})
        response = self.getresponse()
        if response.status >= 400:
            raise Refused(response.read().decode(errors="replace"))
        if to is None:
            return json.loads(response.read() or "null")
        with open(to, "wb") as file:
            shutil.copyfileobj(response, file, 1 << 20)


def archive(layout):
    """The layout as an archive, if it has one image alone, by the tag, and nothing but files."""
    try:
        with open(os.path.join(layout, "index.json"), "rb") as file:
            index = json.load(file)
        names = [one.get("annotations", {}).get(NAME) for one in index["manifests"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(str(error)) from error
    bytes_of_it = io.BytesIO()
    with tarfile.open(fileobj=bytes_of_it, mode="w") as to:
        to.add(layout, ".")
        is_plain = all(member.isreg() or member.isdir() for member in to.getmembers())
    if names != [TAG] or not is_plain:
        raise Refused("it is not one image in plain files")
    return bytes_of_it.getvalue()


def convert(layout, out):
    body = archive(layout)
    service = Service()
    try:
        names = service.ask("POST", "images/load", body, "application/x-tar")["Names"]
        if len(names) != 1:
            raise Refused(f"loaded: {names}")
        create = json.dumps({"image": names[0], "command": ["true"]})
        container = service.ask("POST", "containers/create", create)["Id"]
        export = os.path.join(STORES, "export.tar")
        service.ask("GET", f"containers/{container}/export", to=export)
        os.mkdir(out)
        options = ["--xattrs", "--xattrs-include=*", "--numeric-owner"]
        subprocess.run(["tar", *options, "-xpf", export, "-C", out], check=True, timeout=int(SECONDS))
    finally:
        service.close()


def convert_alone(layout, out, log):
    """The exit status of image.sh, with a storage of its own."""
    own = os.path.join(STORES, "own")
    script = os.path.join(os.path.dirname(__file__), "image.sh")
    command = ["timeout", SECONDS, "sh", script, DRIVER, own, f"{layout}:{TAG}", out]
    ran = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    shutil.rmtree(own, ignore_errors=True)
    return ran.returncode


for name in sorted(os.listdir(LAYOUTS)):
    layout, out = os.path.join(LAYOUTS, name), os.path.join(OUTS, name)
    os.makedirs(out)
    rootfs = os.path.join(out, "rootfs")
    with open(os.path.join(out, "log"), "wb") as log:
        try:
            convert(layout, rootfs)
            status = 0
        except (Refused, OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError) as error:
            shutil.rmtree(rootfs, ignore_errors=True)
            if isinstance(error, Refused) and error.is_of_a_layer():
                # What podman ends with.
                status = 125
                log.write(str(error).encode())
            else:
                status = convert_alone(layout, rootfs, log)
    with open(os.path.join(out, "status"), "w") as file:
        print(status, file=file)
