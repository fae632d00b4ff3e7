"""Where the access log goes, at a price that no request feels.

Lines are gathered on the event loop and handed ten times a second to a thread, which writes them; so a request costs no
system call, and a disk or a pipe that hangs stops no socket. What waits is bounded (`BUFFER`): lines beyond it are
dropped and counted, and the server's log says so once, and once more when it is over. So it is with a reader that has
gone: it costs the lines, and nothing else.
"""

import asyncio
import logging
import os
import queue
import select
import threading
import time
from typing import Final

from fairway.errors import UsageError
from fairway.server.access_format import Format, FormatLine, new_format
from fairway.server.config import Access

logger = logging.getLogger("fairway.server")

BUFFER = 1024 * 1024
"""Bytes that may wait for the writer: some seconds of a busy server. Beyond it lines are dropped."""

FLUSH = 0.1
"""Seconds a line waits for others."""

CLOSE_TIMEOUT = 2.0
"""At the end the writer has so long to write what is left."""

STDOUT: Final = "-"
_REOPEN: Final = b""
"""What the thread is handed to open the file anew: no batch of lines is empty."""


def open_access_log(format: Format, target: str, loop: asyncio.AbstractEventLoop) -> "AccessLogWriter":  # noqa: A002
    """Return an access log that is open.

    Parameters:
        format: `common` or `json`.
        target: the path of a file, to which lines are appended; `-` is the standard output.
        loop: the event loop on which it is called.

    Raises:
        UsageError: the file cannot be opened.
    """
    return AccessLogWriter(new_format(format), _Output(target), loop)


class AccessLogWriter:
    """An access log. Call it with each `Access`, on its event loop; `close` it at the end."""

    def __init__(self, format_line: FormatLine, output: "_Output", loop: asyncio.AbstractEventLoop) -> None:
        self._format_line = format_line
        self._output = output
        self._loop = loop
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._taken = 0
        """Bytes of all lines that were taken; the thread counts what it is rid of. So neither needs a lock."""
        self._dropped = 0
        self._is_losing = False
        self._thread = threading.Thread(target=self._output.run, args=(self._queue,), name="access-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost: nobody took them in time, or at all."""
        return self._dropped + self._output.lost

    def __call__(self, access: Access) -> None:
        """Take one exchange."""
        line = self._format_line(access, time.time())
        if self._taken - self._output.done + len(line) > BUFFER:
            self._dropped += 1
            if not self._is_losing:
                self._is_losing = True
                logger.error("access log: %s takes lines too slowly; some are dropped", self._output.name)
            return
        self._taken += len(line)
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH, self._hand_over)

    def _hand_over(self) -> None:
        self._timer = None
        if self._lines:
            self._queue.put("".join(self._lines).encode("ascii"))
            self._lines.clear()
        if self._is_losing and self._taken - self._output.done < BUFFER // 2:
            self._is_losing = False
            logger.warning("access log: %s takes lines again; %d were dropped so far", self._output.name, self.dropped)

    def reopen(self) -> None:
        """Open the file anew, by its name: it was moved away to be archived. Nothing happens for standard output."""
        self._hand_over()
        self._queue.put(_REOPEN)

    def close(self) -> None:
        """Write what is left, and close. A writer that hangs is left alone after `CLOSE_TIMEOUT` seconds."""
        if self._timer:
            self._timer.cancel()
        self._hand_over()
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT)


class _Output:
    """The file, and the thread's half of the work."""

    def __init__(self, target: str) -> None:
        self.name = "standard output" if target == STDOUT else target
        self.done = 0
        self.lost = 0
        self._path = None if target == STDOUT else target
        self._has_failed = False
        try:
            self._fd = self._open()
        except OSError as error:
            raise UsageError(
                f"access log {self.name!r} cannot be opened: {error.strerror}; "
                "name another file, or - for standard output"
            ) from None

    def _open(self) -> int:
        if self._path is None:
            return os.dup(1)
        # A FIFO that nobody reads is an error now (ENXIO), and no endless wait.
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
        os.set_blocking(fd, True)
        return fd

    def run(self, waiting: "queue.SimpleQueue[bytes | None]") -> None:
        """Write what comes, until None comes."""
        while (data := waiting.get()) is not None:
            if data == _REOPEN:
                self._reopen()
            else:
                self._write(data)
                self.done += len(data)
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:  # whoever gave us this output does not wait; we do
                    poll = select.poll()
                    poll.register(self._fd, select.POLLOUT)
                    poll.poll(1000)
        except OSError as error:
            self.lost += bytes(rest).count(b"\n")
            self._say("cannot be written", error, "lines are dropped")
        else:
            self._has_failed = False

    def _reopen(self) -> None:
        if self._path is None:
            return
        try:
            fd = self._open()
        except OSError as error:
            self._say("cannot be opened again", error, "the old file is kept")
            return
        os.close(self._fd)
        self._fd, self._has_failed = fd, False

    def _say(self, what: str, error: OSError, consequence: str) -> None:
        if not self._has_failed:  # once, until it goes well again
            self._has_failed = True
            logger.error("access log: %s %s: %s; %s", self.name, what, error.strerror, consequence)
