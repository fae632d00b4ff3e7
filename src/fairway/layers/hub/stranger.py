"""Somebody who has connected to the hub over TCP, until it has shown that it knows the secret.

Nothing it says reaches the broker, and it costs little: a few thousand bytes, a few seconds, one of a few places. It
is told nothing but "refused"; why stands in the log. Once it is known, a `Peer` takes its connection over.
"""

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, cast

from fairway.layers.hub.meeting import SILENCE, tune
from fairway.layers.hub.peer import CLOSE_TIMEOUT, OWNER_PATIENCE, Peer
from fairway.layers.hub.tcp_address import join
from fairway.wire.hub import (
    HELLO_LIMIT,
    MAGIC,
    REFUSED,
    Challenge,
    FrameBroken,
    FrameReader,
    Hello,
    Proof,
    Refusal,
    pack,
)
from fairway.wire.hub_secret import NONCE, Exchange, SecretUnusable

if TYPE_CHECKING:
    from fairway.layers.hub.server import HubServer
    from fairway.layers.hub.tcp_doorway import TcpDoorway

logger = logging.getLogger("fairway.hub")

HELLO_TIMEOUT = 5.0
"""Seconds for all of the greeting, TLS included."""

PATIENCE = SILENCE * OWNER_PATIENCE
"""Seconds for which a client's host may acknowledge nothing: as long as a server process may read nothing. Whoever has
a session is asked for more; see `HubServer.silence`."""

NO_HELLO = "it does not speak the protocol of a hub"
WRONG_SECRET = "it does not know the secret; is it the one of this hub?"  # noqa: S105  a text


class Stranger(asyncio.Protocol):
    """A connection that nobody answers for yet."""

    def __init__(self, doorway: "TcpDoorway", hub: "HubServer", made: socket.socket) -> None:
        self._doorway = doorway
        self._hub = hub
        self._loop = hub.loop
        self._socket = made
        self._transport: asyncio.Transport | None = None
        """None before the TLS handshake is done, where there is one."""
        self._frames: FrameReader[Hello | Proof] = FrameReader(Hello | Proof, HELLO_LIMIT)
        self._size = 0
        self._hello: Hello | None = None
        self._exchange: Exchange | None = None
        self._is_done = False
        self._who = _name(made)
        self._timer = self._loop.call_later(doorway.hello_timeout, self._give_up)
        self._connecting = self._loop.create_task(self._connect())
        doorway.come(self)

    async def _connect(self) -> None:
        """Have the event loop read and write the connection, with TLS where there is any."""
        context = self._doorway.context
        try:
            tune(self._socket, PATIENCE)
            await self._loop.connect_accepted_socket(
                lambda: self,
                self._socket,
                ssl=context,
                ssl_handshake_timeout=self._doorway.hello_timeout if context else None,
            )
        except OSError as error:  # it speaks no TLS, does not trust our certificate, or has gone
            logger.debug("no TLS with %s: %s", self._who, error)
            self.refuse("the TLS handshake failed: no TLS, or our certificate is not trusted there")
        finally:
            if self._transport is None:
                self._socket.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the hello."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_done:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Go on with the greeting."""
        self._size += len(data)
        if self._size > HELLO_LIMIT:
            self.refuse(f"it sent more than {HELLO_LIMIT} bytes before it had shown the secret")
        elif not self._is_done:
            self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            frames = self._frames.receive(data)
            if not frames:
                return
            frame, *more = frames
            if more or self._frames.is_unfinished:
                self.refuse("it said more than it was asked")
            elif self._exchange is None and isinstance(frame, Hello):
                self._challenge(frame)
            elif self._exchange and isinstance(frame, Proof):
                self._check(self._exchange, frame)
            else:
                self.refuse(NO_HELLO)
        except (FrameBroken, SecretUnusable) as error:
            logger.debug("%s: %s", self._who, error)
            self.refuse(NO_HELLO)

    def _challenge(self, hello: Hello) -> None:
        if hello.magic != MAGIC:
            self.refuse(NO_HELLO)
            return
        nonce = os.urandom(NONCE)
        self._exchange = Exchange(hello.nonce, nonce, self._doorway.bindings)
        self._hello = hello
        if self._transport:
            self._transport.write(pack(Challenge(nonce)))

    def _check(self, exchange: Exchange, frame: Proof) -> None:
        found = exchange.find("client", frame.proof, self._doorway.secrets)
        if found is None or self._hello is None or self._transport is None:
            self.refuse(WRONG_SECRET)
            return
        secret, binding = found
        self._end()
        self._hello.name = f"{self._hello.name[:80]} at {self._who}"
        Peer(self._hub).take_over(self._transport, self._hello, exchange.prove("server", secret, binding))

    # --- the end -----------------------------------------------------------------------------------------------------

    def _give_up(self) -> None:
        self.refuse(f"it had not shown the secret after {self._doorway.hello_timeout:g} s")

    def refuse(self, reason: str) -> None:
        """End the connection. The other side learns that it is refused, the log why."""
        if self._is_done:
            return
        self._end()
        self._doorway.complain(self._who, reason, self._loop.time())
        if self._transport is None:
            self._hang_up()
            return
        self._transport.write(pack(Refusal(REFUSED)))
        self._transport.close()
        self._loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    def abort(self) -> None:
        """End the connection at once, without a word."""
        self._end()
        if self._transport is None:
            self._hang_up()
        else:
            self._transport.abort()

    def _hang_up(self) -> None:
        """End what no transport has been made for: who makes it notices."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody knocked and went away: a port scan, or a load balancer that wants to know whether we are there."""
        del exc
        self._end()

    def _end(self) -> None:
        self._is_done = True
        self._timer.cancel()
        self._doorway.go(self)


def _name(made: socket.socket) -> str:
    try:
        host, port = made.getpeername()[:2]
    except OSError:  # it has gone already
        return "an address that is gone"
    return join(host, port)
