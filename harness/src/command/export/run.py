#!/usr/bin/env python3
"""Runs the suite this file stands in against one converter. See README.md.

It does not contain the command: hostile images run only with --hostile. Exit code: 0 all passed, 1 some failed, 2 the
suite or the command is at fault.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEVELS = ("must", "should", "de-facto", "policy")
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}
LINES_MAX = 20


class Trouble(Exception):
    """The suite or the command is at fault, not the converter's answer."""


def escape(name):
    return "".join(chr(b) if 0x21 <= b <= 0x7e and b not in b"\\#*?[" else "\\%03o" % b for b in name)


def parse(path):
    """An expected tree: path to keywords, the groups of hard links, path to extended attributes."""
    tree, groups, xattrs = {}, [], {}
    with open(path, encoding="ascii") as file:
        for line in file.read().splitlines():
            words = line.split(" ")
            if words[:2] == ["#@", "hardlink"]:
                groups.append(frozenset(words[2:]))
            elif words[:2] == ["#@", "xattr"]:
                value = "" if words[4] == "-" else words[4]
                xattrs.setdefault(words[2], {})[words[3]] = base64.b64decode(value)
            elif not line.startswith("#"):
                tree[words[0]] = dict(word.split("=", 1) for word in words[1:])
    for group in groups:  # the attributes stand once, at the first name
        held = [xattrs[name] for name in group if name in xattrs]
        xattrs.update((name, held[0]) for name in group if held)
    return tree, groups, xattrs


def walk(root):
    """The tree below a directory, as `parse` gives an expected one. Never follows a link; a path may be
    longer than PATH_MAX."""
    tree, inodes, xattrs = {}, {}, {}
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    look(tree, inodes, xattrs, top, b".", ".")
    levels = [(top, ".", sorted(map(os.fsencode, os.listdir(top))))]
    while levels:
        fd, path, names = levels[-1]
        if not names:
            os.close(fd)
            levels.pop()
            continue
        name = names.pop()
        below = path + "/" + escape(name)
        if look(tree, inodes, xattrs, fd, name, below) == "dir":
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            levels.append((fd, below, sorted(map(os.fsencode, os.listdir(fd)))))
    return tree, [frozenset(group) for group in inodes.values() if len(group) > 1], xattrs


def look(tree, inodes, xattrs, fd, name, path):
    """Takes one name of the directory `fd` into the tree; gives its type."""
    st = os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind = TYPES[stat.S_IFMT(st.st_mode)]
    seconds, nanos = divmod(st.st_mtime_ns, 10**9)
    keys = {"type": kind, "uid": str(st.st_uid), "gid": str(st.st_gid),
            "mode": "%04o" % stat.S_IMODE(st.st_mode), "time": "%d.%s" % (seconds, "%09d" % nanos if nanos else "0")}
    if kind == "file":
        keys["size"], keys["sha256"] = str(st.st_size), digest(name, fd)
    elif kind == "link":
        keys["link"] = escape(os.readlink(name, dir_fd=fd))
    elif kind in ("char", "block"):
        keys["device"] = "native,%d,%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))
    if kind != "dir":
        inodes.setdefault((st.st_dev, st.st_ino), []).append(path)
    tree[path] = keys
    place = b"/proc/self/fd/%d/" % fd + name
    found = {escape(os.fsencode(key)): os.getxattr(place, key, follow_symlinks=False)
             for key in os.listxattr(place, follow_symlinks=False)}
    if found:
        xattrs[path] = found
    return kind


def digest(name, fd):
    hash = hashlib.sha256()
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            hash.update(block)
    return hash.hexdigest()


def diff(want, got):
    """Every difference, as a line; what the expected tree leaves open is not compared."""
    lines = []
    groups = [{name: group for group in side[1] for name in group} for side in (want, got)]
    for path in sorted(want[0].keys() | got[0].keys()):
        if path not in got[0]:
            lines.append("missing   " + path)
        elif path not in want[0]:
            lines.append("extra     " + path)
        else:
            lines += modified(path, want, got, groups)
    return lines


def modified(path, want, got, groups):
    wanted, actual = want[0][path], got[0][path]
    keys = ["type"] if wanted["type"] != actual["type"] else [k for k in wanted if k != "nlink"]
    lines = ["modified  %s  %s  want %s  got %s" % (path, k, wanted[k], actual.get(k))
             for k in keys if wanted[k] != actual.get(k)]
    if keys != ["type"] or wanted["type"] == actual["type"]:
        wanted, actual = want[2].get(path, {}), got[2].get(path, {})
        lines += ["modified  %s  xattr  %s" % (path, key)
                  for key in sorted(wanted.keys() | actual.keys()) if wanted.get(key) != actual.get(key)]
    wanted, actual = (side.get(path) for side in groups)
    if wanted != actual and all(name in got[0] for name in wanted or ()):
        lines.append("modified  %s  hardlink" % path)
    return lines


def limit():
    """What the converter's process gets before it starts."""
    for which, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 16 << 30), (resource.RLIMIT_DATA, 2 << 30)):
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))
    os.umask(0o022)


class Conversion:
    """One run of the command on one image, in a folder of its own."""

    def __init__(self, options, tag, folder, image, cell):
        self.cell, self.layout, self.tmp = cell, os.path.join(cell, "layout"), os.path.join(cell, "tmp")
        self.out = os.path.join(cell, "a", "b", "out")  # deep, so that what goes one level too high is seen
        shutil.copytree(os.path.join(HERE, folder, image["layout"]), self.layout)
        os.makedirs(os.path.dirname(self.out))
        os.mkdir(self.tmp)
        for one in image["make"]:
            (os.mkfifo if one["kind"] == "fifo" else os.mkdir)(os.path.join(self.layout, one["path"]))
        self.before = walk(self.layout)
        self.ending, self.said = self.start(options, tag)
        self.made = os.path.lexists(self.out)

    def start(self, options, tag):
        values = {"{layout}": self.layout, "{tag}": tag, "{out}": self.out}
        fill = lambda word: re.sub(r"\{(layout|tag|out)\}", lambda found: values[found[0]], word)
        command = [fill(word) for word in options.command]
        environment = {"PATH": PATH, "LC_ALL": "C", "LANG": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": "0", "TMPDIR": self.tmp}
        with tempfile.TemporaryFile() as log:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                           cwd="/", start_new_session=True, preexec_fn=limit)
            except OSError as error:
                raise Trouble("failed to start `%s`: %s" % (command[0], error))
            try:
                ending = process.wait(options.timeout)
            except subprocess.TimeoutExpired:
                ending = "timeout"
            try:  # whatever it left running
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return ending, said[-1][:300] if said else ""

    def invariants(self):
        """What holds for every case whatever its expectation."""
        found = []
        around = [(self.cell, ["a", "layout", "tmp"]), (os.path.join(self.cell, "a"), ["b"])]
        around.append((os.path.dirname(self.out), ["out"] if self.made else []))
        for folder, names in around:
            if not os.path.isdir(folder) or sorted(os.listdir(folder)) != names:
                found.append(("escape", "beside the output something changed: " + os.path.relpath(folder, self.cell)))
                break
        if not os.path.isdir(self.layout) or walk(self.layout) != self.before:
            found.append(("escape", "the layout changed"))
        if os.path.isdir(self.tmp) and os.listdir(self.tmp):
            found.append(("unclean", "left in $TMPDIR: " + escape(os.fsencode(sorted(os.listdir(self.tmp))[0]))))
        if self.ending == "timeout":
            found.append(("timeout", "not done in time"))
        elif self.ending < 0:
            found.append(("crash", "killed by signal %d" % -self.ending))
        if self.ending == 0 and not self.made:
            found.append(("silent", "exit 0, but there is no output"))
        if self.ending != 0 and self.made:
            found.append(("unclean", "failed and left its output"))
        return found

    def rejected(self):
        return self.ending != "timeout" and self.ending > 0

    def findings(self, folder, trees, reject):
        """What is wrong, where these trees are right, and a rejection if `reject`."""
        found = self.invariants()
        if self.rejected() and not reject:
            found.append(("rejected", "exit %d: %s" % (self.ending, self.said)))
        if self.ending == 0 and self.made:
            got = walk(self.out)
            found += [("silent", line) for line in
                      min((diff(parse(os.path.join(HERE, folder, tree)), got) for tree in trees), key=len)]
        return found


def judge(case, tag, options):
    """Every finding of a case, as (kind, words)."""
    folder, expect = case["folder"], case["expect"]
    with Cell() as cell:
        conversion = Conversion(options, tag, folder, case["image"], cell)
        if expect["kind"] == "tree":
            return conversion.findings(folder, [expect["tree"]], False)
        if expect["kind"] == "one-of":
            trees = [one["tree"] for one in expect["trees"]]
            if not trees and conversion.ending == 0:
                return conversion.invariants() + [("accepted", "accepted")]
            return conversion.findings(folder, trees, expect["reject"])
        found = conversion.invariants()
        if expect["kind"] == "record":
            return found
        if conversion.ending == 0 and conversion.made:
            found.append(("accepted", "accepted, though " + expect["because"]))
        if not conversion.rejected():
            return found
    twin = expect["twin"]  # rejected for the right reason: the same without the offence must be accepted
    with Cell() as cell:
        again = Conversion(options, tag, folder, twin["image"], cell).findings(folder, [twin["tree"]], False)
    return found + [(kind, "the twin, which is repaired: " + line) for kind, line in again]


class Cell(tempfile.TemporaryDirectory):
    """A temporary folder that a converter may have removed or made hard to remove."""

    def __init__(self):
        super().__init__(prefix="conformance-")

    def __exit__(self, *_):
        shutil.rmtree(self.name, ignore_errors=True)
        self._finalizer.detach()


def load():
    try:
        with open(os.path.join(HERE, "suite.json"), encoding="utf-8") as file:
            suite = json.load(file)
    except (OSError, ValueError) as error:
        raise Trouble("failed to read suite.json beside run.py: %s" % error)
    if suite.get("format") != 1:
        raise Trouble("suite.json has format %r; this run.py reads 1" % suite.get("format"))
    return suite


def options_of(arguments):
    parser = argparse.ArgumentParser(description="Runs the suite against one converter.")
    parser.add_argument("--command", help="the converter, with {layout}, {tag} and {out}")
    parser.add_argument("--hostile", action="store_true",
                        help="also cases that may lead outside the output: nothing is contained, so use a throw-away "
                             "machine, or unshare(1) or bwrap(1), see README.md")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="per conversion [60]")
    parser.add_argument("--json", metavar="FILE", help="record every verdict")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("filter", nargs="*", help="only ids that contain one of these")
    options = parser.parse_args(arguments)
    if not options.list:
        options.command = shlex.split(options.command or "")
        words = " ".join(options.command)
        if "{layout}" not in words or "{out}" not in words:
            raise Trouble("the command must name {layout} and {out}")
        if shutil.which(options.command[0], path=PATH) is None:
            raise Trouble("`%s` is not to be found in %s; give its full path" % (options.command[0], PATH))
    return options


def main(arguments):
    options, suite = options_of(arguments), load()
    wanted = [case for case in suite["cases"]
              if not options.filter or any(part in case["id"] for part in options.filter)]
    if not wanted:
        raise Trouble("nothing matches; --list prints all cases")
    if options.list:
        for case in wanted:
            print("%s%s  %s" % (case["id"], "  (hostile)" if case["hostile"] else "", case["title"]))
        return 0
    if os.geteuid() != 0:
        print("run.py: not root, so owners and devices cannot be made: expect failures", file=sys.stderr)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a deep tree needs as many descriptors
    sys.setrecursionlimit(20000)
    verdicts = {}
    for case in wanted:
        if case["hostile"] and not options.hostile:
            verdicts[case["id"]] = {"level": case["level"], "verdict": "skip", "findings": []}
            continue
        found = judge(case, suite["tag"], options)
        if case["embargo"]:
            found = [(kind, "(embargoed)") for kind, _ in found]
        verdicts[case["id"]] = {"level": case["level"], "verdict": "fail" if found else "pass", "findings": found}
        if found:
            print("FAIL  %s\n      %s" % (case["id"], case["title"]))
            for kind, line in found[:LINES_MAX]:
                print("        %-9s %s" % (kind, line))
            sys.stdout.flush()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(verdicts, file, indent=1)
    return summary(verdicts.values())


def summary(verdicts):
    for level in LEVELS:
        words = [one["verdict"] for one in verdicts if one["level"] == level and one["verdict"] != "skip"]
        if words:
            print("%-8s  %d/%d" % (level, words.count("pass"), len(words)))
    words = [one["verdict"] for one in verdicts]
    if "skip" in words:
        print("%d hostile cases not run: nothing here contains them; see --hostile" % words.count("skip"))
    print("%d pass   %d fail   %d skip" % tuple(words.count(word) for word in ("pass", "fail", "skip")))
    if words.count("skip") == len(words):
        raise Trouble("nothing was run")
    return 1 if "fail" in words else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        print("run.py: %s" % trouble, file=sys.stderr)
        sys.exit(2)
