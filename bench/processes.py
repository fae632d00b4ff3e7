"""Server processes: started, watched, ended; their CPU time and memory as the operating system counts them.

CPU time comes from each process' CPU clock (`clock_getcpuclockid(3)`): nanoseconds of user and system time over all
of its threads, where `/proc/<pid>/stat` has ticks of 10 ms. What the kernel does for a loopback send, delivery into
the receiver's socket included, counts for the sender, for every contender alike.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import BenchError

STOP_TIMEOUT = 5.0


class Process:
    """One started command, in a process group of its own, its output in a log file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start the command. It inherits the CPU affinity of the caller (see `affinity`), and `descriptors`."""
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=descriptors,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def cpu(self) -> float:
        """Return the seconds of CPU time used so far, without children."""
        return time.clock_gettime_ns(_cpu_clock(self.pid)) / 1e9

    def check(self) -> None:
        """Raise, with the end of its log, when the process is no longer there."""
        if self._popen.poll() is not None:
            raise BenchError(f"{self.name} ended with {self._popen.returncode}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of what the process printed."""
        return self._log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End the whole process group: asked first, then killed."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(STOP_TIMEOUT)
        self._signal(signal.SIGKILL)
        self._popen.wait(STOP_TIMEOUT)

    def kill(self) -> None:
        """End the process as a crash would."""
        self._signal(signal.SIGKILL)
        self._popen.wait(STOP_TIMEOUT)

    def _signal(self, number: int) -> None:
        # The group may outlive its first process, so it is signalled whether that has ended or not.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Accounts:
    """CPU time and memory of a set of processes and all of their descendants."""

    def __init__(self, processes: Sequence[Process]) -> None:
        """Account for the processes as they are now; `check` tells when the set changed under a measurement."""
        self._processes = processes
        self._pids = _with_descendants([process.pid for process in processes])

    @property
    def pids(self) -> list[int]:
        """Every process that is counted."""
        return sorted(self._pids)

    def check(self) -> None:
        """Raise when a process died or was born since: its time would be missing."""
        for process in self._processes:
            process.check()
        if _with_descendants([process.pid for process in self._processes]) != self._pids:
            raise BenchError("a server started or lost a process during the measurement")

    def cpu(self) -> float:
        """Return the seconds of CPU time used so far."""
        try:
            return sum(time.clock_gettime_ns(_cpu_clock(pid)) for pid in self._pids) / 1e9
        except OSError as error:
            self.check()
            raise BenchError("cannot read a server's CPU time") from error

    def settle(self, timeout: float = 8.0) -> float:
        """Wait until the servers have nothing left to do (bounded); return their CPU time then."""
        deadline = time.monotonic() + timeout
        before = self.cpu()
        while time.monotonic() < deadline:
            time.sleep(0.04)
            now = self.cpu()
            if now - before < 0.001:
                return now
            before = now
        return before

    def memory(self) -> int:
        """Return the bytes of anonymous and shared memory in use; pages shared between processes count once."""
        return sum(_anonymous_memory(pid) for pid in self._pids)


def _cpu_clock(pid: int) -> int:
    """Return what `clock_getcpuclockid(3)` returns on Linux."""
    return (~pid << 3) | 2


def _anonymous_memory(pid: int) -> int:
    """Sum the proportional share of memory, without pages of files (program text, which contenders share)."""
    kilobytes = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"Pss_Anon", "Pss_Shmem", "SwapPss"}:
            kilobytes += int(value.split()[0])
    return kilobytes * 1024


def _with_descendants(roots: list[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError):
                # The command name is in parentheses and may hold anything; the state and the parent follow it.
                _, _, rest = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")
                children.setdefault(int(rest.split()[1]), []).append(int(entry.name))
    found: set[int] = set()
    pending = list(roots)
    while pending:
        pid = pending.pop()
        found.add(pid)
        pending += children.get(pid, [])
    return found


@contextmanager
def affinity(cores: set[int]) -> Iterator[None]:
    """Pin this process, and what it starts meanwhile, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> tuple[set[int], set[int]]:
    """Return the server's core and the client's: the ends of the list; neighbours may be halves of one core."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, {available[-1]}
