"""Listening sockets that come from outside (systemd), or are made for several server processes at once."""

import os
import socket
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from fairway.errors import CannotListen
from fairway.server.binds import (
    BACKLOG,
    FdBind,
    TcpBind,
    UnixBind,
    cannot_listen,
    open_inherited,
    open_unix,
    parse_bind,
)

FIRST_SYSTEMD_SOCKET = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def take_systemd_sockets(environ: MutableMapping[str, str] | None = None) -> list[str]:
    """Return the binds for the sockets that systemd has opened for this process (sd_listen_fds(3)), none as a rule."""
    environ = os.environ if environ is None else environ
    count, process = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not count.isdecimal() or process != str(os.getpid()):
        return []
    return [f"fd:{number}" for number in range(FIRST_SYSTEMD_SOCKET, FIRST_SYSTEMD_SOCKET + int(count))]


class SharedSockets:
    """Listening sockets for several server processes, kept open so that a process that died loses no connection.

    For TCP each process has a socket of its own on the same port (SO_REUSEPORT), and the kernel shares the connections
    out. Unix sockets and inherited ones are shared as they are: whoever is idle takes the next connection.

    Parameters:
        binds: what to listen on.
        processes: how many will listen.

    Raises:
        CannotListen: an address cannot be bound.
    """

    def __init__(self, binds: Sequence[str], processes: int) -> None:
        self._own: list[list[socket.socket]] = [[] for _ in range(processes)]
        self._common: list[socket.socket] = []
        self._made: list[tuple[str, int]] = []
        """Path and inode of each Unix socket."""
        self._names: list[str] = []
        try:
            for text in binds:
                self._open(text)
        except BaseException:
            self.close()
            raise

    def descriptors(self, process: int) -> list[int]:
        """Return what the process with that number, from 0, listens on."""
        return [bound.fileno() for bound in (*self._own[process], *self._common)]

    @property
    def bound(self) -> list[str]:
        """The addresses, as they were bound."""
        return [*map(_describe, self._own[0]), *self._names]

    def close(self) -> None:
        """Stop listening here; processes that have the sockets too go on. Takes the names of Unix sockets away."""
        for path, inode in self._made:
            with suppress(OSError):
                if os.stat(path).st_ino == inode:  # noqa: PTH116  else it is somebody else's by now
                    os.unlink(path)  # noqa: PTH108
        for bound in (*self._common, *(bound for own in self._own for bound in own)):
            bound.close()

    def _open(self, text: str) -> None:
        bind = parse_bind(text)
        try:
            if isinstance(bind, FdBind):
                self._common.append(open_inherited(bind))
                self._names.append(text)
            elif isinstance(bind, UnixBind):
                self._common.append(open_unix(bind))
                self._names.append(text)
                self._made.append((bind.path, os.stat(bind.path).st_ino))  # noqa: PTH116
            else:
                self._open_tcp(bind)
        except CannotListen:
            raise
        except OSError as error:
            raise cannot_listen(text, bind, error) from None

    def _open_tcp(self, bind: TcpBind) -> None:
        found = socket.getaddrinfo(bind.host or None, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            chosen: Any = address
            for own in self._own:
                own.append(_listen(family, chosen))
                # Of port 0 the kernel makes a number, once for all of them.
                chosen = own[-1].getsockname()


def _listen(family: int, address: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _describe(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
