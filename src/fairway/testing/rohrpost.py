"""A consumer that keeps what handlers of rohrpost send, for tests that call them by themselves."""

import json
from typing import Any


class RecordingConsumer:
    """Stands for the client of a handler: `handle(consumer=RecordingConsumer(), request={"type": "ping", "id": 1})`.

    It has no connection: what handlers do with groups, users and sessions is tested with a `WSClient`.
    """

    def __init__(self) -> None:
        self.data: list[Any] = []
        """What was sent, decoded from JSON; nothing more once it is closed."""
        self.closed = False
        """Whether `close` was called."""

    def send(self, message: str) -> None:
        """Keep a message.

        Raises:
            ValueError: it is no JSON.
        """
        content = json.loads(message)
        if not self.closed:
            self.data.append(content)

    def close(self, *_args: object, **_kwargs: object) -> None:
        """Be closed."""
        self.closed = True
