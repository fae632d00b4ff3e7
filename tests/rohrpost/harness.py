"""A socket of a browser whose frames are requests."""

import json
from typing import Any

from fairway.testing import Client, WSClient


class Socket:
    """Asks, and gives what was answered.

    Parameters:
        client: it has connected.
    """

    def __init__(self, client: WSClient) -> None:
        self.client = client

    def frame(self, text: str) -> list[Any]:
        """Send a text; return all that came."""
        self.client.send_and_consume("websocket.receive", text=text)
        return self.heard()

    def ask(self, kind: Any, data: Any = ..., message_id: Any = 1, **more: Any) -> Any:
        """Send a request; return the one answer."""
        request = {"type": kind, "id": message_id, **more}
        if data is not ...:
            request["data"] = data
        (answer,) = self.frame(json.dumps(request))
        return answer

    def heard(self) -> list[Any]:
        """Return what came since the last time."""
        return list(iter(self.client.receive, None))

    def lives(self) -> bool:
        """Say whether the socket still answers."""
        return self.frame('{"type": "ping", "id": "alive"}') == [{"type": "pong", "id": "alive"}]

    def raw(self) -> Any:
        """Return the next message to the client as it is."""
        return Client.receive(self.client)
