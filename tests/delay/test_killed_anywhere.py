"""A delay server is killed at each line of its code, and the next one does the rest: nothing is lost, nothing twice."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairway.delay.models import DelayedMessage
from fairway.delay.server import DelayServer
from fairway.layers import LocalLayer
from tests.delay.harness import QUICK, Ears
from tests.support.hubs import HubThread
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

MINUTE = 60_000
STEP = 11
"""Of so many lines it is killed at one; in `make soak` at each."""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


class Dying:
    """What kills delay servers; see `dying.py`."""

    def __init__(self, hub: str, settings: dict[str, object]) -> None:
        command = [sys.executable, str(Path(__file__).with_name("dying.py")), hub, json.dumps(settings)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def kill_at(self, line: int) -> bool:
        """Run a server until it is killed at that line; False, when it had done its work before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        said = self.process.stdout.readline()
        assert said in ("killed\n", "done\n")
        return said == "killed\n"

    def close(self) -> None:
        self.process.communicate(timeout=30)


def ask(layer, line):
    """A message, one with a key, and one that is cancelled at once."""
    now = time.time_ns()
    message = {"channel": "reports", "content": {"line": line}}
    layer.send("asgi.delay", {**message, "delay": 1})
    layer.send("asgi.delay", {**message, "content": {"key": line}, "delay": 1, "key": "daily", "sent": now})
    layer.send("asgi.delay", {**message, "delay": MINUTE, "key": "never", "sent": now})
    layer.send("asgi.delay", {"channel": "reports", "key": "never", "sent": now + 1, "cancel": True})


def do_the_rest(hub, path):
    with contextlib.closing(LocalLayer(path)) as layer:
        server = DelayServer(layer, limits=QUICK)
        server.start()
        wait_until(lambda: not requests(hub) and not DelayedMessage.objects.waiting().exists(), "the rest")
        assert server.stop()


def requests(hub):
    """How many have not been acknowledged."""
    channel = hub.layer.statistics().channels.get("asgi.delay")
    return channel.waiting + channel.leased if channel else 0


@pytest.mark.parametrize("step", [STEP, pytest.param(1, marks=pytest.mark.soak)])
def test_nothing_is_lost_and_nothing_comes_twice(step, database, tmp_path):
    path = str(tmp_path / "h")
    settings = database.settings
    if database.vendor == "sqlite":
        settings = {**settings, "OPTIONS": {"timeout": 5}}  # as it is: what is killed is to lie safe on the disk
    with HubThread(path) as hub, contextlib.closing(Dying(path, settings)) as dying:
        ears = Ears(hub.layer, "reports")
        line, is_killed = 1, True
        while is_killed:
            ask(hub.layer, line)
            is_killed = dying.kill_at(line)
            do_the_rest(hub, path)
            assert sorted(map(str, (ears.take(), ears.take()))) == [f"{{'key': {line}}}", f"{{'line': {line}}}"]
            assert not ears.has_more()
            line += step
        assert hub.layer.statistics().dead_letters == 0
    assert line > 300
