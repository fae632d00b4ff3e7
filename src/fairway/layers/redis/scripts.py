"""The Lua scripts of the broker.

A line `--@ base queues` in a script stands for those parts. A script may have several: what comes before one of them
needs none of its parts, so that a call that ends there does not pay for them.
"""

import functools
import hashlib
import re
from importlib import resources

NAMES = ("commit", "groups", "operator", "owner", "publish", "session", "submit", "tell", "tick")

_PARTS = re.compile("^--@ (.+)$", re.MULTILINE)


class Script:
    """One script.

    Attributes:
        source: the text that Redis loads.
        sha: what it is called by afterwards.
    """

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def _read(name: str) -> str:
    return (resources.files(__package__) / "lua" / f"{name}.lua").read_text("utf-8")


def _assemble(name: str) -> Script:
    def parts(line: re.Match[str]) -> str:
        return "\n".join(map(_read, line[1].split()))

    return Script(name, _PARTS.sub(parts, _read(name)))


@functools.cache
def scripts() -> dict[str, Script]:
    """Return all scripts by name."""
    return {name: _assemble(name) for name in NAMES}
