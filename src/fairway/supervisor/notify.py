"""How a process tells whoever started it that it is ready, what it is doing, and that it stops.

Two listeners are known, and a process may have both: systemd (sd_notify(3), the socket in `NOTIFY_SOCKET`) and one of
our own supervisors (the descriptor in `FAIRWAY_NOTIFY_FD`). Both are told lines such as `READY=1` and `STATUS=text`.

The descriptor also tells the other way round: it hangs up when the supervisor dies, however that happens.
"""

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

FD_VARIABLE = "FAIRWAY_NOTIFY_FD"
LONGEST_VALUE = 1000
"""Characters of one value: a status is a line for a person."""

LONGEST_LINE = 64 * 1024
"""Bytes of one line to a supervisor; a report beyond it is not sent."""

ROOM_TIMEOUT = 1.0
"""Seconds to wait for room in the middle of a line: a supervisor that reads so slowly hangs."""


class Notifier:
    """Tells systemd and a supervisor, as far as there are any; telling nobody is fine, and so is a listener that died.

    Parameters:
        environ: where the listeners are found. What is found is removed, so that no grandchild speaks in our name.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._systemd = _connect(environ.pop("NOTIFY_SOCKET", ""))
        self._supervisor = _adopt(environ.pop(FD_VARIABLE, ""))
        self._lock = threading.RLock()
        """Whole lines to the supervisor, from whatever thread; a signal handler may come in between."""
        self.watchdog = _watchdog(environ)
        """Seconds between two calls of `alive` that systemd expects; None when it does not watch."""

    @property
    def has_supervisor(self) -> bool:
        """Whether one of our supervisors started this process, and its line is open."""
        return self._supervisor is not None

    def ready(self) -> None:
        """Say that the work has begun."""
        self.tell(READY="1")

    def status(self, text: str) -> None:
        """Say in words for a person what this process is doing."""
        self.tell(STATUS=text)

    def stopping(self) -> None:
        """Say that the process has begun to stop."""
        self.tell(STOPPING="1")

    def reloading(self) -> None:
        """Say that new code or settings are being taken; `ready` ends it."""
        self.tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def alive(self) -> None:
        """Tell systemd's watchdog that all is well."""
        self.tell(WATCHDOG="1")

    def tell(self, **values: str) -> None:
        """Say anything: names of sd_notify(3), or ones that only our supervisors know. Never waits, never raises."""
        lines = (f"{name}={' '.join(value.split())[:LONGEST_VALUE]}\n" for name, value in values.items())
        data = "".join(lines).encode()
        if self._systemd is not None:
            with contextlib.suppress(OSError):
                os.write(self._systemd, data)
        self._write(data)

    def report(self, content: Mapping[str, Any]) -> None:
        """Give our supervisor figures to sum up; systemd is not told."""
        data = b"REPORT=" + json.dumps(content).encode() + b"\n"
        if len(data) <= LONGEST_LINE:
            self._write(data)

    def _write(self, data: bytes) -> None:
        """Write to the supervisor what there is room for: all of it or nothing."""
        if self._supervisor is None:
            return
        with self._lock, contextlib.suppress(OSError):
            left = data[os.write(self._supervisor, data) :]
            while left:
                _wait_room(self._supervisor)
                left = left[os.write(self._supervisor, left) :]

    def when_supervisor_dies(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from a thread of its own, when our supervisor is gone; never, where there is none."""
        if self._supervisor is not None:
            thread = threading.Thread(target=_wait_hang_up, args=(self._supervisor, callback), name="supervisor-watch")
            thread.daemon = True
            thread.start()


def _wait_hang_up(descriptor: int, callback: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    with contextlib.suppress(OSError):
        while poll.poll():
            if not _is_open(descriptor):
                break
    callback()


def _wait_room(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll(ROOM_TIMEOUT * 1000)


def _is_open(descriptor: int) -> bool:
    """Say whether there is a supervisor behind a descriptor that has something to tell; take what it said."""
    try:
        return bool(os.read(descriptor, 1024))
    except BlockingIOError:
        return True


def _connect(address: str) -> int | None:
    if not address:
        return None
    # An abstract socket is written with an at-sign.
    name = "\0" + address[1:] if address.startswith("@") else address
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    line.settimeout(0)
    try:
        line.connect(name)
    except OSError:
        line.close()
        return None
    return line.detach()


def _adopt(number: str) -> int | None:
    try:
        descriptor = int(number)
        os.set_inheritable(descriptor, False)  # noqa: FBT003  as os has it
        os.set_blocking(descriptor, False)
    except (ValueError, OSError, OverflowError):
        return None
    return descriptor


def _watchdog(environ: MutableMapping[str, str]) -> float | None:
    """Return half of what systemd allows, as sd_watchdog_enabled(3) advises."""
    time_allowed, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not time_allowed.isdecimal() or (process and process != str(os.getpid())):
        return None
    return int(time_allowed) / 2_000_000 or None
