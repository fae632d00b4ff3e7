"""Somebody who has connected to the hub over TCP, until it has shown that it knows the secret.

Nothing it says reaches the broker, and it costs little: a few thousand bytes, a few seconds, one of a few places. It
is told nothing but "refused"; why stands in the log. Once it is known, a `Peer` takes its connection over.
"""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, cast

from fairway.layers.hub.meeting import tune
from fairway.layers.hub.peer import CLOSE_TIMEOUT, Peer
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

NO_HELLO = "it does not speak the protocol of a hub"
WRONG_SECRET = "it does not know the secret; is it the one of this hub?"  # noqa: S105  a text


class Stranger(asyncio.Protocol):
    """A connection that nobody answers for yet."""

    def __init__(self, doorway: "TcpDoorway", hub: "HubServer") -> None:
        self._doorway = doorway
        self._hub = hub
        self._loop = hub.loop
        self._raw = cast("asyncio.Transport", None)
        self._transport: asyncio.Transport | None = None
        """What frames are written to: TLS, where there is any, once its handshake is done."""
        self._frames: FrameReader[Hello | Proof] = FrameReader(Hello | Proof, HELLO_LIMIT)
        self._early = b""
        self._size = 0
        self._hello: Hello | None = None
        self._exchange: Exchange | None = None
        self._timer = cast("asyncio.TimerHandle", None)
        self._tls: asyncio.Task[None] | None = None
        self._who = "an unknown address"
        self._is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with TLS, or wait for the hello."""
        self._raw = cast("asyncio.Transport", transport)
        tune(self._raw.get_extra_info("socket"))
        peer = self._raw.get_extra_info("peername")
        self._who = join(*peer[:2]) if peer else self._who
        self._timer = self._loop.call_later(self._doorway.hello_timeout, self._give_up)
        self._doorway.come(self)
        if self._doorway.context is None:
            self._transport = self._raw
        else:
            self._raw.pause_reading()
            self._tls = self._loop.create_task(self._start_tls())

    async def _start_tls(self) -> None:
        context = self._doorway.context
        assert context is not None  # noqa: S101  this is why it is called
        try:
            transport = await self._loop.start_tls(
                self._raw, self, context, server_side=True, ssl_handshake_timeout=self._doorway.hello_timeout
            )
        except (OSError, RuntimeError) as error:  # it speaks no TLS, does not trust our certificate, or has gone
            if not self._is_done:
                logger.debug("no TLS with %s: %s", self._who, error)
                self.refuse("the TLS handshake failed: no TLS, or our certificate is not trusted there")
            return
        if self._is_done or transport is None:
            self._raw.abort()
            return
        self._transport = transport
        early, self._early = self._early, b""
        if early:
            self._read(early)

    def data_received(self, data: bytes) -> None:
        """Go on with the greeting."""
        self._size += len(data)
        if self._size > HELLO_LIMIT:
            self.refuse(f"it sent more than {HELLO_LIMIT} bytes before it had shown the secret")
        elif self._transport is None:
            self._early += data
        else:
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
            self._raw.abort()
            return
        self._transport.write(pack(Refusal(REFUSED)))
        self._transport.close()
        self._loop.call_later(CLOSE_TIMEOUT, self._raw.abort)

    def abort(self) -> None:
        """End the connection at once, without a word."""
        self._end()
        self._raw.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody knocked and went away: a port scan, or a load balancer that wants to know whether we are there."""
        del exc
        self._end()

    def _end(self) -> None:
        self._is_done = True
        self._timer.cancel()
        self._doorway.go(self)
