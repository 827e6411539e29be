"""Serves an image layout as a registry that it was pushed to would: registry.py LAYOUT TAG PORT_FILE."""

import http.server
import json
import os
import re
import sys


class Unfit(Exception):
    """What no image could have been pushed from."""


class Registry(http.server.ThreadingHTTPServer):
    """A registry on a free port of the loopback, with the image of one layout under one tag."""

    def __init__(self, layout, tag):
        with open(os.path.join(layout, "index.json"), "rb") as file:
            index = json.load(file)
        names = [d["digest"] for d in index["manifests"] if d.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag]
        if len(names) != 1:
            raise Unfit(f"the index names {len(names)} images `{tag}`")
        self.layout, self.tag, self.tagged = layout, tag, names[0]
        self.media_types = {}
        self.learn(index)
        super().__init__(("127.0.0.1", 0), Request)

    def blob(self, digest):
        """The bytes of a blob; what is no plain file no registry could hold."""
        algorithm, _, encoded = digest.partition(":")
        path = os.path.join(self.layout, "blobs", algorithm, encoded)
        if not re.fullmatch(r"[a-z0-9]+:[0-9a-f]+", digest) or not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return file.read()

    def learn(self, document):
        """Notes the media types under which a document's manifests were pushed."""
        for descriptor in document.get("manifests", []):
            self.media_types[descriptor["digest"]] = descriptor["mediaType"]


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # What is sent in two parts waits 40 ms for the first to be acknowledged.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        registry = self.server
        kind, _, reference = self.path.removeprefix("/v2/image/").partition("/")
        digest = registry.tagged if reference == registry.tag else reference
        body = b"" if self.path == "/v2/" else registry.blob(digest)
        self.send_response(404 if body is None else 200)
        if kind == "manifests" and body is not None:
            self.send_header("Content-Type", registry.media_types.get(digest, ""))
            self.send_header("Docker-Content-Digest", digest)
            try:
                registry.learn(json.loads(body))
            except (ValueError, AttributeError, KeyError, TypeError):
                pass  # What is wrong with it the one who pulls shall find out.
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET" and body:
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    layout, tag, port_file = sys.argv[1:]
    try:
        server = Registry(layout, tag)
    except Unfit as unfit:
        sys.exit(str(unfit))
    with open(port_file + ".new", "w") as file:
        print(server.server_port, file=file)
    os.rename(port_file + ".new", port_file)
    server.serve_forever()
