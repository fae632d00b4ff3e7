"""Real components that a test needs: found, or skipped aloud, or failed for in CI.

A test that wants a browser or a Redis server runs against the real one. Where it is missing, a developer sees the
test skipped with the line that installs it; CI, which sets ``CI``, fails, because a suite that skips is not green.
"""

import os
import shutil
from typing import Final

import pytest

# Component -> the programs that are it, and the Debian package that has one.
COMPONENTS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium"),
    "redis": (("redis-server", "valkey-server"), "redis-server"),
    "openssl": (("openssl",), "openssl"),
    "postgres": (("postgres", "pg_ctl"), "postgresql"),
}


def find_component(name: str) -> str | None:
    """The program's path, or None."""
    programs, _ = COMPONENTS[name]
    # Debian keeps the PostgreSQL server off the path.
    places = [os.environ.get("PATH", os.defpath), *_debian_postgres_directories()]
    return next((found for program in programs if (found := shutil.which(program, path=os.pathsep.join(places)))), None)


def require_component(name: str) -> str:
    """The program's path; without one the test ends here."""
    found = find_component(name)
    if found:
        return found
    missing(f"{name} is not on this machine: sudo apt-get install {COMPONENTS[name][1]}")
    raise AssertionError


def missing(reason: str) -> None:
    """End the test: as failed where CI is set, as skipped elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _debian_postgres_directories() -> list[str]:
    root = "/usr/lib/postgresql"
    if not os.path.isdir(root):  # noqa: PTH112
        return []
    return [f"{root}/{version}/bin" for version in sorted(os.listdir(root), reverse=True)]  # noqa: PTH208
