"""What is left of a WebSocket that has ended: the messages at its gate, and the news of its end.

The socket is gone, its groups are gone. What was read of the client before is still delivered, one after the other,
then `websocket.disconnect`; when that is consumed, nothing is left. A process to which the connection is pinned gets
all of it at once: it hears of the end although it has not read what came before.
"""

from contextlib import suppress

from msgspec import DecodeError

from fairway.broker.effects import Abandoned, Refused
from fairway.server.fanout import GONE, GroupMessage
from fairway.server.gate import Gate, Kind
from fairway.server.gateway import Gateway, Stream
from fairway.server.outgoing import CHANNELS, Incoming, encode_socket
from fairway.server.replies import decode_socket_reply

RETRY_DISCONNECT = 1.0
"""A `websocket.disconnect` that found no room is sent again after this; it is never dropped."""


class Record:
    """A WebSocket after its end, in its stream's place.

    Parameters:
        gateway: where it takes that place.
        stream: the stream that has ended.
        gate: its gate, with what waits there.
        path: its path.
        code: the close code to tell.
    """

    __slots__ = ("_disconnect", "_gate", "_gateway", "_path", "channel", "groups", "receive_channel", "state", "tick")

    is_answering = False

    def __init__(self, gateway: Gateway, stream: Stream, gate: Gate, path: str, code: int) -> None:
        self._gateway = gateway
        self._gate = gate
        self._path = path
        self._disconnect: bytes | None = None
        """The last message, once it is on its way."""
        self.tick = 0
        self.groups: set[str] | None = GONE
        self.channel = stream.channel
        self.state = stream.state
        gateway.replace(self)
        gate.wait(Kind.DISCONNECT, code)
        self._pin(stream.receive_channel)
        self._advance()

    def _pin(self, channel: str | None) -> None:
        self.receive_channel = channel
        if channel:
            self._gate.window = len(self._gate) + self._gate.sent + 2

    def _advance(self) -> None:
        """Send what may go out now, and vanish when everything is told."""
        gate = self._gate
        while waiting := gate.next():
            kind, payload = waiting
            order = gate.number()
            body = encode_socket(Incoming(self.channel, self._path, order), kind, payload)
            if kind is Kind.DISCONNECT:
                self._disconnect = body
                if self.receive_channel:  # the broker does not know this channel for that of the end
                    self._gateway.inbox.will(self.channel, b"", order, None)
            self._gateway.submit(self.receive_channel or CHANNELS[kind], self, order, body)
        if self._disconnect is not None and gate.done == gate.sent:
            self._vanish()

    def _vanish(self) -> None:
        self._gate.drop()
        self._gateway.deadlines.drop(self)
        self._gateway.forget(self)

    def on_done(self, order: int) -> None:
        """Open the gate."""
        self._gate.finish(order)
        self._advance()

    def on_abandoned(self, item: Abandoned) -> None:
        """Go on; but where the connect has expired, no consumer saw it, and so none is told of the end."""
        if item.reason == "expired":
            self._vanish()
        else:
            self.on_done(item.order)

    def on_refused(self, item: Refused) -> None:
        """Send the news of the end again in a while; go on after any other message that found no room."""
        is_last = self._disconnect is not None and item.order == self._gate.sent
        if is_last and item.reason != "gone":
            self._gateway.deadlines.put(self, RETRY_DISCONNECT)
        elif item.order == 0:  # the connect: nobody saw it
            self._vanish()
        else:
            self.on_done(item.order)

    def on_due(self, now: float) -> float | None:  # noqa: ARG002
        """Send the news of the end once more."""
        if self._disconnect is not None and self._gate.done < self._gate.sent:
            channel = self.receive_channel or CHANNELS[Kind.DISCONNECT]
            self._gateway.submit(channel, self, self._gate.sent, self._disconnect)
        return None

    def on_owner_gone(self) -> None:
        """Go on: what the process had is lost with it."""
        self.on_done(self._gate.sent)

    def file_will(self) -> None:
        """Nothing: its end is told already."""

    def on_frame(self, body: bytes) -> None:
        """Nothing, but where it accepts what has ended in its handshake: then it may name who waits for the end."""
        if self._gate.done < 0 and self._disconnect is None:
            with suppress(DecodeError):
                self._pin(decode_socket_reply(body).receive_channel)

    def on_join(self, group: str) -> None:
        """Nothing, as `on_frame`."""

    def on_group(self, message: GroupMessage) -> None:
        """Nothing, as `on_frame`."""

    def on_event(self, body: bytes) -> None:
        """Nothing, as `on_frame`."""

    def on_credit(self, size: int) -> None:
        """Nothing: a WebSocket has no body."""
