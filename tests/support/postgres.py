"""A PostgreSQL server of a test's own, without a port: in a folder, and gone with it."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.components import require_component
from tests.support.waiting import wait_until

OPTIONS = ["-c", "fsync=off", "-c", "listen_addresses=", "-c", "max_connections=30"]
FAST_SHUTDOWN = signal.SIGINT
"""It waits for no client."""


class PostgresServer:
    """One server, in a folder; it may be stopped and started again, and keeps what it holds."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder = folder
        self._user = user
        self._program = Path(require_component("postgres")).resolve()
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        initdb = [self._beside("initdb"), "-D", self._data, "-U", "fairway", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(initdb, user=user, cwd=folder, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr

    @property
    def settings(self) -> dict[str, object]:
        """A database for Django's settings."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "fairway",
            "HOST": str(self.folder),
        }

    def start(self) -> None:
        """Start it; once this returns it answers."""
        command = [self._program, "-D", self._data, "-k", self.folder, *OPTIONS]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, cwd=self.folder, stdout=log, stderr=log)
        ready = [self._beside("pg_isready"), "-q", "-h", self.folder, "-U", "fairway"]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL", 30)

    def stop(self) -> None:
        """Stop it, and cut all its clients off."""
        if self._process is not None:
            self._process.send_signal(FAST_SHUTDOWN)
            self._process.wait(30)
            self._process = None

    def _beside(self, name: str) -> Path:
        return self._program.with_name(name)


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server."""
    # PostgreSQL refuses to run as root, and a socket's path is short.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="fairway-pg-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        server = PostgresServer(folder, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres() -> Iterator[dict[str, object]]:
    """Run a server; what it yields is a database for Django's settings."""
    with postgres_server() as server:
        yield server.settings
