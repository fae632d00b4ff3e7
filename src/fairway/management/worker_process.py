"""A worker process under Django: signals stop it, its supervisor and systemd hear of it, and it ends without a hang.

Exit codes: 0 after a stop in which all was finished, and when the process has retired; 1 when consumers were cut off
because they took longer than the grace; 128 + the signal's number after a second signal.
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from fairway.database import care_by_message
from fairway.limits import WorkerLimits
from fairway.signals import worker_process_ready, worker_ready
from fairway.supervisor.notify import Notifier
from fairway.worker.loop import Worker
from fairway.worker.process import WorkerProcess

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
"""SIGHUP too: a terminal that closes is no reason to lose messages."""


SAME_STOP = 1.0
"""A supervised process takes signals that come so close together for one: systemd sends its SIGTERM to every process of
a unit, and the supervisor then passes its own on."""


def run_workers(workers: Sequence[Worker], limits: WorkerLimits) -> int:
    """Run workers until a signal comes, or they retire; return the exit code.

    Does not return when a consumer goes on that nobody can end: then the process ends here.
    """
    notifier = Notifier()
    process = WorkerProcess(workers, limits, notifier, worker_ready.send)
    notifier.when_supervisor_dies(lambda: process.stop("the supervisor is gone"))
    worker_process_ready.send(workers[0])
    patience = SAME_STOP if notifier.has_supervisor else 0.0
    stopped = stopped_by_signals(process, patience) if _is_main() else _stopped_at_exit(process, limits.grace)
    with care_by_message(), stopped:
        code = 0 if process.run() else 1
    if not process.has_ended:
        leave(code)
    return code


def _is_main() -> bool:
    """Say whether signals arrive in this thread. Under autoreload they do not."""
    return threading.current_thread() is threading.main_thread()


class Stoppable(Protocol):
    """A process that can be told to stop, also by a signal handler."""

    def stop(self, reason: str) -> None:
        """Let it stop."""


@contextmanager
def stopped_by_signals(process: Stoppable, patience: float) -> Iterator[None]:
    """Let the first signal stop a process gently, and the second end it at once.

    Parameters:
        patience: signals that come so close together (seconds) are taken for one.
    """
    asked: list[float] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        now = time.monotonic()
        if asked and now - asked[0] < patience:
            return
        if asked:
            # No logging: the thread that is interrupted may be in the middle of it.
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{name} again: leaving at once\n".encode())
            os._exit(128 + number)
        asked.append(now)
        process.stop(name)

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _stopped_at_exit(process: WorkerProcess, grace: float) -> Iterator[None]:
    """Let the end of the process wait for what runs: autoreload runs us in a thread that it would cut off."""
    ended = threading.Event()

    def stop() -> None:
        process.stop("the code has changed")
        ended.wait(grace)

    atexit.register(stop)
    try:
        yield
    finally:
        ended.set()
        atexit.unregister(stop)


def leave(code: Any) -> None:
    """End the process as `sys.exit` would, although a thread runs on, for which the interpreter might wait for ever."""
    atexit._run_exitfuncs()  # noqa: SLF001  what the project wants done at the end is done all the same
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
