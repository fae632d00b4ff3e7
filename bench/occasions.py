"""What happens once in a while and is no load: a server starts, a worker is killed, Redis comes back empty.

Each is tried several times with real processes on all cores; what counts is the median.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.client import connections
from bench.contenders import FairwayHub, FairwayJoined, FairwayRedis, Running
from bench.contenders.base import free_port
from bench.errors import BenchError
from bench.plan import HOLD_SOCKET
from bench.processes import Process
from bench.restarts import SOCKETS, restarts
from bench.wire import TEXT, masked_frame

TIMEOUT = 20.0
KILLS, STARTS, RESTARTS = 15, 10, 7
QUICK = 3


@dataclass
class Occasion:
    """One thing that happened several times, in `unit`, and the most that it may be."""

    key: str
    title: str
    unit: str
    goal: float
    values: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def median(self) -> float:
        """The middle of what was found."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, object]:
        """Return everything that was found."""
        return asdict(self)


Happening = Callable[[FairwayHub, int], Iterator[tuple[float, ...]]]


def watch_occasions(contender: FairwayHub, say: Callable[[str], None], *, quick: bool) -> list[Occasion]:
    """Let everything happen; what fails is there with its error."""
    found = []
    for occasions, happen, count in _occasions_of(contender):
        try:
            for values in happen(contender, QUICK if quick else count):
                for occasion, value in zip(occasions, values, strict=True):
                    occasion.values.append(value)
        except (BenchError, OSError, ValueError) as error:
            for occasion in occasions:
                occasion.error = str(error)
        for occasion in occasions:
            say(f"{occasion.title}: {occasion.error or f'{occasion.median:.1f} {occasion.unit}'}")
        found += occasions
    return found


def _occasions_of(contender: FairwayHub) -> list[tuple[list[Occasion], Happening, int]]:
    """Return what happens to a contender: what is found each time, what makes it happen, and how often it does."""
    if isinstance(contender, FairwayRedis | FairwayJoined):
        title = f"{contender.key}, Redis restarted empty under {SOCKETS:,} sockets: until a group send reaches all"
        return [([Occasion(f"restart-{contender.key}", title, "ms", 2_000)], restarts, RESTARTS)]
    killed = Occasion("killed-worker", "killed worker: until its message runs again", "ms", 100)
    ready = Occasion("serve-ready", "fairway serve: from its start until it is ready", "ms", 500)
    resident = Occasion("serve-resident", "fairway serve: resident memory when idle", "MiB", 60)
    return [([killed], _kills, KILLS), ([ready, resident], _starts, STARTS)]


def _starts(contender: FairwayHub, count: int) -> Iterator[tuple[float, float]]:
    """Start the interface server alone; yield the milliseconds until it was ready, and its MiB then."""
    for _ in range(count):
        running = Running([free_port()])
        with _readiness() as (descriptor, wait_ready):
            try:
                began = time.monotonic()
                contender.start_server(running, running.port, notify=descriptor)
                wait_ready(running.processes[-1])
                socket.create_connection(("127.0.0.1", running.port), timeout=1).close()
                seconds = time.monotonic() - began
                time.sleep(0.5)
                yield seconds * 1e3, _resident(running.processes[-1].pid) / 1024
            finally:
                running.stop()


def _kills(contender: FairwayHub, count: int) -> Iterator[tuple[float]]:
    """Kill the one of two workers that holds a message; yield the milliseconds until the other has begun it."""
    running = Running([free_port()])
    with ExitStack() as stack:
        pipes = stack.enter_context(ExitStack())
        stack.callback(running.stop)
        reports = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        path = contender.folder / HOLD_SOCKET
        path.unlink(missing_ok=True)
        reports.bind(str(path))
        reports.settimeout(TIMEOUT)
        contender.start_server(running, running.port)
        workers = [_ready_worker(contender, running, number, pipes) for number in range(2)]
        for number in range(count):
            with connections(running.ports, ["/hold/"]) as [client]:
                client.send(masked_frame(TEXT, b"hold this"))
                pid, _ = _begun(reports, attempt=1)
                victim = next(worker for worker in workers if worker.pid == pid)
                killed = time.monotonic_ns()
                os.kill(pid, signal.SIGKILL)
                _, begun = _begun(reports, attempt=2)
                yield ((begun - killed) / 1e6,)
                if not select.select([client.sock], [], [], TIMEOUT)[0]:
                    raise BenchError("the message of a killed worker was not answered")
            victim.stop()
            running.processes.remove(victim)
            workers.remove(victim)
            workers.append(_ready_worker(contender, running, 2 + number, pipes))


def _begun(reports: socket.socket, *, attempt: int) -> tuple[int, int]:
    """Wait until a worker has begun the message; return its process and the instant (CLOCK_MONOTONIC, in ns)."""
    try:
        pid, found, instant = map(int, reports.recv(100).split())
    except TimeoutError:
        raise BenchError(f"attempt {attempt} of a message was not begun within {TIMEOUT:g} s") from None
    if found != attempt:
        raise BenchError(f"a message was begun as attempt {found}, not {attempt}")
    return pid, instant


def _ready_worker(contender: FairwayHub, running: Running, number: int, pipes: ExitStack) -> Process:
    descriptor, wait_ready = pipes.enter_context(_readiness())
    contender.start_worker(running, f"worker-{number}", notify=descriptor)
    wait_ready(running.processes[-1])
    return running.processes[-1]


@contextmanager
def _readiness() -> Iterator[tuple[int, Callable[[Process], None]]]:
    """Make a pipe on which a child says that it is ready; yield its end for the child, and what waits for it.

    It stays open as long as the child lives, which would take its supervisor for dead otherwise.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def wait_ready(process: Process) -> None:
        deadline, said = time.monotonic() + TIMEOUT, b""
        while b"READY=1\n" not in said:
            process.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{process.name} does not become ready:\n{process.log_tail()}")
            if select.select([reading], [], [], 0.1)[0]:
                said += os.read(reading, 4096)

    try:
        yield writing, wait_ready
    finally:
        os.close(reading)
        os.close(writing)


def _resident(pid: int) -> int:
    """Return the resident KiB of a process."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if not found:
        raise BenchError("the server is gone")
    return int(found[1])
