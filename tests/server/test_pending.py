"""How a message decides an open handshake, row by row of the message standard (6.4), and what is kept meanwhile."""

import pytest

from fairway.limits import WebSocketLimits
from fairway.server.gate import Gate
from fairway.server.pending import EARLY, Decision, Pending, decide
from fairway.server.replies import Rejection, SocketReply
from fairway.wire.events import TextReceived
from fairway.wire.handshake import Handshake

REQUEST = Handshake(subprotocols=["chat"], deflate=None, key=b"x3JJHMbDL1EzLkh9GBhXDw==")


@pytest.mark.parametrize(
    ("reply", "decision"),
    [
        (SocketReply(accept=True), Decision.ACCEPT),
        (SocketReply(accept=True, text="hello", close=True), Decision.ACCEPT),
        (SocketReply(text="hello"), Decision.ACCEPT),
        (SocketReply(data=b"hello"), Decision.ACCEPT),
        (SocketReply(text="hello", close=4000), Decision.ACCEPT),
        (SocketReply(accept=True, close=True), Decision.ACCEPT),
        (SocketReply(accept=False), Decision.REJECT),
        (SocketReply(accept=False, text="hello"), Decision.REJECT),
        (SocketReply(close=True), Decision.REJECT),
        (SocketReply(close=4000), Decision.REJECT),
        (SocketReply(reject=Rejection(status=401)), Decision.REJECT),
        (SocketReply(text=""), Decision.NOTHING),
        (SocketReply(data=b""), Decision.NOTHING),
        (SocketReply(), Decision.NOTHING),
    ],
)
def test_each_row_of_the_standard(reply, decision):
    assert decide(reply) is decision


def test_what_the_client_sends_too_early_is_read_after_the_acceptance():
    pending = Pending(REQUEST)
    assert pending.receive(b"\x81\x81\x00\x00\x00\x00")
    assert pending.receive(b"x")
    assert b"Sec-WebSocket-Protocol: chat" in pending.accept(SocketReply(accept=True, subprotocol="chat"))
    assert list(pending.open(WebSocketLimits(), Gate()).read_on()) == [TextReceived("x")]


def test_a_client_cannot_send_much_too_early():
    pending = Pending(REQUEST)
    assert pending.receive(b"x" * EARLY)
    assert not pending.receive(b"x")
