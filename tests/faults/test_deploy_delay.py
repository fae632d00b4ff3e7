"""Deploys and stops of `fairway up` while messages wait for their time: none is lost, none comes twice or early."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.layers.base import Layer
from fairway.supervisor.control import ask
from tests.support.berths import reach
from tests.support.later import PROJECT, Arrivals
from tests.support.processes import ROOT, Program, free_port, running
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

SPAN = 6.0
"""Seconds over which messages are due."""


class Host:
    """A host on which `fairway up` runs the project. Parameters: a folder with a short path."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "db.sqlite3"
        self.hub = folder / "hub.sock"
        self.url = f"local://{self.hub}"
        # A test reads it while the delay server writes.
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.database), "OPTIONS": {"timeout": 20}}
        path = os.pathsep.join([str(ROOT), *sys.path])
        self.env = {"SITE": str(folder), "SITE_DATABASE": json.dumps(database), "PYTHONPATH": path}
        self.sent = 0

    @contextlib.contextmanager
    def up(self) -> Iterator[Program]:
        """A running `fairway up`, all of whose processes are ready."""
        command = [*self.fairway("up"), "--workers=1", f"--bind=127.0.0.1:{free_port()}", "--drain=0"]
        with running(command, env=self.env, cwd=PROJECT) as program:
            program.wait_for_output("delay-1 is ready", 60)
            yield program

    def fairway(self, command: str) -> list[str]:
        """The beginning of a command line."""
        return [sys.executable, "-m", "fairway.cli", command, f"--layer={self.url}"]

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        env = {**os.environ, **self.env}
        done = subprocess.run(
            [*command], env=env, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_delay_server(self) -> None:
        """Kill the delay server that works."""
        status: dict[str, Any] = dict(list(ask(f"{self.hub}.ctl", "status", 10))[-1])
        os.kill(status["delay_servers"][0]["pid"], signal.SIGKILL)

    def schedule(self, layer: Layer, count: int, after: float) -> None:
        """Send messages that are due over some seconds, `after` so many."""
        now = time.time()
        for number in range(count):
            due = int((now + after + SPAN * number / count) * 1000)
            content = {"number": self.sent, "due": due}
            layer.send("asgi.delay", {"channel": "due", "content": content, "delay": 1, "due": due}, timeout=20)
            self.sent += 1

    def count_stored(self) -> int:
        """How many messages wait in the database."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM fairway_delay_delayedmessage").fetchone()
        return int(count)


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with a database that has all tables."""
    host = Host(tmp_path_factory.mktemp("d"))
    host.run(sys.executable, "manage.py", "migrate", "--verbosity=0")
    return host


def test_each_comes_once_while_delay_servers_are_replaced_and_killed(host: Host) -> None:
    with host.up() as program, contextlib.closing(reach(host.url, 20)) as layer:
        with contextlib.closing(Arrivals(layer)) as arrivals:
            host.schedule(layer, 300, 0.5)
            host.run(*host.fairway("reload"))
            host.kill_delay_server()
            host.schedule(layer, 300, 0.5)
            host.run(*host.fairway("reload"))
            wait_until(lambda: len(arrivals.times) == host.sent, "all messages", 60)
            assert set(arrivals.times.values()) == {1}
            assert arrivals.early == []
        wait_until(lambda: host.count_stored() == 0, "an empty table", 20)
        assert program.stop() == 0


def test_what_waits_at_a_stop_comes_after_the_next_start(host: Host) -> None:
    with host.up() as program, contextlib.closing(reach(host.url, 20)) as layer:
        host.schedule(layer, 200, 3)
        assert program.stop() == 0
    assert host.count_stored() == 200
    with (
        host.up(),
        contextlib.closing(reach(host.url, 20)) as layer,
        contextlib.closing(Arrivals(layer)) as arrivals,
    ):
        wait_until(lambda: len(arrivals.times) == 200, "all messages", 60)
        assert set(arrivals.times.values()) == {1}
        assert arrivals.early == []
