"""A project that sends messages for later, as it is run on a host: hub, delay servers, workers; and what arrives.

Any of its processes may be killed at any time. What arrives is counted, with the time it took place.
"""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from fairway.errors import DeliveryLost
from fairway.layers.base import Layer
from fairway.layers.codec import decode_message
from tests.support.berths import reach
from tests.support.processes import ROOT, Program, free_port, running
from tests.support.waiting import wait_until

PROJECT = ROOT / "tests" / "faults" / "later"
START = 60.0
"""Seconds that a program may take to start."""


class Kept:
    """A program that is killed now and then, and started again.

    Parameters:
        command: its arguments, after `manage.py`.
        sign: what it prints when it works.
        env: its environment.
    """

    def __init__(self, command: Sequence[str], sign: str, env: dict[str, str]) -> None:
        self._command = [sys.executable, "manage.py", *command]
        self._sign = sign
        self._env = env
        self._life = contextlib.ExitStack()
        self._outputs: list[str] = []
        self._is_running = False
        self.program: Program
        self.start()

    def start(self) -> None:
        """Start it, without waiting until it works."""
        self._is_running = True
        self.program = self._life.enter_context(running(self._command, env=self._env, cwd=PROJECT))

    def wait_ready(self) -> None:
        """Wait until it works."""
        self.program.wait_for_output(self._sign, START)

    def stop(self, sig: int = signal.SIGKILL) -> None:
        """End it, unless it is stopped already."""
        if self._is_running:
            self.program.stop(sig)
            self._outputs.append(self.program.output())
            self._life.close()
            self._is_running = False

    def output(self) -> str:
        """What it has printed in all its lives; it must be stopped."""
        return "\n".join(self._outputs)


class Arrivals:
    """Reads what the consumers of the project tell, and counts it."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.times: Counter[int] = Counter()
        """Number of a message -> how often it came."""
        self.early: list[dict[str, Any]] = []
        self.latest = 0.0
        """Seconds after its time, of the one that was latest."""
        self._reader = layer.reader(["done"], window=64)
        self._seen: set[str] = set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._reader.pause()
        self._thread.join()
        self._reader.close()

    def _read(self) -> None:
        while delivery := self._reader.receive():
            if delivery.envelope.attempt == 1 or delivery.envelope.id not in self._seen:
                self._note(decode_message(delivery.body))
            self._seen.add(delivery.envelope.id)
            with contextlib.suppress(DeliveryLost):
                self._reader.commit(delivery)

    def _note(self, told: dict[str, Any]) -> None:
        late = told["at"] - told["due"] / 1000
        if late < 0:
            self.early.append(told)
        self.latest = max(self.latest, late)
        self.times[told["number"]] += 1


class Later:
    """The project, running. Use it in a `with`.

    Parameters:
        folder: an empty one with a short path.
        database: for Django's settings.
        servers: how many delay servers there are.
    """

    def __init__(self, folder: Path, database: dict[str, object], servers: int = 1) -> None:
        self.url = f"local://{folder}/hub.sock"
        path = os.pathsep.join([str(ROOT), *sys.path])
        self.env = {"SITE": str(folder), "SITE_DATABASE": json.dumps(database), "PYTHONPATH": path}
        self._servers = servers
        self._life = contextlib.ExitStack()
        self._random = random.Random(servers)
        self.sent = 0
        self.layer: Layer
        self.arrivals: Arrivals
        self.delay_servers: list[Kept] = []
        self.worker: Kept

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as life:
            subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=self._environ, cwd=PROJECT, check=True)
            self._hub = life.enter_context(contextlib.ExitStack())
            self._hub.enter_context(self.hub())
            self.worker = self._keep(life, ["runworker", "--threads=2"], "channels: ")
            self.delay_servers = [self._keep(life, ["rundelay"], "wait for their time") for _ in range(self._servers)]
            for program in self.programs:
                program.wait_ready()
            self.layer = life.enter_context(contextlib.closing(reach(self.url, 20)))
            self.arrivals = life.enter_context(contextlib.closing(Arrivals(self.layer)))
            self._life = life.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._life.close()

    @property
    def programs(self) -> list[Kept]:
        """What may be killed."""
        return [self.worker, *self.delay_servers]

    @contextlib.contextmanager
    def hub(self) -> Iterator[Program]:
        """A running hub."""
        command = [sys.executable, ROOT / "tests/faults/harbour.py", self.url, str(free_port()), "10.0"]
        with running(command, env=self.env) as program:
            program.wait_for_output("serving", START)
            yield program

    def restart_hub(self) -> None:
        """Kill the hub and start another one, which knows nothing."""
        self._hub.close()
        self._hub.enter_context(self.hub())

    @property
    def _environ(self) -> dict[str, str]:
        return {**os.environ, **self.env}

    def _keep(self, life: contextlib.ExitStack, command: list[str], sign: str) -> Kept:
        kept = Kept(command, sign, self.env)
        life.callback(kept.stop)
        return kept

    # --- what is sent ------------------------------------------------------------------------------------------------

    def schedule(self, count: int, span: float) -> None:
        """Send so many messages for later, due at random times within `span` seconds from when each is sent."""
        for _ in range(count):
            self.schedule_one(self._random.uniform(0, span))

    def schedule_one(self, delay: float) -> None:
        """Send one message for later."""
        due = int((time.time() + delay) * 1000) + 1
        content = {"number": self.sent, "due": due}
        self.layer.send("asgi.delay", {"channel": "due", "content": content, "delay": 1, "due": due}, timeout=60)
        self.sent += 1

    def is_stored(self) -> bool:
        """Whether no request waits for a delay server."""
        channel = self.layer.statistics().channels.get("asgi.delay")
        return channel is None or channel.waiting + channel.leased == 0

    def wait_all(self) -> None:
        """Wait until all have come."""
        self.wait_for(self.sent)

    def wait_for(self, count: int, patience: float = 60) -> None:
        """Wait until so many have come; `patience` seconds may pass in which nothing comes."""
        times = self.arrivals.times
        while len(times) < count:
            had = len(times)
            wait_until(lambda had=had: len(times) > had, lambda: f"{len(times)} of {self.sent} came", patience)

    def check(self) -> None:
        """Each came once, and none early."""
        again = [number for number, times in self.arrivals.times.items() if times > 1]
        assert (again, self.arrivals.early, self.layer.dead_letters()) == ([], [], [])

    # --- deaths ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def killing(self, life: float) -> Iterator[list[float]]:
        """Kill one of the programs every `life` seconds, on average, and start it again; yields when."""
        stopping, deaths = threading.Event(), list[float]()

        def kill() -> None:
            while not stopping.wait(self._random.expovariate(1 / life)):
                victim = self._random.choice(self.programs)
                victim.stop()
                victim.start()
                deaths.append(time.monotonic())
                victim.wait_ready()

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield deaths
        finally:
            stopping.set()
            thread.join()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let nobody write to a SQLite database for the length of a `with` block."""
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
