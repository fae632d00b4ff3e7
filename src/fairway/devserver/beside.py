"""What runs in threads of its own beside the workers of a development server: the delay servers.

The command gives it to us, since it comes from rooms that stand above this one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

STOP_WAIT = 1.0
"""Seconds for one of them to end; its threads do not keep the process."""


class Beside(Protocol):
    """Something that runs until it is stopped."""

    def start(self) -> None:
        """Begin, in a thread of its own."""

    def stop(self, timeout: float) -> object:
        """Wait for the end, for so many seconds at most."""


Make = Callable[[], Sequence[Beside]]
"""Makes what is to run: called once all layers are in place."""


def make_none() -> Sequence[Beside]:
    """Make nothing."""
    return ()


@contextmanager
def running(make: Make) -> Iterator[None]:
    """Let what is made run for as long as the context lasts."""
    started: list[Beside] = []
    try:
        for one in make():
            started.append(one)
            one.start()
        yield
    finally:
        for one in started:
            one.stop(STOP_WAIT)
