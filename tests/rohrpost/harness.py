"""A socket of a browser whose frames are requests."""

import json

from fairway.testing import WSClient, apply_routes


class Socket:
    """Asks, and gives what was answered."""

    def __init__(self, routing, url):
        self._routes = apply_routes(routing)
        self._routes.__enter__()
        self.client = WSClient()
        self.url = url
        self.client.connect(url)

    def close(self):
        self._routes.__exit__(None, None, None)

    def frame(self, text):
        """Send a text; return all that came."""
        self.client.send_and_consume("websocket.receive", text=text)
        return self.heard()

    def ask(self, kind, data=..., message_id=1, **more):
        """Send a request; return the one answer."""
        request = {"type": kind, "id": message_id, **more}
        if data is not ...:
            request["data"] = data
        (answer,) = self.frame(json.dumps(request))
        return answer

    def heard(self):
        """Return what came since the last time."""
        return list(iter(self.client.receive, None))

    def lives(self):
        """Say whether the socket still answers."""
        return self.frame('{"type": "ping", "id": "alive"}') == [{"type": "pong", "id": "alive"}]
