"""What a stream may do with its connection. HTTP/1.1 gives all of it; HTTP/2 will give one of its streams."""

from collections.abc import Sequence
from typing import Protocol

from fairway.server.exchange import Step

Pairs = Sequence[tuple[bytes, bytes]]


class Sink(Protocol):
    """Where bytes go: an `asyncio.WriteTransport`, or what stands for one."""

    def write(self, data: bytes) -> None:
        """Write bytes; they wait while the peer is slow."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait."""

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""


class Port(Protocol):
    """The connection as its stream sees it."""

    @property
    def sink(self) -> Sink:
        """Where frames are written, one for each member of a group: there every call counts."""

    reading_paused: bool
    stopping: bool

    def write(self, data: bytes) -> None:
        """Write bytes; they wait in the transport while the peer is slow."""

    def unsent(self) -> int:
        """Return how many bytes wait in the transport."""

    def date(self) -> bytes:
        """Return the value of a Date header."""

    def finished(self) -> None:
        """Learn that the response is complete: the next request may come."""

    def pause_reading(self) -> None:
        """Read no further: the peer is slowed by TCP itself."""

    def resume_reading(self) -> None:
        """Read on."""

    def respond(self, status: int, headers: Pairs, content: bytes) -> None:
        """Answer a request that was not upgraded with a whole response, and close."""

    def close(self) -> None:
        """Close once everything is written."""

    def end_writing(self) -> None:
        """Send nothing more, and say so once everything is written; what the peer still sends is read."""

    def abort(self) -> None:
        """Close now, whatever waits."""

    def log(self, step: Step) -> None:
        """Write a line to the access log."""
