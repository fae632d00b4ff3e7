"""A PostgreSQL of a contender's own: in a folder, without a port, with the settings that it has by itself.

What is committed is on the disk, as on a site of one's own. Only vacuum does not run by itself: its moment would fall
into the time of one slice or another.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from bench.contenders.base import START_TIMEOUT, Contender, Running
from bench.errors import BenchError
from bench.plan import DATABASE
from bench.processes import Process

USER = "postgres"


class WithPostgres(Contender):
    """A contender with a PostgreSQL."""

    def missing(self) -> str:
        """Name the Python packages, then the server."""
        return super().missing() or (
            "" if _program("postgres") else "postgres is not installed (apt-get install postgresql)"
        )

    def versions(self) -> dict[str, str]:
        """Add the server's version."""
        printed = subprocess.run([_program("postgres"), "--version"], capture_output=True, text=True, check=True).stdout
        return {**super().versions(), "PostgreSQL": printed.split()[2]}

    @property
    def postgres_folder(self) -> Path:
        """Where its files and its socket are."""
        return self.folder / "postgres"

    def make_postgres(self) -> None:
        """Make an empty one."""
        folder = self.postgres_folder
        folder.mkdir()
        if _is_root():
            os.chown(folder, pwd.getpwnam(USER).pw_uid, -1)
            for outer in (self.folder, self.folder.parent):
                outer.chmod(0o711)  # so that the other user gets to its folder
        argv = [*_as_user(), _program("initdb"), "-D", str(folder / "data"), "-U", "bench", "-A", "trust", "-E", "UTF8"]
        made = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise BenchError(f"{self.key}: initdb failed:\n{made.stderr[-2000:]}")

    def start_postgres(self, running: Running) -> Process:
        """Start it, and wait until it answers."""
        folder = self.postgres_folder
        argv = [*_as_user(), _program("postgres"), "-D", str(folder / "data"), "-k", str(folder)]
        argv += ["-c", "listen_addresses=", "-c", "autovacuum=off"]
        process = self._launch(running, DATABASE, argv, cwd=folder)
        deadline = time.monotonic() + START_TIMEOUT
        while subprocess.run([_program("pg_isready"), "-q", "-h", folder], check=False).returncode:
            process.check()
            if time.monotonic() > deadline:
                raise BenchError(f"PostgreSQL does not answer:\n{process.log_tail()}")
            time.sleep(0.05)
        return process


def _is_root() -> bool:
    return os.geteuid() == 0


def _as_user() -> list[str]:
    """Return what runs a program of PostgreSQL as another user where this one is root, whom it refuses."""
    return ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"] if _is_root() else []


def _program(name: str) -> str:
    """Return where a program of PostgreSQL is, or nothing. Debian keeps the server off the path."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((str(folder / name) for folder in folders if (folder / name).exists()), "")
