"""A server's end of a real memory layer, and connects that were taken from it: what views are run from, by hand."""

from fairway.broker.effects import Done, Envelope, Frame, State
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.memory import MemoryLayer
from fairway.worker.outbox import Outbox

SOCKETS = "websocket.send.Q1!"


class Quay:
    """Messages of connections go in, and what is for them comes out."""

    def __init__(self):
        self.layer = MemoryLayer()
        self.inbox = self.layer.inbox([SOCKETS], lambda: None)
        self.reader = self.layer.reader(["websocket.connect"], 8)
        self.items = []
        self.made = 0

    def connect(self, path="/", reply=f"{SOCKETS}c1", **content):
        """Return the outbox of a connect that a worker has taken."""
        self.submit("websocket.connect", 0, {"path": path, "headers": [], **content}, reply)
        delivery = self.reader.receive(5)
        return Outbox(delivery, self.reader, self.layer)

    def submit(self, channel, order, content, reply=f"{SOCKETS}c1"):
        """Send a message of a connection."""
        self.made += 1
        body = encode_message({"reply_channel": reply, "path": "/", "order": order, **content})
        self.inbox.submit(Envelope(f"m{self.made}", channel, reply, order=order), body)

    def look(self):
        self.items += self.inbox.drain()
        return self.items

    def frames(self):
        """What connections were sent."""
        return [decode_message(item.body) for item in self.look() if isinstance(item, Frame)]

    def dones(self):
        """Which of their messages are done."""
        return [item.order for item in self.look() if isinstance(item, Done)]

    def states(self):
        """What of their state was changed."""
        return [item.changes for item in self.look() if isinstance(item, State)]
