"""Serves image layouts as a registry on port 8443 of the loopback: registry.py LAYOUTS READY-FILE CERTIFICATE KEY

Each layout is a folder there; the repository is called image-NAME.

It judges nothing: blobs are sent as the files they are, a tag is the first descriptor with that name.
"""

import http.server
import json
import pathlib
import ssl
import sys

LAYOUTS, READY = map(pathlib.Path, sys.argv[1:3])
NAME = "org.opencontainers.image.ref.name"


def descriptor(layout, reference):
    """The descriptor that a tag names, or one made up for a digest."""
    named = json.loads((layout / "index.json").read_bytes())["manifests"]
    for one in named:
        if reference in (one.get("annotations", {}).get(NAME), one.get("digest")):
            return one
    return {"digest": reference}


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # What is sent in two parts waits 40 ms for the first to be acknowledged.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        try:
            *_, repository, kind, reference = ["", *self.path.split("/")]
            if kind == "v2" or reference == "v2":
                return self.send(b"{}", "application/json", None)
            layout = LAYOUTS / repository.removeprefix("image-")
            one = descriptor(layout, reference) if kind == "manifests" else {"digest": reference}
            algorithm, _, digits = one["digest"].partition(":")
            path = layout / "blobs" / algorithm / digits
            if not path.is_file():
                raise FileNotFoundError(path)  # nobody could have pushed a pipe or a device
            body = path.read_bytes()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return self.send(b'{"errors":[{"code":"NOT_FOUND"}]}', "application/json", None, 404)
        media_type = "application/octet-stream"
        if kind == "manifests":
            media_type = one.get("mediaType") or stated_media_type(body) or media_type
        self.send(body, media_type, one["digest"])

    def send(self, body, media_type, digest, status=200):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def stated_media_type(body):
    try:
        return json.loads(body).get("mediaType")
    except (ValueError, AttributeError):
        return None


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[3:])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Registry)
server.socket = context.wrap_socket(server.socket, server_side=True)
READY.touch()
server.serve_forever()
