"""One connection to Redis as bytes: what is packed goes out, and parsed replies come in. Nothing here waits unasked.

A wire is handed over connected and greeted (`opening`). One thread may read it while another one writes: a TLS
connection is one state machine for both directions, so there they take turns under a lock, and never wait in it.
"""

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any, Final

import hiredis

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import Node

READ_SIZE: Final = 256 * 1024
_MOST_READ: Final = 4 * READ_SIZE
"""Bytes of one `receive`; what is left over, the next one finds."""

_NOTHING: Final = object()

Reply = Any
"""bytes, int, None, a list of replies, or a `ReplyError` in the place of one."""

ReplyError = hiredis.ReplyError
"""A reply that is an error, as an object. It is not raised; `troubles.trouble` tells what it means."""


def pack(*arguments: str | bytes | int) -> bytes:
    """Return a command as it travels."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # its annotation forgets the "..."
    return packed


def make_parser() -> hiredis.Reader:
    """Return a parser of replies: `feed` it bytes, and ask it by `parsed`."""
    return hiredis.Reader(notEnoughData=_NOTHING)


def parsed(parser: hiredis.Reader, node: Node) -> list[Reply]:
    """Return the replies that are complete.

    Raises:
        LayerUnavailable: what came is not the protocol of Redis.
    """
    replies: list[Reply] = []
    try:
        while (reply := parser.gets()) is not _NOTHING:
            replies.append(reply)
    except hiredis.ProtocolError as error:
        raise unavailable(node, f"does not speak as Redis does: {error}") from error
    return replies


def unavailable(node: Node, reason: object) -> LayerUnavailable:
    """Return the error that says why a server cannot be used."""
    return LayerUnavailable(f"Redis at {node} {reason}")


class Wire:
    """A connected and greeted socket.

    Parameters:
        connected: belongs to the wire from now on; it may speak TLS.
        node: whom it leads to.
    """

    def __init__(self, connected: socket.socket, node: Node) -> None:
        connected.settimeout(0)
        self.socket = connected
        self.node = node
        self._tls = connected if isinstance(connected, ssl.SSLSocket) else None
        self._turn = threading.Lock()
        self._parser = make_parser()
        self._unread: list[Reply] = []

    def fileno(self) -> int:
        """Return the number of the socket; -1 once the wire is closed."""
        return self.socket.fileno()

    def send(self, data: bytes | memoryview) -> int:
        """Send what there is room for now, and return how many bytes that was; the rest is sent next, or nothing more.

        Raises:
            LayerUnavailable: the connection is lost.
        """
        try:
            if self._tls is None:
                return self.socket.send(data)
            with self._turn:
                return self._tls.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError as error:
            raise unavailable(self.node, f"is lost: {error.strerror or error}") from error

    def sendall(self, data: bytes | memoryview, timeout: float | None = None) -> None:
        """Send all, and wait for room.

        Raises:
            LayerUnavailable: the connection is lost, or there was no room for it all within `timeout` seconds.
        """
        sent = self.send(data)
        if sent == len(data):
            return
        end = None if timeout is None else time.monotonic() + timeout
        rest = memoryview(data)[sent:]
        while rest:
            if not self._wait(select.POLLOUT, end):
                raise unavailable(self.node, f"takes no more data; waited {timeout:g} s")
            rest = rest[self.send(rest) :]

    def receive(self) -> list[Reply]:
        """Return the replies that have come, without waiting for any; after it nothing is hidden from a `poll`.

        Raises:
            LayerUnavailable: the connection is lost.
        """
        if self._unread:
            replies, self._unread = self._unread, []
            return replies
        try:
            if self._tls is None:
                data = self.socket.recv(READ_SIZE)
                self._feed(data)
            else:
                with self._turn:
                    self._read_records(self._tls)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        except OSError as error:
            raise unavailable(self.node, f"is lost: {error.strerror or error}") from error
        return parsed(self._parser, self.node)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is something to `receive`, at most `timeout` seconds (None: for ever); say whether."""
        if self._unread:
            return True
        return self._wait(select.POLLIN, None if timeout is None else time.monotonic() + timeout)

    def ask(self, *commands: bytes, timeout: float) -> list[Reply]:
        """Send packed commands, and wait for the reply to each; for conversations in which nobody else takes part.

        Raises:
            LayerUnavailable: the connection is lost, or they have not all been answered within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        self.sendall(b"".join(commands), timeout)
        replies: list[Reply] = []
        while len(replies) < len(commands):
            if not self.wait(max(0.0, end - time.monotonic())):
                raise unavailable(self.node, f"gave no answer within {timeout:g} s")
            replies += self.receive()
        self._unread = replies[len(commands) :]
        return replies[: len(commands)]

    def close(self) -> None:
        """Hang up. A thread that waits for the wire finds it lost."""
        with self._turn:
            # It wakes who polls the socket. SSLSocket's own would also forget that this is TLS.
            with suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
            self.socket.close()

    def _read_records(self, tls: ssl.SSLSocket) -> None:
        """Read until OpenSSL holds nothing back: it takes whole records from the socket, of up to 16 KiB."""
        total = 0
        try:
            while total < _MOST_READ or tls.pending():
                data = tls.recv(READ_SIZE)
                self._feed(data)
                total += len(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return

    def _feed(self, data: bytes) -> None:
        if not data:
            raise unavailable(self.node, "has closed the connection")
        self._parser.feed(data)

    def _wait(self, event: int, end: float | None) -> bool:
        number = self.socket.fileno()
        if number < 0:
            raise unavailable(self.node, "is lost: the connection was closed here")
        poll = select.poll()
        poll.register(number, event)
        return bool(poll.poll(None if end is None else max(0.0, end - time.monotonic()) * 1000))
