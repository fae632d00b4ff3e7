"""Where a server listens: `HOST:PORT`, `[IPv6]:PORT`, `unix:PATH?mode=0660&group=NAME`, `fd:N`; and how it begins to.

A Unix socket is bound under another name and renamed, so whoever finds it can connect. One that nobody listens on any
more is replaced; one that somebody does is refused. An inherited descriptor stays its owner's: it is copied, and the
file of a Unix socket that came this way is not removed.
"""

import asyncio
import errno
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from fairway.errors import CannotListen

BACKLOG = 2048
MODE = 0o660
"""Of a Unix socket, unless told otherwise: the proxy in front is in the group."""

LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes that the name of a Unix socket may have."""

_TEMPORARY = ".new"
_IN_USE = "address in use: another process listens there; stop it, or choose another --bind"

Factory = Callable[[], asyncio.BaseProtocol]


class TcpBind(Struct, frozen=True):
    """A host, empty for all addresses of this machine, and a port, 0 for any that is free."""

    host: str
    port: int


class UnixBind(Struct, frozen=True):
    """The path of a Unix socket, and who may connect."""

    path: str
    mode: int = MODE
    group: str | None = None


class FdBind(Struct, frozen=True):
    """An inherited descriptor."""

    number: int


Bind = TcpBind | UnixBind | FdBind


def parse_bind(text: str) -> Bind:
    """Return what a bind means.

    Raises:
        CannotListen: it is none.
    """
    if text.startswith("unix:"):
        return _parse_unix(text)
    kind, colon, number = text.rpartition(":")
    if not colon or not number.isascii() or not number.isdigit() or int(number) > 65535:
        raise CannotListen(text, "write HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N")
    if kind == "fd":
        return FdBind(int(number))
    host = kind[1:-1] if kind.startswith("[") and kind.endswith("]") else kind
    if ":" in kind and host == kind:
        raise CannotListen(text, f"write an IPv6 host in brackets: [{kind}]:{number}")
    return TcpBind(host, int(number))


def _parse_unix(text: str) -> UnixBind:
    path, _, query = text.removeprefix("unix:").partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    try:
        mode = int(options.pop("mode", oct(MODE)), 8)
    except ValueError:
        raise CannotListen(text, "its mode is no octal number; write ?mode=0660") from None
    group = options.pop("group", None)
    if options or not 0 <= mode <= 0o777:
        raise CannotListen(text, "a Unix socket takes ?mode=0660 and &group=NAME, and nothing else")
    if not path:
        raise CannotListen(text, "it has no path")
    length = len(os.fsencode(path + _TEMPORARY))
    if length > LONGEST_PATH:
        most = LONGEST_PATH - len(_TEMPORARY)
        raise CannotListen(
            text, f"the path has {length - len(_TEMPORARY)} bytes and may have {most}; choose a shorter one"
        )
    return UnixBind(path, mode, group)


class Listener:
    """A bind on which a server listens."""

    def __init__(self, server: asyncio.Server, made: tuple[str, int] | None = None) -> None:
        self._server = server
        self._made = made
        """Path and inode of the file that was made for it."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket: several for a name with several addresses, none for a Unix socket."""
        return [bound.getsockname()[:2] for bound in self._server.sockets if bound.family != socket.AF_UNIX]

    def close(self) -> None:
        """Listen no more. The file of a Unix socket goes, unless another server has taken its place."""
        self._server.close()
        if self._made:
            path, inode = self._made
            with suppress(OSError):
                if os.stat(path).st_ino == inode:  # noqa: PTH116
                    os.unlink(path)  # noqa: PTH108


async def listen(factory: Factory, text: str) -> Listener:
    """Listen on a bind; each connection is given a protocol of the factory.

    Raises:
        CannotListen: with the address and the reason.
    """
    bind = parse_bind(text)
    loop = asyncio.get_running_loop()
    try:
        if isinstance(bind, TcpBind):
            return Listener(await loop.create_server(factory, bind.host or None, bind.port, backlog=BACKLOG))
        if isinstance(bind, FdBind):
            return Listener(await _serve(loop, factory, open_inherited(bind)))
        listening = open_unix(bind)
        return Listener(await _serve(loop, factory, listening), (bind.path, os.stat(bind.path).st_ino))  # noqa: PTH116
    except CannotListen:
        raise
    except OSError as error:
        raise cannot_listen(text, bind, error) from None


async def _serve(loop: asyncio.AbstractEventLoop, factory: Factory, bound: socket.socket) -> asyncio.Server:
    try:
        if bound.family != socket.AF_UNIX:
            return await loop.create_server(factory, sock=bound, backlog=BACKLOG)
        # From 3.13 on the loop would remove the file, which is for whoever has made it.
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        return await loop.create_unix_server(factory, sock=bound, backlog=BACKLOG, **options)
    except BaseException:
        bound.close()
        raise


def open_inherited(bind: FdBind) -> socket.socket:
    """Return a socket of our own for an inherited descriptor.

    Raises:
        CannotListen: the descriptor is not open, or no socket to listen on.
    """
    text = f"fd:{bind.number}"
    try:
        is_socket = stat.S_ISSOCK(os.fstat(bind.number).st_mode)
    except OSError:
        raise CannotListen(text, "no such descriptor is open; was it passed on to this process?") from None
    if not is_socket:
        raise CannotListen(text, "it is open, and no socket")
    inherited = socket.socket(fileno=os.dup(bind.number))
    if inherited.type != socket.SOCK_STREAM:
        inherited.close()
        raise CannotListen(text, "it is no stream socket")
    try:
        inherited.listen(BACKLOG)
    except OSError:
        inherited.close()
        raise CannotListen(text, "it is a connection, and nobody can listen on it") from None
    return inherited


def open_unix(bind: UnixBind) -> socket.socket:
    """Return a Unix socket that listens, with its file in place.

    Raises:
        CannotListen: somebody listens there, or something else lies there.
        OSError: it cannot be made.
    """
    _check_unused(bind)
    temporary = bind.path + _TEMPORARY
    with suppress(FileNotFoundError):
        os.unlink(temporary)  # noqa: PTH108
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(temporary)
        if bind.group is not None:
            _give_to_group(temporary, bind.group)
        os.chmod(temporary, bind.mode)  # noqa: PTH101
        bound.listen(BACKLOG)
        os.replace(temporary, bind.path)  # noqa: PTH105
    except BaseException:
        bound.close()
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    return bound


def _give_to_group(path: str, group: str) -> None:
    try:
        shutil.chown(path, group=group)
    except LookupError:
        raise CannotListen(f"unix:{path.removesuffix(_TEMPORARY)}", f"there is no group {group!r}") from None
    except PermissionError as error:
        reason = f"it cannot be given to group {group!r}; the user that runs this must be a member of it"
        raise CannotListen(f"unix:{path.removesuffix(_TEMPORARY)}", reason, error.errno) from None


def _check_unused(bind: UnixBind) -> None:
    text = f"unix:{bind.path}"
    path = Path(bind.path)
    if not path.exists():
        return
    if not path.is_socket():
        raise CannotListen(text, "something that is no socket lies there; remove it, or choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(bind.path)
        except ConnectionRefusedError:
            return  # a dead server's
        except BlockingIOError:
            pass  # alive, and busy
    raise CannotListen(text, _IN_USE, errno.EADDRINUSE)


def cannot_listen(text: str, bind: Bind, error: OSError) -> CannotListen:
    """Return what to raise when the system refuses a bind: with the reason and the remedy."""
    return CannotListen(text, _reason(error, bind), error.errno)


def _reason(error: OSError, bind: Bind) -> str:
    if error.errno == errno.EADDRINUSE and isinstance(bind, TcpBind):
        return _IN_USE
    if isinstance(error, socket.gaierror):
        return "the host has no address; write an address of this machine, or a name that leads to one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "the address is none of this machine; 0.0.0.0 is all that it has"
    if error.errno == errno.EACCES:
        return "permission denied; ports below 1024 and folders of others need privileges: choose another --bind"
    if error.errno == errno.ENOENT:
        return "its folder does not exist; make it, or choose another --bind"
    return os.strerror(error.errno) if error.errno else str(error)
