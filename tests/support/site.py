"""The project in tests/faults/site as it is run on a host: server and workers, each a program; and what they left."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fairway.layers.base import Layer
from fairway.layers.codec import decode_message
from fairway.supervisor.control import ask
from tests.support.berths import reach
from tests.support.processes import ROOT, Program, free_port, running
from tests.support.waiting import wait_until

PROJECT = ROOT / "tests" / "faults" / "site"


class Run(NamedTuple):
    """One line of the records: a consumer has begun."""

    channel: str
    id: str
    retries: int
    attempt: int
    pid: int
    time: float


class Site:
    """A project, a folder for its hub and its records, and a port.

    Parameters:
        folder: an empty one with a short path, because the hub's socket lies there.
        layer: the URL of a Redis that takes the place of the hub.
    """

    def __init__(self, folder: Path, layer: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.hub = folder / "hub.sock"
        self._layer = layer
        self.env = {"SITE": str(folder), "SITE_LAYER": layer, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    @contextlib.contextmanager
    def harbour(self, port: int = 0, silence: float = 1.0) -> Iterator[Program]:
        """A running server of the layer, for which processes without a sign are soon dead."""
        command = [sys.executable, str(ROOT / "tests/faults/harbour.py"), self._layer, str(port or self.port)]
        with running([*command, str(silence)], env=self.env) as program:
            program.wait_for_output("serving")
            yield program

    @contextlib.contextmanager
    def serve(self, *options: str) -> Iterator[Program]:
        """A running `fairway serve`."""
        bind = f"127.0.0.1:{self.port}"
        command = ["serve", "--layer", f"local://{self.hub}", "--bind", bind, "--drain=0", *options]
        with running([sys.executable, "-m", "fairway.cli", *command], env=self.env, cwd=PROJECT) as program:
            program.wait_for_output("serving", 60)
            yield program

    @contextlib.contextmanager
    def workers(self, processes: int = 2, threads: int = 4) -> Iterator[Program]:
        """A running `manage.py runworker`, all of whose processes are ready."""
        command = ["manage.py", "runworker", f"--processes={processes}", f"--threads={threads}"]
        with running([sys.executable, *command], env=self.env, cwd=PROJECT) as program:
            wait_until(lambda: program.output().count("channels: ") >= processes, f"{processes} workers", 60)
            yield program

    @contextlib.contextmanager
    def up(self, *options: str) -> Iterator[Program]:
        """A running `fairway up`, all of whose processes are ready."""
        bind = f"127.0.0.1:{self.port}"
        command = ["up", "--layer", f"local://{self.hub}", "--bind", bind, "--drain=0", *options]
        with running([sys.executable, "-m", "fairway.cli", *command], env=self.env, cwd=PROJECT) as program:
            program.wait_for_output("serving", 60)
            wait_until(lambda: self.status().get("ready"), "everything ready", 60)
            yield program

    def status(self) -> dict[str, Any]:
        """What runs, asked at the control socket; empty when nobody answers."""
        try:
            return dict(list(ask(f"{self.hub}.ctl", "status", 10))[-1])
        except OSError:
            return {}

    def reload(self) -> None:
        """`fairway reload`, to its end."""
        command = [sys.executable, "-m", "fairway.cli", "reload", "--layer", f"local://{self.hub}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=PROJECT)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_worker(self) -> None:
        """Kill a worker of `fairway up`, one that works: new code that dies while it starts is no deploy."""
        pids = wait_until(self._working, "a worker that works", 60)
        with contextlib.suppress(ProcessLookupError):  # it may have gone by itself: there are reloads
            os.kill(random.choice(pids), signal.SIGKILL)

    def _working(self) -> list[int]:
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] in ("ready", "stopping")]

    @contextlib.contextmanager
    def seen(self) -> "Iterator[Seen]":
        """What consumers publish, read by this process."""
        layer = reach(self._layer or f"local://{self.hub}", 10)
        try:
            yield Seen(layer)
        finally:
            layer.close()

    def url(self, path: str, scheme: str = "ws", port: int = 0) -> str:
        """The address of a path."""
        return f"{scheme}://127.0.0.1:{port or self.port}/{path}"

    def runs(self) -> list[Run]:
        """All runs of all consumers so far."""
        runs = self.folder / "runs"
        if not runs.exists():
            return []
        found = []
        for line in runs.read_text().splitlines():
            channel, name, retries, attempt, pid, at = line.split(" ")
            found.append(Run(channel, name, int(retries), int(attempt), int(pid), float(at)))
        return found

    def run_twice(self, channels: str = "") -> list[tuple[str, int, int]]:
        """The runs that were no repeats by their attempt, and yet there were before: (id, retries, attempt).

        Looks at channels whose names begin with `channels`.
        """
        seen: set[tuple[str, int, int]] = set()
        twice = []
        for run in self.runs():
            if not run.channel.startswith(channels):
                continue
            key = (run.id, run.retries, run.attempt)
            if key in seen:
                twice.append(key)
            seen.add(key)
        return twice


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def holds(pid: int, client: tuple[str, int]) -> bool:
    """Whether a process holds the server's end of a connection from that address."""
    remote = f":{client[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{fields[9]}]" for fields in lines if fields[2].endswith(remote)}
    return any(str(link.readlink()) in inodes for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())


def kill_one(parent: int, sig: int = signal.SIGKILL) -> int:
    """Kill one of the children of a process; return which."""
    pid = random.choice(wait_until(lambda: children(parent), f"a child of {parent}"))
    os.kill(pid, sig)
    return pid


class Seen:
    """What consumers send to the channel `seen`: what a run publishes apart from its own connection."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._reader = layer.reader(["seen"])

    def close(self) -> None:
        """Read no more."""
        self._reader.close()

    def take(self, timeout: float = 60) -> dict[str, Any]:
        """The next message."""
        delivery = self._reader.receive(timeout)
        assert delivery is not None, f"nothing was published within {timeout} s: {self.layer.statistics()}"
        self._reader.commit(delivery)
        return decode_message(delivery.body)

    def has_more(self) -> bool:
        """Whether there is anything else, once everything that is sent now has been consumed."""
        self.layer.send("work", {"how": "mark"})
        return self.take() != {"work": "mark", "attempt": 1, "retries": 0}
