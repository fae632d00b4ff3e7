"""The processes of a live server, as a test sees them: what they say, how they begin and how they end.

Each has one end of a line: it tells there that it is ready, and ends itself when the other end is gone, however this
process dies. Its output goes to a file, of which the end is shown when something is wrong.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from fairway.errors import StartFailed
from fairway.supervisor.notify import FD_VARIABLE
from fairway.supervisor.process import describe_exit

START_TIMEOUT = 60.0
"""Seconds until a process must be ready: a spawned one loads the whole project, on a machine that may be busy."""

STOP_TIMEOUT = 20.0
"""Seconds from SIGTERM to SIGKILL."""

LAST_LINES = 40

PAUSE = 0.005


class Handle(Protocol):
    """A process that was started."""

    def exit_code(self) -> int | None:
        """Return how it ended, as in `subprocess`; None while it runs."""

    def signal(self, number: int) -> None:
        """Send it a signal."""


class LiveProcess:
    """A process, its line and its output.

    Parameters:
        name: what messages call it.
        folder: where its output goes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._line, self._theirs = socket.socketpair()
        self._handle: Handle | None = None

    def spawn(self, command: Sequence[str], descriptors: Sequence[int] = ()) -> Self:
        """Start a program. It has no other open files of ours."""
        with self.log.open("wb") as sink:
            popen = subprocess.Popen(  # noqa: S603  our own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=(self._theirs.fileno(), *descriptors),
                env={**os.environ, FD_VARIABLE: str(self._theirs.fileno())},
                process_group=0,  # Ctrl-C is for the test run, which ends us
            )
        self._theirs.close()
        self._handle = _Spawned(popen)
        return self

    def fork(self, work: Callable[[], int], others: Sequence["LiveProcess"]) -> Self:
        """Start a copy of this process that does some work, and nothing else.

        Parameters:
            work: returns the exit code.
            others: live processes whose lines the copy must not hold open.
        """
        pid = os.fork()
        if pid:
            self._theirs.close()
            self._handle = _Forked(pid)
            return self
        code = 1
        try:
            self._begin_copy(others)
            code = work()
        except BaseException:  # noqa: BLE001  the copy must not go on with what its original was doing
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _begin_copy(self, others: Sequence["LiveProcess"]) -> None:
        os.setpgid(0, 0)
        for process in others:
            process._line.close()  # noqa: SLF001  our own kind
        self._line.close()
        self._take_output()
        os.environ[FD_VARIABLE] = str(self._theirs.fileno())

    def _take_output(self) -> None:
        """Send what this process says to the file; a test runner may have put something else in the place of both."""
        sink = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(sink, number)
        os.close(sink)
        sys.stdout = open(1, "w", closefd=False, buffering=1)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until it is ready.

        Raises:
            StartFailed: it is not; with the last lines of its output.
        """
        end = time.monotonic() + timeout
        told = b""
        while b"READY=1\n" not in told:
            left = end - time.monotonic()
            if left <= 0:
                raise StartFailed(self.name, f"was not ready within {timeout:g} s", self.last_lines())
            if not select.select([self._line], [], [], left)[0]:
                continue
            data = self._line.recv(65536)
            if not data:
                raise StartFailed(self.name, f"ended before it was ready ({self._how()})", self.last_lines())
            told += data

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and has not ended."""
        return self._handle is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """How it has ended, as in `subprocess`; None while it runs, and before."""
        return None if self._handle is None else self._handle.exit_code()

    @property
    def has_ended(self) -> bool:
        """Whether it was started, and is gone."""
        return self.exit_code is not None

    def last_lines(self) -> list[str]:
        """Return the end of its output."""
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return []

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End it: gently, and by force after `timeout` seconds."""
        if self.is_running:
            self._signal(signal.SIGTERM)
            if self._wait(timeout) is None:
                self._signal(signal.SIGKILL)
                self._wait(timeout)
        self._theirs.close()
        self._line.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._handle.signal(number)  # type: ignore[union-attr]  # it is running

    def _wait(self, timeout: float) -> int | None:
        """Wait until it has ended; return its exit code, None when the time was not enough."""
        end = time.monotonic() + timeout
        while (code := self.exit_code) is None and time.monotonic() < end:
            time.sleep(PAUSE)
        return code

    def _how(self) -> str:
        code = self._wait(STOP_TIMEOUT)
        return "it hung up" if code is None else describe_exit(code)


class _Spawned:
    """A program as a `Handle`."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def exit_code(self) -> int | None:
        """See `Handle.exit_code`."""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """See `Handle.signal`."""
        self._popen.send_signal(number)


class _Forked:
    """A copy of this process as a `Handle`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._exit_code: int | None = None

    def exit_code(self) -> int | None:
        """See `Handle.exit_code`."""
        if self._exit_code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code

    def signal(self, number: int) -> None:
        """See `Handle.signal`."""
        os.kill(self._pid, number)
