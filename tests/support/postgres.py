"""A PostgreSQL server of a test's own, without a port: in a folder, and gone with it."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.components import require_component
from tests.support.waiting import wait_until

OPTIONS = ["-c", "fsync=off", "-c", "listen_addresses=", "-c", "max_connections=30"]


@contextlib.contextmanager
def postgres() -> Iterator[dict[str, object]]:
    """Run a server; what it yields is a database for Django's settings."""
    server = Path(require_component("postgres")).resolve()
    # PostgreSQL refuses to run as root, and a socket's path is short.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="fairway-pg-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = folder / "data"
        initdb = [server.with_name("initdb"), "-D", data, "-U", "fairway", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(initdb, user=user, cwd=folder, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        command = [server, "-D", data, "-k", folder, *OPTIONS]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            ready = [server.with_name("pg_isready"), "-q", "-h", folder, "-U", "fairway"]
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL", 30)
            yield {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "fairway",
                "HOST": str(folder),
            }
        finally:
            process.send_signal(2)  # "fast": it waits for no client
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
