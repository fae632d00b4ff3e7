"""The half of `runserver` that stays: it has the interface and the hub in a thread, and starts the child again.

As in Django's own autoreload a child that ends with code 3 is started again at once: a file has changed. Other than
there, a child that dies for another reason does not take the server with it, once one has worked: one that was at work
(`kill -9`, a crash) is replaced, one that could not start waits for a change of a file.

The main thread waits for the child and for signals, all in one queue.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, Self

from django.utils.autoreload import DJANGO_AUTORELOAD_ENV, get_child_arguments

from fairway.devserver.changes import Snapshot, take_snapshot
from fairway.devserver.config import GRACE
from fairway.devserver.interface import Backing, Interface, InterfaceThread, private_address, private_folder
from fairway.devserver.orders import Orders, digest_settings
from fairway.layers.memory import MemoryLayer
from fairway.server.config import ServerConfig
from fairway.supervisor.notify import FD_VARIABLE
from fairway.supervisor.process import describe_exit

CHANGED = 3
"""The exit code by which Django's autoreload tells that a file has changed."""

LOOK_EVERY = 1.0
"""Seconds between two looks for a change, as in Django's autoreload."""

RESTART_PAUSE = 0.5
"""Seconds before a child that died at work is replaced: one that dies at once does not keep the machine busy."""

NOBODY_CONSUMES = GRACE / 4
"""Seconds for the sockets to be closed where nobody is there to consume that they are."""

CHILD_GRACE = GRACE / 2
"""Seconds from SIGTERM to SIGKILL, for a child that has nothing left to do but what is stuck."""

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def serve(config: ServerConfig, backing: Backing, say: Callable[[str], None]) -> int:
    """Serve until a signal comes, or the child gives up; return the exit code.

    Parameters:
        config: for the interface.
        backing: what carries the messages. The broker of a memory layer is opened to the child alone.
        say: shows a line to whoever runs the command.

    Raises:
        OSError: the address cannot be bound, or the hub cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        folder = ""
        if isinstance(backing.layer, MemoryLayer) and backing.address is None:
            folder = stack.enter_context(private_folder())
            backing = replace(backing, address=private_address(folder))
        interface = InterfaceThread(Interface(config, backing))
        port = interface.start()
        stack.callback(interface.close)
        hub = backing.address.path if backing.address else ""
        orders = Orders(port=port, hub=hub, folder=folder, settings=digest_settings())
        return Parent(interface, orders.as_environ(), say).run()


class Child:
    """The child process, as its parent sees it.

    Parameters:
        environ: what is added to our environment.
        on_end: called in another thread with the exit code, as in `subprocess`.
    """

    def __init__(self, environ: Mapping[str, str], on_end: Callable[[int], None]) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(0)
        theirs.set_inheritable(True)
        environ = {**os.environ, **environ, DJANGO_AUTORELOAD_ENV: "true", FD_VARIABLE: str(theirs.fileno())}
        # Ctrl-C would interrupt its imports, with a traceback. It unblocks the signal when it has a handler.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # As Django does it: whatever was meant to be inherited is.
            self._popen = subprocess.Popen(get_child_arguments(), env=environ, close_fds=False)  # noqa: S603
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self.was_ready = False
        """Whether it has ever taken messages."""
        self.is_stopping = False
        threading.Thread(target=lambda: on_end(self._popen.wait()), name="fairway-child", daemon=True).start()

    def hear(self) -> Self:
        """Take what it has told about itself."""
        told = b""
        with contextlib.suppress(OSError):
            while data := self._line.recv(65536):
                told += data
        self.was_ready |= b"READY=1\n" in told
        self.is_stopping |= b"STOPPING=1\n" in told
        return self

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        self._popen.send_signal(number)

    def close(self) -> None:
        """Let its line go."""
        self._line.close()


class Parent:
    """Keeps a child running.

    Parameters:
        interface: what the child works for; running.
        environ: what the child is told.
        say: shows a line to whoever runs the command.
    """

    def __init__(self, interface: InterfaceThread, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._interface = interface
        self._environ = environ
        self._say = say
        # Exit codes, and None for a signal that asks to stop. `put` may be called from a signal handler.
        self._events: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._child: Child | None = None
        self._has_worked = False

    def run(self) -> int:
        """Keep a child running until a signal comes, or the child gives up; return the exit code."""
        with self._handled_signals():
            exit_code = None
            while exit_code is None:
                seen = take_snapshot()
                self._child = child = Child(self._environ, self._events.put)
                try:
                    code = self._events.get()
                    exit_code = self._stop(child) if code is None else self._look_at(child.hear(), code, seen)
                finally:
                    child.close()
                    self._child = None
            self._interface.stop_serving(NOBODY_CONSUMES)
            return exit_code

    def _look_at(self, child: Child, code: int, seen: Snapshot) -> int | None:
        """Return, when it is time, None if there is to be another child after one that ended; else our exit code."""
        self._has_worked |= child.was_ready or code == CHANGED
        if code == CHANGED:
            return None
        if code == 0 or not self._has_worked:
            return code if code >= 0 else 128 - code
        if child.was_ready:
            self._say(f"The process that runs your code died ({describe_exit(code)}). It is started again.")
            return None if self._wait(RESTART_PAUSE) else 0
        self._say("Your code cannot be loaded. Sockets stay open; it is tried again when a file changes.")
        while take_snapshot() == seen:
            if not self._wait(LOOK_EVERY):
                return 0
        return None

    def _wait(self, seconds: float) -> bool:
        """Wait while there is no child; False when a signal asked to stop."""
        try:
            self._events.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def _stop(self, child: Child) -> int:
        """Close the sockets while there is somebody to consume that they are closed; then end the child."""
        child.hear()
        self._interface.stop_serving(GRACE if child.was_ready and not child.is_stopping else NOBODY_CONSUMES)
        child.signal(signal.SIGTERM)
        try:
            while self._events.get(timeout=CHILD_GRACE) is None:
                continue
        except queue.Empty:
            child.signal(signal.SIGKILL)
        return 0

    # --- signals -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[None]:
        before: dict[int, Any] = {number: signal.signal(number, self._handle_first) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle_first(self, _number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, self._handle_second)
        self._events.put(None)

    def _handle_second(self, number: int, _frame: FrameType | None) -> None:
        """Leave at once: the child follows us."""
        os._exit(128 + number)
