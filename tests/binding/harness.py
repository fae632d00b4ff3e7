"""What clients of bindings get: a server's end of a memory layer, and clients that apply what reaches them."""

import json
from typing import Any

from fairway.broker.effects import Frame, GroupFrame
from fairway.conf import channel_layers
from fairway.layers.codec import decode_message
from fairway.message import Message

SOCKETS = "websocket.send.T1!"
CLIENT = f"{SOCKETS}c1"
GROUPS = ("admins", "non-admins", "red", "blue", "everyone")


class Ears:
    """Hears what is sent to groups and to one socket."""

    def __init__(self, *groups: str) -> None:
        self.layer = channel_layers["default"]
        self.inbox = self.layer.inbox([SOCKETS], lambda: None)
        self.replies: list[Any] = []
        for group in groups or GROUPS:
            self.layer.group_add(group, CLIENT)

    def hear(self) -> list[tuple[str, str, Any, Any]]:
        """What was sent to groups since the last time: group, action, pk and data."""
        return [(group, p["action"], p["pk"], p["data"]) for group, _stream, p in self.payloads()]

    def actions(self) -> list[tuple[str, str]]:
        """The same without what it was about."""
        return [(group, action) for group, action, _pk, _data in self.hear()]

    def payloads(self) -> list[tuple[str, str, dict[str, Any]]]:
        """The same as group, stream and payload."""
        found = []
        for item in self.inbox.drain():
            if isinstance(item, GroupFrame):
                frame = json.loads(decode_message(item.body)["text"])
                found.append((item.group, frame["stream"], frame["payload"]))
            elif isinstance(item, Frame):
                self.replies.append(decode_message(item.body))
        return found

    def answers(self) -> list[Any]:
        """What was sent to the socket itself since the last time, as JSON."""
        self.payloads()
        replies, self.replies = self.replies, []
        return [json.loads(reply["text"]) for reply in replies]

    def frame(self, payload: Any, channel: str = "websocket.receive") -> Message:
        """A frame of the socket, with a payload or with a text as it is."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        content = {"reply_channel": CLIENT, "path": "/", "text": text}
        return Message(content, channel, self.layer)


class View:
    """What one client holds. Strict: an update or delete of what it has not is an error."""

    def __init__(self) -> None:
        self.held: dict[Any, Any] = {}

    def apply(self, action: str, pk: Any, data: Any) -> None:
        if action == "create":
            self.held[pk] = data
        elif action == "update":
            assert pk in self.held, f"an update of {pk}, which was never created"
            self.held[pk] = data
        else:
            assert action == "delete"
            assert pk in self.held, f"a delete of {pk}, which was never created"
            del self.held[pk]
