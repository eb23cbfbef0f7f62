"""What the checks share: the files of the project, C code without comments and strings, and one way to report."""
import os
import re
import sys

sys.dont_write_bytecode = True
ROOT = os.environ.get("CHECK_ROOT") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = re.compile(r"^(build[^/]*|var|\.git|\.cache|node_modules|__pycache__)$")


def files(*tops, names=None):
    """Paths relative to the root, sorted, below the folders given (all: none given), whose name matches `names`."""
    found = []
    for top in tops or (".",):
        for folder, folders, inside in os.walk(os.path.join(ROOT, top)):
            folders[:] = [f for f in folders if not SKIPPED.match(f)]
            for name in inside:
                path = os.path.relpath(os.path.join(folder, name), ROOT)
                if (names is None or re.search(names, name)) and not os.path.islink(os.path.join(ROOT, path)):
                    found.append(path)
    return sorted(set(found))


def c_files(*tops):
    return files(*(tops or ("server", "include", "tests")), names=r"\.[ch]$")


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


BLANKED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code(path):
    """C code with comments and literals blanked; line numbers stay."""
    def blank(match):
        found = match.group(0)
        if found.startswith(("/*", "//")):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1]

    return BLANKED.sub(blank, text(path))


def line_of(content, at):
    return content.count("\n", 0, at) + 1


def module_of(path):
    """The module a file belongs to: include/mqtt/ack.h and server/mqtt/ack.c -> mqtt; None for others."""
    parts = path.split("/")
    if len(parts) >= 3 and parts[0] in ("server", "include"):
        return parts[1]
    return None


def layers():
    """server/LAYERS: ({module: [modules it may include]} in order, [(header, {modules})])."""
    allowed, owners = {}, []
    for line in text("server/LAYERS").splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        head, _, rest = line.partition(":")
        if head.startswith("@"):
            owners.append((head[1:], set(rest.split())))
        else:
            allowed[head] = rest.split()
    return allowed, owners


def done(name, what, findings, notes=()):
    """Prints notes, findings and one line of what was looked at; exits 1 on a finding."""
    for note in notes:
        print(f"note: {note}")
    for finding in findings:
        print(finding)
    print(f"{name}: {what}, {len(findings)} finding{'' if len(findings) == 1 else 's'}")
    sys.exit(1 if findings else 0)
