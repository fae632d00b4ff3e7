"""How a client meets a hub: it dials, and both greet. On this host that is a hello and a welcome.

Over TCP there may be TLS before, and both show in between that they know the same secret.
"""

import os
import socket
import ssl
import struct
import sys
import time
from typing import Any

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub import greeting
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.greeting import HubRefuses, check_welcome, dial, hello, limit_sends
from fairway.layers.hub.link import Link
from fairway.layers.hub.tcp_address import TcpAddress
from fairway.layers.hub.tls import Seal
from fairway.wire.hub import (
    FRAME_LIMIT,
    REFUSED,
    Challenge,
    Frame,
    FrameBroken,
    FrameReader,
    FromHub,
    Proof,
    Refusal,
    Welcome,
    pack,
)
from fairway.wire.hub_secret import NONCE, UNBOUND, Exchange, SecretUnusable

Address = HubAddress | TcpAddress

SEND_TIMEOUT = 10.0
"""A hub that takes nothing for so long is taken for dead."""

SILENCE = 10.0
"""The same for one on another host that says nothing: it answers pings, which a process with a session sends."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 4, "TCP_KEEPALIVE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""When the system asks whether the other host is there, as far as it knows these options."""


def meet(address: Address, versions: tuple[int, int]) -> tuple[Link, Welcome]:
    """Return a connection to a hub that has greeted. Its socket waits for ever to read.

    Raises:
        LayerUnavailable: there is no hub, or it did not greet.
        HubRefuses: it does not want this client, or this client does not want it.
    """
    made = dial(address.path) if isinstance(address, HubAddress) else dial_tcp(address)
    try:
        link, welcome = _Greeting(address, versions, made).run()
        link.frames.limit = FRAME_LIMIT
        made.settimeout(None)
        limit_sends(made, SEND_TIMEOUT)
        if isinstance(address, TcpAddress):
            limit_silence(made, SILENCE)
    except BaseException as error:
        made.close()
        if isinstance(error, OSError | FrameBroken):
            msg = f"the hub at {address.name} did not greet: {error}"
            raise LayerUnavailable(msg) from error
        raise
    return link, welcome


class _Greeting:
    """What both say before anything else."""

    def __init__(self, address: Address, versions: tuple[int, int], made: socket.socket) -> None:
        self._address = address
        self._hello = hello(versions)
        self._socket = made
        self._link = Link(made, FrameReader(FromHub), [])
        self._end = time.monotonic() + greeting.HELLO_TIMEOUT

    def run(self) -> tuple[Link, Welcome]:
        if isinstance(self._address, HubAddress):
            return self._link, check_welcome(self._ask(self._hello), self._address.path)
        try:
            return self._link, self._exchange(self._address)
        except (InvalidLayerSetting, SecretUnusable) as error:  # a file is gone, or a peer is no hub
            msg = f"the hub at {self._address.name} cannot be greeted: {error}"
            raise HubRefuses(msg) from error

    def _exchange(self, address: TcpAddress) -> Welcome:
        """Show that we know the secret, and see that the hub does."""
        secret, *_ = address.access.secret.read()
        binding = UNBOUND
        if address.is_tls:
            seal = Seal(address.access.trust(), address.host)
            try:
                seal.shake_hands(self._socket)
            except OSError as error:
                raise SecretUnusable(_tls_trouble(error)) from error
            self._link.seal, binding = seal, seal.binding
        self._hello.nonce = os.urandom(NONCE)
        challenge = self._answer(self._hello)
        if not isinstance(challenge, Challenge):
            check_welcome(challenge, address.name)
            raise SecretUnusable("it does not ask for the secret, so it is not the hub that is meant")
        exchange = Exchange(self._hello.nonce, challenge.nonce, [binding])
        welcome = check_welcome(self._answer(Proof(exchange.prove("client", secret))), address.name)
        if not exchange.find("server", welcome.proof, [secret]):
            raise SecretUnusable("it does not know the secret, so it is not the hub that is meant")
        return welcome

    def _answer(self, frame: Frame) -> Frame:
        """Say something to a hub that may refuse a stranger, whom it does not tell why."""
        answer = self._ask(frame)
        if isinstance(answer, Refusal) and answer.reason == REFUSED:
            raise SecretUnusable("it refuses; is the secret the same on both sides? Its log says why")
        return answer

    def _ask(self, frame: Frame) -> Frame:
        """Say something, and return what is answered; what comes right after it is kept."""
        data = pack(frame)
        self._socket.sendall(data if self._link.seal is None else self._link.seal.close(data))
        while True:
            self._socket.settimeout(max(0.001, self._end - time.monotonic()))
            frames: list[Any] | None = self._link.receive()
            if frames is None:
                msg = f"the hub at {self._address.name} hung up instead of greeting"
                raise LayerUnavailable(msg)
            if frames:
                answer, *self._link.early = frames
                return answer  # type: ignore[no-any-return]


def _tls_trouble(error: OSError) -> str:
    """Return what is wrong with a hub's TLS, and the remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; name its authority with ca"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason}); does it speak TLS there (fairway serve --hub-certificate)?"
    return f"the TLS handshake failed: {error}"


def dial_tcp(address: TcpAddress) -> socket.socket:
    """Return a socket that is connected to a hub on another host. Its timeout is that of a hello.

    Raises:
        LayerUnavailable: nobody listens there.
    """
    made: socket.socket | None = None
    try:
        made = socket.create_connection((address.host, address.port), greeting.HELLO_TIMEOUT)
        tune(made)
    except OSError as error:
        if made:  # the other side was quick to end it
            made.close()
        remedy = "start `fairway serve --hub-bind` there, or correct the URL of the layer"
        msg = f"no hub answers at {address.name} ({error.strerror or error}); {remedy}"
        raise LayerUnavailable(msg) from error
    return made


def tune(made: socket.socket, patience: float = SILENCE) -> None:
    """Have small frames leave at once, and a host that is gone be noticed.

    Parameters:
        made: the connection.
        patience: seconds for which the other host may acknowledge nothing, or take nothing.
    """
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**KEEP_ALIVE, "TCP_USER_TIMEOUT": int(patience * 1000)}.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def limit_silence(made: socket.socket, seconds: float) -> None:
    """Bound how long a blocking socket waits for its peer to say something."""
    if sys.platform != "win32":
        whole, part = divmod(seconds, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(whole), int(part * 1e6)))
