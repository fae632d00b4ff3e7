"""One child process: how it is started, what it says, and how it ends.

It tells by lines on a socket of its own (`notify`) that it is ready and what it does. Its output is passed on line by
line with its name in front, so that the lines of many children make one log; or it has our own output, where it is to
outlive us. It is in a process group of its own: Ctrl-C reaches the supervisor alone, which stops everything in order.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairway.supervisor.notify import FD_VARIABLE, LONGEST_LINE

OUTPUT_LINE = 16 * 1024
"""Bytes of an output line; a longer one is cut in pieces."""

TAIL = 30
"""Lines of output that are kept, to tell why a child did not start."""

PIECE = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a child is made.

    Parameters:
        name: what the log calls it.
        command: program and arguments.
        environ: added to our own environment.
        descriptors: open files that it gets under the same numbers.
        outlives_us: it has our output as it is, and so can go on writing when we have died.
        start_timeout: seconds until it must be ready.
        grace: seconds from SIGTERM to SIGKILL.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    outlives_us: bool = False
    start_timeout: float = 60.0
    grace: float = 30.0


class ChildProcess:
    """A process that was started, until it has ended. Belongs to the running event loop.

    Raises:
        OSError: there is no such program, or no room for another process.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._loop = asyncio.get_running_loop()
        self.name = recipe.name
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.exit_code: int | None = None
        """As in `subprocess`: below 0 the number of a signal."""
        self.status = ""
        self.report: Mapping[str, Any] = {}
        self.tail: deque[str] = deque(maxlen=TAIL)
        """The last lines of its output, unless it has ours."""
        self._lines = LineCutter(LONGEST_LINE, self._told)
        self._output = LineCutter(OUTPUT_LINE, self._said)
        self._notify, theirs = socket.socketpair()
        self._pipe: int | None = None
        output = None
        if not recipe.outlives_us:
            self._pipe, output = os.pipe()
            os.set_blocking(self._pipe, False)
        try:
            self._popen = subprocess.Popen(  # noqa: S603  our own commands
                recipe.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(), *recipe.descriptors),
                env={**os.environ, **recipe.environ, FD_VARIABLE: str(theirs.fileno())},
                process_group=0,
            )
        except BaseException:
            self._close()
            raise
        finally:
            theirs.close()
            if output is not None:
                os.close(output)
        self._notify.settimeout(0)
        self._loop.add_reader(self._notify, self._read_notify)
        if self._pipe is not None:
            self._loop.add_reader(self._pipe, self._read_output)
        threading.Thread(target=self._wait, name=f"wait-{recipe.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(number)

    def _wait(self) -> None:
        code = self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        self._read_notify()
        self._read_output()
        self._output.flush()
        self._close()
        self.exit_code = code
        self.ended.set()

    def _close(self) -> None:
        if self._notify.fileno() >= 0:
            self._loop.remove_reader(self._notify)
            self._notify.close()
        if self._pipe is not None:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None

    # --- what it says ------------------------------------------------------------------------------------------------

    def _read_notify(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._notify.recv(PIECE):
                self._lines.feed(data)
            self._loop.remove_reader(self._notify)

    def _read_output(self) -> None:
        """Pass on what there is. A child that writes on and on is read a piece a turn, so that nobody else waits."""
        if self._pipe is None:
            return
        with contextlib.suppress(OSError):
            data = os.read(self._pipe, PIECE)
            self._output.feed(data)
            if not data:
                self._loop.remove_reader(self._pipe)

    def _told(self, line: bytes) -> None:
        name, _, value = line.decode(errors="replace").partition("=")
        if name == "READY":
            self.ready.set()
        elif name == "STATUS":
            self.status = value
        elif name == "REPORT":
            with contextlib.suppress(ValueError):
                self.report = json.loads(value)

    def _said(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self.tail.append(text)
        pass_on(f"{self.name} | {text}\n")


def pass_on(text: str) -> None:
    """Write a whole line to our standard error; where nobody reads it, it is lost."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def describe_exit(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


class LineCutter:
    """Cuts a stream of bytes into lines.

    Parameters:
        limit: the longest line; a longer one comes in pieces.
        take: is given each line, without its end.
    """

    def __init__(self, limit: int, take: Callable[[bytes], None]) -> None:
        self._limit = limit
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            for start in range(0, len(line) or 1, self._limit):
                self._take(line[start : start + self._limit])
        while len(self._rest) >= self._limit:
            self._take(self._rest[: self._limit])
            self._rest = self._rest[self._limit :]

    def flush(self) -> None:
        """Take what has no end as a line: no more will come."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""
