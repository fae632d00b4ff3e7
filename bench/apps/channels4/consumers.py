"""The consumers in the idiom of Channels 4.

The fan-out is asynchronous, because that is how Channels 4 does it cheapest (a synchronous consumer takes a thread
hop for each member). The echoes are synchronous, since what they stand for is ordinary Django code.
"""

from __future__ import annotations

import time
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer, JsonWebsocketConsumer, WebsocketConsumer

from bench.apps.notes.models import Note
from bench.plan import SLOW_SECONDS


class FanOut(AsyncWebsocketConsumer):
    """What a member says goes to its group."""

    async def connect(self) -> None:
        """Join."""
        self.group = self.scope["url_route"]["kwargs"]["group"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def receive(self, text_data: str, **_: Any) -> None:
        """Publish."""
        await self.channel_layer.group_send(self.group, {"type": "group.message", "text": text_data})

    async def group_message(self, event: dict[str, Any]) -> None:
        """Deliver."""
        await self.send(text_data=event["text"])

    async def disconnect(self, _code: int) -> None:
        """Leave."""
        await self.channel_layer.group_discard(self.group, self.channel_name)


class Echo(WebsocketConsumer):
    """Send back what came."""

    def receive(self, text_data: str, **_: Any) -> None:
        """Answer at once."""
        self.send(text_data=text_data)


class Slow(WebsocketConsumer):
    """Send back what came, after work that takes its time."""

    def receive(self, text_data: str, **_: Any) -> None:
        """Answer late."""
        time.sleep(SLOW_SECONDS)
        self.send(text_data=text_data)


class Notes(JsonWebsocketConsumer):
    """Look up a note of the session's user for each message."""

    def receive_json(self, content: dict[str, Any], **_: Any) -> None:
        """Answer with the note."""
        user = self.scope["user"]
        note = Note.objects.get(owner=user, number=content["n"])
        self.send_json({"n": content["n"], "user": user.username, "title": note.title})


class Names(JsonWebsocketConsumer):
    """Answer with the name of the session's user."""

    def receive_json(self, content: dict[str, Any], **_: Any) -> None:
        """Answer at once."""
        title = f"Note {content['n']}"
        self.send_json({"n": content["n"], "user": self.scope["user"].username, "title": title})
