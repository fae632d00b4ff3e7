"""The hub's listening ends for other hosts: where they are, with which certificate, and what is refused there.

Whoever knocks is a `Stranger` until it has shown that it knows the secret. The files of certificate and secret are
looked at again now and then: both are replaced without a restart, which would close every socket of the server.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub.doorway import BACKLOG
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.stranger import HELLO_TIMEOUT, Stranger
from fairway.layers.hub.tcp_address import PLAIN, TLS, is_loopback, join, split
from fairway.layers.hub.tls import server_context
from fairway.wire.hub_secret import UNBOUND

if TYPE_CHECKING:
    from fairway.layers.hub.server import HubServer

logger = logging.getLogger("fairway.hub")

PASSIVE = socket.AI_PASSIVE
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Why an address of a name cannot be bound which this host does not have, such as one of IPv6."""

STRANGERS = 100
"""Connections that have not shown the secret yet; of more the oldest goes, as whoever is honest is quick."""

ACCEPT_PAUSE = 1.0
"""Seconds to wait when the system has no descriptor left."""

COMPLAIN_EVERY = 60.0
"""Seconds between two lines in the log about clients that are refused for the same reason."""


@dataclass(frozen=True, kw_only=True)
class TcpSettings:
    """Where a hub listens for other hosts.

    Parameters:
        binds: each `HOST:PORT`; an empty host is every address of this one.
        certificate, key: PEM files; without them there is no TLS, which only a loopback address may lack.
        secret: where the secret is.
    """

    binds: tuple[str, ...]
    certificate: str = ""
    key: str = ""
    secret: SecretSource = field(default_factory=lambda: SecretSource(setting="--hub-secret-file"))


class TcpDoorway:
    """Listening sockets, and the strangers in front of them.

    Raises:
        InvalidLayerSetting: one of the settings cannot be used; the text says which, why, and the remedy.
    """

    def __init__(self, settings: TcpSettings, hello_timeout: float = HELLO_TIMEOUT) -> None:
        self.hello_timeout = hello_timeout
        self.strangers: dict[Stranger, None] = {}
        """The oldest first."""
        self.refused = 0
        """How many were."""
        self.secrets: tuple[str, ...] = ()
        self.context: ssl.SSLContext | None = None
        self.bindings: tuple[bytes, ...] = (UNBOUND,)
        """To what the proofs of clients may be bound: to this certificate, or the one before."""
        self.bound: list[str] = []
        """Where it listens, as URLs."""
        self._settings = settings
        self._places = [_place(bind, has_tls=bool(settings.certificate)) for bind in settings.binds]
        if settings.key and not settings.certificate:
            msg = f"--hub-key {settings.key} needs the certificate that it belongs to: --hub-certificate"
            raise InvalidLayerSetting(msg)
        self._seen = self._look()
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._complaint = ""
        self._complaints: dict[str, tuple[float, int]] = {}
        self._load()

    # --- files -------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        self.secrets = self._settings.secret.read()
        if self._settings.certificate:
            self.context, binding = server_context(self._settings.certificate, self._settings.key)
            self.bindings = tuple(dict.fromkeys([binding, self.bindings[0]]))[: 2 if self._has_bound else 1]

    @property
    def _has_bound(self) -> bool:
        return self.bindings != (UNBOUND,)

    def _look(self) -> list[tuple[int, int] | None]:
        files = (self._settings.certificate, self._settings.key, self._settings.secret.file)
        return [_identity(file) for file in files]

    def renew(self) -> None:
        """Read the files again if they have changed. What cannot be used is told once, and the old goes on."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._load()
        except InvalidLayerSetting as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                logger.error("what the hub had before goes on: %s", error)  # noqa: TRY400  told
        else:
            self._complaint = ""
            logger.info("the hub has read its certificate and its secret again")

    # --- listening ---------------------------------------------------------------------------------------------------

    async def start(self, hub: "HubServer") -> None:
        """Listen on the running loop.

        Raises:
            LayerUnavailable: it cannot be done at one of the addresses.
        """
        loop = asyncio.get_running_loop()
        for host, port in self._places:
            try:
                opened = listen(host, port)
            except OSError as error:
                self.close()
                msg = (
                    f"no hub can be opened at {join(host, port)}: {error.strerror or error}; stop what listens there, "
                    "or choose another --hub-bind"
                )
                raise LayerUnavailable(msg) from error
            self._listening += opened
        scheme = TLS if self.context else PLAIN
        self.bound = [f"{scheme}://{join(*made.getsockname()[:2])}" for made in self._listening]
        self._accepting = [loop.create_task(self._accept(made, hub)) for made in self._listening]

    async def _accept(self, listening: socket.socket, hub: "HubServer") -> None:
        """Let strangers come, one after the other, and not before there is a descriptor for them."""
        while True:
            try:
                made, _ = await hub.loop.sock_accept(listening)
            except OSError as error:
                logger.error("no connection can be taken at the hub's TCP address: %s", error)  # noqa: TRY400  told
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                Stranger(self, hub, made)

    def close(self) -> None:
        """Listen no more; whoever is a stranger still has to go."""
        for task in self._accepting:
            task.cancel()
        for listening in self._listening:
            listening.close()
        for stranger in tuple(self.strangers):
            stranger.abort()

    # --- strangers ---------------------------------------------------------------------------------------------------

    def come(self, stranger: Stranger) -> None:
        """Note who knocks."""
        if len(self.strangers) >= STRANGERS:
            next(iter(self.strangers)).refuse("it was the oldest of too many that had not shown the secret yet")
        self.strangers[stranger] = None

    def go(self, stranger: Stranger) -> None:
        """Forget who has gone, or come in."""
        self.strangers.pop(stranger, None)

    def complain(self, who: str, reason: str, now: float) -> None:
        """Tell the log about a refusal, once a minute for each reason."""
        self.refused += 1
        due, more = self._complaints.get(reason, (now, 0))
        if now < due:
            self._complaints[reason] = due, more + 1
            return
        self._complaints[reason] = now + COMPLAIN_EVERY, 0
        logger.warning("the hub refuses a client at %s: %s%s", who, reason, f" ({more} more before)" if more else "")


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at every address of a host; of every address of this one for an empty host.

    Raises:
        OSError: none could be made.
    """
    found: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, place in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=PASSIVE):
        try:
            found.append(_listen(family, place))
        except OSError as error:
            failure = error
            if error.errno not in NOT_HERE:
                break
    if failure and (not found or failure.errno not in NOT_HERE):
        for made in found:
            made.close()
        raise failure
    return found


def _listen(family: int, place: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)  # noqa: FBT003
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(place)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _place(bind: str, *, has_tls: bool) -> tuple[str, int]:
    try:
        host, port = split(bind)
    except ValueError as error:
        msg = f"--hub-bind {bind} is no address: {error}"
        raise InvalidLayerSetting(msg) from None
    if not has_tls and not is_loopback(host):
        msg = (
            f"--hub-bind {bind} is open to other hosts, and without TLS whoever is in between could read and change "
            "everything; give --hub-certificate and --hub-key, or bind 127.0.0.1"
        )
        raise InvalidLayerSetting(msg)
    return host, port


def _identity(file: str) -> tuple[int, int] | None:
    """Return what changes when a file does."""
    with contextlib.suppress(OSError):
        if file:
            found = Path(file).stat()
            return found.st_ino, found.st_mtime_ns
    return None
