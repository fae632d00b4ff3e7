"""Start a program for a test, know when it is ready, and see what it printed when it was not."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
STOP_DEADLINE = 10.0
CLUSTER_BUS = 10000
"""So far above its port a Redis of a Cluster listens for the others."""
TEST_PROCESSES = 16
"""Beyond so many, two of them share their ports."""


class Program:
    """A running program, its port if it has one, and everything it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int = 0) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for_output(self, text: str, deadline: float = 20.0) -> None:
        """Wait until it has printed ``text``; a program that ends before that fails the test with what it said."""

        def printed() -> bool:
            if text in self.output():
                return True
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {text!r}:\n{self.output()}")
            return False

        wait_until(printed, f"{text!r}", deadline)

    def wait_for_port(self, deadline: float = 20.0) -> None:
        """Wait until somebody accepts connections on its port."""

        def open_() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.output()}")
            with contextlib.closing(socket.socket()) as probe:
                probe.settimeout(1)
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(open_, f"port {self.port}", deadline)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Signal it, wait, and kill it if it does not go. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


@contextlib.contextmanager
def running(
    arguments: Sequence[str | Path],
    *,
    port: int = 0,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Program]:
    """Run a program for the length of a ``with`` block. With a port, the block begins when the port answers."""
    with tempfile.TemporaryDirectory(prefix="fairway-test-") as directory:
        log = Path(directory) / "output"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [os.fspath(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
            )
        program = Program(process, log, port)
        try:
            if port:
                program.wait_for_port()
            yield program
        finally:
            program.stop()
            # What the program started and left behind goes too; a group of its own makes that safe.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running_python(*arguments: str | Path, port: int = 0, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """``running`` for a Python program, on the interpreter of the tests."""
    with running([sys.executable, *arguments], port=port, env=env) as program:
        yield program


def free_port() -> int:
    """A port of 127.0.0.1 that is free, with the Cluster bus of a Redis there, and that stays free until it is used.

    It lies below what the system gives to outgoing connections, and no test that runs beside this one gets the same.
    """
    while True:
        port = next(_ports)
        if all(_is_free(number) for number in (port, port + CLUSTER_BUS)):
            return port


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _own_ports() -> Iterator[int]:
    """Go round the ports of this process of the test run, from a place that differs from run to run."""
    here = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % TEST_PROCESSES
    ports = [*range(12000 + here, 22000, TEST_PROCESSES)]
    start = random.SystemRandom().randrange(len(ports))
    return itertools.cycle(ports[start:] + ports[:start])


_ports = _own_ports()
