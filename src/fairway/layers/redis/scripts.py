"""The Lua scripts of the broker, each with the parts that it names in its first line (`--@ head queues`)."""

import functools
import hashlib
from importlib import resources

NAMES = ("commit", "groups", "operator", "owner", "publish", "session", "submit", "tell", "tick")


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
    text = _read(name)
    first, _, rest = text.partition("\n")
    parts = first.removeprefix("--@ ").split()
    return Script(name, "\n".join([*map(_read, parts), rest]))


@functools.cache
def scripts() -> dict[str, Script]:
    """Return all scripts by name."""
    return {name: _assemble(name) for name in NAMES}
