"""What the workers are told of a connection whose server process has died: its `websocket.disconnect`.

A server cannot tell it any more, so it files it beforehand, for each connection. The message lacks only its place in
the connection's numbering, which the broker counts on as messages are submitted, and the state they carry.
"""

import msgspec
from msgspec import Struct

from fairway.broker.effects import Envelope
from fairway.broker.mailbox import Letter

DISCONNECT = "websocket.disconnect"

_encode = msgspec.msgpack.Encoder().encode


class Will(Struct, gc=False):
    """The last message of one connection. `body` lacks the value of its last key, the order."""

    body: bytes
    order: int
    """The number of the last message that was submitted."""
    state: dict[str, bytes] | None = None

    def note(self, envelope: Envelope) -> None:
        """A message of the connection was submitted."""
        self.order = envelope.order
        self.state = envelope.state

    def letter(self, channel: str) -> Letter:
        """Return the message."""
        order = self.order + 1
        envelope = Envelope(f"{channel}.{order}", DISCONNECT, channel, order, state=self.state)
        return envelope, self.body + _encode(order)
