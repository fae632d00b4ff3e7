"""The project in tests/faults/site as it is run on a host: server and workers, each a program; and what they left."""

import contextlib
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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
    """A project, a folder for its hub and its records, and a port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.hub = folder / "hub.sock"
        self.env = {"SITE": str(folder), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    @contextlib.contextmanager
    def serve(self, *options: str) -> Iterator[Program]:
        """A running `fairway serve`."""
        bind = f"127.0.0.1:{self.port}"
        command = ["serve", "--layer", f"local://{self.hub}", "--bind", bind, "--drain=0", *options]
        with running([sys.executable, "-m", "fairway.cli", *command], env=self.env, cwd=PROJECT) as program:
            program.wait_for_output("serving")
            yield program

    @contextlib.contextmanager
    def workers(self, processes: int = 2, threads: int = 4) -> Iterator[Program]:
        """A running `manage.py runworker`, all of whose processes are ready."""
        command = ["manage.py", "runworker", f"--processes={processes}", f"--threads={threads}"]
        with running([sys.executable, *command], env=self.env, cwd=PROJECT) as program:
            wait_until(lambda: program.output().count("channels: ") >= processes, f"{processes} workers", 30)
            yield program

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

    def run_twice(self) -> list[tuple[str, int, int]]:
        """The runs that were no repeats by their attempt, and yet there were before: (id, retries, attempt)."""
        seen: set[tuple[str, int, int]] = set()
        twice = []
        for run in self.runs():
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


def kill_one(parent: int, sig: int = signal.SIGKILL) -> int:
    """Kill one of the children of a process; return which."""
    pid = random.choice(wait_until(lambda: children(parent), f"a child of {parent}"))
    os.kill(pid, sig)
    return pid
