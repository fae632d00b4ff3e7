"""Turn the Autobahn test suite, which is written in Python 2, into Python 3. Runs in the suite's own environment.

None of Autobahn's code is kept here: the published archive is fetched, checked against its hash by pip, and converted
with fissix (lib2to3, which Python no longer ships) and the handful of edits below.

The idea that makes so few edits enough: a Python 2 string is bytes, and Latin-1 maps bytes and characters one to one.
So the cases keep their strings, as Latin-1, and the driver turns them into bytes where they enter and leave the
protocol.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

VERSION = "25.10.1"
SHA256 = "b083d6e15330fc16f3e5f0975cce2b15f21bfa0c6db09547316b1852c6dbd6df"

# Everything the fuzzing client imports; the rest of the suite are other tools.
PARTS = ("case", "testdata", "caseset.py", "fuzzing.py")

EDITS: dict[str, list[tuple[str, str]]] = {
    "case/__init__.py": [
        # The suite itself does not run case 9.9.1, and its import needs what zope.interface no longer has.
        ("from .case9_9_1 import *", ""),
    ],
    "case/case.py": [
        # Equal lists may have different pickles, depending on which of their strings are the same object.
        ("pickle.dumps(obj1) == pickle.dumps(obj2)", "obj1 == obj2"),
    ],
    "case/case6_x_x.py": [
        ("res = v.validate(vss[:i])", 'res = v.validate(vss[:i].encode("latin-1"))'),
    ],
    "case/case12_x_x.py": [
        # Autobahn has renamed these since the cases were written.
        ("requestNoContextTakeover", "request_no_context_takeover"),
        ("requestMaxWindowBits", "request_max_window_bits"),
        ("acceptNoContextTakeover", "accept_no_context_takeover"),
        ("acceptMaxWindowBits", "accept_max_window_bits"),
    ],
    "fuzzing.py": [
        # Nothing here speaks TLS, and it would bring in another dependency.
        ("from twisted.internet import reactor, ssl", "from twisted.internet import reactor"),
    ],
    "case/case10_1_1.py": [
        ("len(self.payload) / self.p.autoFragmentSize", "len(self.payload) // self.p.autoFragmentSize"),
    ],
}

# The one function of the suite that looks at the bytes of a Python 2 string, rewritten for text that stands for bytes.
HEX = "latin1_hex"
HEX_SOURCE = '''
def latin1_hex(data):
    """The hexadecimal form of bytes, or of text that stands for bytes."""
    return (data.encode("latin-1") if isinstance(data, str) else data).hex()
'''

# setuptools is not what it was; the suite needs only this of it.
PKG_RESOURCES_SOURCE = """
import pathlib

def resource_filename(package, name):
    return str(pathlib.Path(__file__).parent / package / name)
"""

# The style sheets of the HTML reports, which are not made.
REPORT_SOURCE = 'CSS_COMMON = CSS_DETAIL_REPORT = CSS_MASTER_REPORT = JS_MASTER_REPORT = ""\n'

PACKAGE_SOURCE = f"version = __version__ = {VERSION!r}\n"


def main() -> None:
    """Fetch, unpack, convert and edit, into a directory that then holds the package ``autobahntestsuite``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        package = work / "converted" / "autobahntestsuite"
        unpack(fetch(work), package)
        convert(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(work / "converted", target)


def fetch(work: Path) -> Path:
    """Let pip download the archive and compare its hash."""
    requirements = work / "requirements.txt"
    requirements.write_text(f"autobahntestsuite=={VERSION} --hash=sha256:{SHA256}\n")
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--requirement", requirements]
    subprocess.run([sys.executable, "-m", "pip", "download", "--dest", work, *options], check=True)
    return work / f"autobahntestsuite-{VERSION}.tar.gz"


def unpack(archive: Path, package: Path) -> None:
    """Take the parts that the fuzzing client needs."""
    with tarfile.open(archive) as tar:
        for member, name in members(tar):
            source = tar.extractfile(member)
            if source:
                destination = package / name
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(source.read())


def members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """The files of the wanted parts, with their names inside the package."""
    prefix = f"autobahntestsuite-{VERSION}/autobahntestsuite/"
    for member in tar.getmembers():
        name = member.name.removeprefix(prefix)
        if member.isfile() and name != member.name and name.split("/")[0] in PARTS:
            yield member, name


def convert(package: Path) -> None:
    """Python 3 out of Python 2, in place."""
    for path in package.rglob("*.py"):
        # Read byte by byte, each byte of a literal becomes the character that stands for it.
        source = path.read_text(encoding="latin-1").replace("coding=utf-8", "coding=latin-1")
        path.write_text(source, encoding="latin-1")
    (package / "__init__.py").write_text(PACKAGE_SOURCE)
    (package / "report.py").write_text(REPORT_SOURCE)
    subprocess.run(
        [sys.executable, "-m", "fissix", "--write", "--nobackups", "--no-diffs", package],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for path in package.rglob("*.py"):
        source = path.read_text(encoding="latin-1")
        for name in ("binascii.b2a_hex(", "binascii.hexlify("):
            if name in source:
                source = source.replace(name, f"{HEX}.{HEX}(")
                source = add_import(source)
        # Every Python 3 class is an object, and object may not stand before it.
        source = source.replace("(object, Case, )", "(Case, )")
        for old, new in EDITS.get(path.relative_to(package).as_posix(), []):
            if old not in source:
                raise SystemExit(f"{path.name} is not what it was: no {old!r}")
            source = source.replace(old, new)
        path.write_text(source, encoding="latin-1")
    (package.parent / f"{HEX}.py").write_text(HEX_SOURCE)
    (package.parent / "pkg_resources.py").write_text(PKG_RESOURCES_SOURCE)


def add_import(source: str) -> str:
    """Import the rewritten function in the first line that is neither a comment nor empty."""
    lines = source.split("\n")
    if f"import {HEX}" in lines:
        return source
    first = next(index for index, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    return "\n".join([*lines[:first], f"import {HEX}", *lines[first:]])


if __name__ == "__main__":
    main()
