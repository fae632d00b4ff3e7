"""What a worker asks of an application: to say which channels it reads, and to run one delivery at a time."""

from collections.abc import Collection
from typing import Protocol

from fairway.broker.effects import Delivery
from fairway.worker.outbox import Outbox
from fairway.worker.retries import Retry


class Call(Protocol):
    """One delivery, ready to run. A blocking one runs in the thread that prepared it, a coroutine on the event loop."""

    @property
    def is_coroutine(self) -> bool:
        """Whether `arun` is to be awaited; otherwise `run` is called."""

    @property
    def retry(self) -> Retry | None:
        """How the consumer is tried again; asked only after it has failed."""

    def run(self, outbox: Outbox) -> None:
        """Run the consumer and raise what it raises. `outbox` is open, and current in this context."""

    async def arun(self, outbox: Outbox) -> None:
        """Do as `run`."""


class Companion(Protocol):
    """What works beside the consumers of a worker, on threads of its own, and is stopped with it."""

    def pause(self) -> None:
        """Begin nothing more, and tell what runs that the worker stops."""

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing runs any more; False when the time was not enough."""

    def running(self) -> "Collection[tuple[Delivery, float, str]]":
        """Return what runs: the delivery it began with, its seconds, and the name of its thread."""

    def close(self) -> None:
        """Cut off what still runs, and let everything go."""


class Application(Protocol):
    """What a worker runs. It is shared by all threads of the worker."""

    @property
    def channels(self) -> Collection[str]:
        """The channels to read, asked once."""

    def prepare(self, delivery: Delivery) -> Call:
        """Decode and route one delivery. An exception here counts as one of the consumer."""

    def time_limit(self, delivery: Delivery) -> float:
        """Return for how many seconds the consumer of a delivery may run; infinity where it has no limit of its own.

        Asked from a thread that runs no consumers, and only about what has run for a while: so a limit costs nothing
        that is quick.
        """

    @property
    def companions(self) -> Collection[Companion]:
        """What works beside the consumers by now."""

    def leave_thread(self) -> None:
        """Let go what belongs to the calling thread: it runs nothing more."""
