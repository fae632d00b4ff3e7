"""The delay server on each database: a hub, a worker process, `manage.py rundelay`, and a process that schedules."""

from __future__ import annotations

import socket
import sqlite3
import sys
from collections.abc import Mapping

from bench.contenders.base import Running
from bench.contenders.fairway import FairwayHub
from bench.contenders.postgres import WithPostgres
from bench.messages import End
from bench.plan import DELAY_SERVER, LATER_SOCKET, POSTGRES

RECEIVE_BUFFER = 4 * 1024 * 1024


class DelaySqlite(FairwayHub):
    """The delay server on SQLite, as Django opens it."""

    key = "delay-sqlite"
    title = "rundelay on SQLite"

    @property
    def env(self) -> dict[str, str]:
        """Name the settings with the delay app."""
        return {**super().env, "DJANGO_SETTINGS_MODULE": "bench.apps.fairway.delay_settings", "BENCH_LAYER": self.layer}

    def versions(self) -> dict[str, str]:
        """Add the database's version."""
        return {**super().versions(), "SQLite": sqlite3.sqlite_version}

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        path = self.folder / LATER_SOCKET
        path.unlink(missing_ok=True)
        running.arrivals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        running.arrivals.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        running.arrivals.bind(str(path))
        super()._start(running, extra)
        argv = [sys.executable, "manage.py", "rundelay"]
        self._launch(running, DELAY_SERVER, argv, cwd=self.project, env={**self.env, **extra})
        ours, theirs = socket.socketpair()
        running.ends.append(End(ours))
        with theirs:
            argv = [sys.executable, "-m", "bench.scheduler", str(theirs.fileno())]
            self._launch(running, "scheduler", argv, env={**self.env, **extra}, descriptors=[theirs.fileno()])


class DelayPostgres(WithPostgres, DelaySqlite):
    """The delay server on PostgreSQL."""

    key = "delay-postgres"
    title = "rundelay on PostgreSQL"
    modules = (*FairwayHub.modules, "psycopg")
    distributions = (*FairwayHub.distributions, "psycopg")

    @property
    def env(self) -> dict[str, str]:
        """Name the database."""
        return {**super().env, POSTGRES: str(self.postgres_folder)}

    def prepare(self) -> None:
        """Make the database, and build the tables in it."""
        self.make_postgres()
        running = Running([])
        try:
            self.start_postgres(running)
            # Tables without migrations come first otherwise, and refer to some that are not there yet.
            self._manage("migrate", "--verbosity", "0")
            super().prepare()
        finally:
            running.stop()

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        self.start_postgres(running)
        super()._start(running, extra)
