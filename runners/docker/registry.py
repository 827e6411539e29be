"""Serves an image layout as a registry that it was pushed to would: registry.py LAYOUT TAG PORT_FILE."""

import http.server
import json
import os
import re
import sys

layout, tag, port_file = sys.argv[1:]
media_types = {}


def blob(digest):
    """The bytes of a blob; what is no plain file no registry could hold."""
    algorithm, _, encoded = digest.partition(":")
    path = os.path.join(layout, "blobs", algorithm, encoded)
    if not re.fullmatch(r"[a-z0-9]+:[0-9a-f]+", digest) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def learn(document):
    """Notes the media types under which a document's manifests were pushed."""
    for descriptor in document.get("manifests", []):
        media_types[descriptor["digest"]] = descriptor["mediaType"]


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, reference = self.path.removeprefix("/v2/image/").partition("/")
        digest = tagged if reference == tag else reference
        body = b"" if self.path == "/v2/" else blob(digest)
        self.send_response(404 if body is None else 200)
        if kind == "manifests" and body is not None:
            self.send_header("Content-Type", media_types.get(digest, ""))
            self.send_header("Docker-Content-Digest", digest)
            try:
                learn(json.loads(body))
            except (ValueError, AttributeError, KeyError, TypeError):
                pass  # What is wrong with it the one who pulls shall find out.
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET" and body:
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


with open(os.path.join(layout, "index.json"), "rb") as file:
    index = json.load(file)
names = [d["digest"] for d in index["manifests"] if d.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag]
if len(names) != 1:
    sys.exit(f"the index names {len(names)} images `{tag}`")
tagged = names[0]
learn(index)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
with open(port_file + ".new", "w") as file:
    print(server.server_port, file=file)
os.rename(port_file + ".new", port_file)
server.serve_forever()
