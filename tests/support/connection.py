"""One socket on a chain, as its server has it: it keeps the state that consumers save, and sends it along."""

import json
from typing import Any

from fairway.layers.codec import unpack_value
from tests.support.chain import CLIENT, Chain


class Connection:
    """Messages of one connection, one after the other.

    Parameters:
        chain: where it is served.
        headers: of the handshake.
        query_string: of the handshake.
    """

    def __init__(
        self, chain: Chain, headers: Any = (), query_string: bytes = b"", path: str = "/", reply: str = CLIENT
    ) -> None:
        self.chain = chain
        self.handshake = {"headers": [list(header) for header in headers], "query_string": query_string}
        self.path = path
        self.reply = reply
        self.state: dict[str, bytes] = {}
        self.order = 0

    def connect(self) -> list[dict[str, Any]]:
        """Run the connect; return what was answered."""
        return self.run("websocket.connect", **self.handshake)

    def receive(self, text: str = "") -> list[dict[str, Any]]:
        """Run a frame of the client; return what was answered."""
        return self.run("websocket.receive", text=text)

    def run(self, channel: str, **content: Any) -> list[dict[str, Any]]:
        """Run any message; return what was answered."""
        frames, changes = len(self.chain.frames(self.reply)), len(self.chain.states(self.reply))
        self.chain.run(channel, {"path": self.path, **content}, self.reply, self.order, state=dict(self.state) or None)
        self.order += 1
        for change in self.chain.states(self.reply)[changes:]:
            self.state.update({key: value for key, value in change.items() if value is not None})
            for key in [key for key, value in change.items() if value is None]:
                self.state.pop(key, None)
        return self.chain.frames(self.reply)[frames:]

    @property
    def session(self) -> dict[str, Any] | None:
        """What is stored of the channel session; None when nothing is."""
        packed = self.state.get("fairway.session")
        return None if packed is None else json.loads(unpack_value(packed))
