"""What a worker runs at one moment, for people: in the log, in a status, and with its stack."""

import logging
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, NamedTuple

from fairway.broker.effects import Delivery, Policy
from fairway.worker.dispatch import describe

logger = logging.getLogger("fairway.worker")

EVENT_LOOP = "the event loop"
"""Where coroutine consumers run."""

LONGEST_STACK = 30
"""Frames of a stack that are shown, the innermost ones: below them are Django's and ours."""

MOST_NAMED = 5
"""Consumers that one line of the log or one status names."""


class Running(NamedTuple):
    """One consumer that runs."""

    delivery: Delivery
    seconds: float
    place: str
    """The name of its thread."""

    def __str__(self) -> str:
        """Tell what, how long and where."""
        return f"{describe(self.delivery)}, for {self.seconds:.0f} s in {self.place}"


def name_all(running: Iterable[Running]) -> str:
    """Return what runs as one text, the longest first."""
    ordered = sorted(running, key=lambda one: -one.seconds)
    named = [str(one) for one in ordered[:MOST_NAMED]]
    more = len(ordered) - len(named)
    return "; ".join([*named, f"and {more} more"] if more else named)


def report_stuck(running: Running, limit: float, stack: str) -> None:
    """Write to the log what ran for longer than `limit` seconds and cannot be ended, and what becomes of it."""
    envelope = running.delivery.envelope
    if envelope.policy is Policy.ONCE:
        fate = "its message is lost, since it may not run twice"
    else:
        fate = f"its message goes to another worker as attempt {envelope.attempt + 1}, if it has one left"
    text = "over the time limit of %g s: %s. This process finishes what else it runs and ends; %s.\n%s"
    logger.error(text, limit, running, fate, stack)


def thread_stack(thread: threading.Thread | int | None) -> str:
    """Return where a thread is, as a traceback would; it goes on meanwhile."""
    ident = thread.ident if isinstance(thread, threading.Thread) else thread
    frame = sys._current_frames().get(ident or 0)  # noqa: SLF001  there is no public way
    return _format((each, line) for each, line in traceback.walk_stack(frame)) if frame else ""


def coroutine_stack(coroutine: Any, thread: threading.Thread | None) -> str:
    """Return where a coroutine waits; where its thread is, if the coroutine is what runs there."""
    if getattr(coroutine, "cr_running", False):
        return thread_stack(thread)
    return _format(reversed(list(_waits(coroutine))))


def _waits(coroutine: Any) -> Iterator[tuple[FrameType, int]]:
    """Go from a coroutine to the one it awaits, and on."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield frame, frame.f_lineno
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


def _format(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Format frames that come with the innermost first."""
    innermost = [pair for pair, _ in zip(frames, range(LONGEST_STACK), strict=False)]
    stack = traceback.StackSummary.extract(reversed(innermost))
    return "".join(["Stack (most recent call last):\n", *stack.format()]).rstrip()
