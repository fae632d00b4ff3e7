"""The JSON consumers as classes with the user of the session, one of them with a real query per message."""

from __future__ import annotations

from typing import Any

from bench.apps.notes.models import Note
from fairway.consumers import JsonWebsocketConsumer


class Notes(JsonWebsocketConsumer):
    """Look up a note of the session's user for each message."""

    http_user = True

    def receive(self, content: dict[str, Any], **_: Any) -> None:
        """Answer with the note."""
        user = self.message.user
        note = Note.objects.get(owner=user, number=content["n"])
        self.send({"n": content["n"], "user": user.username, "title": note.title})


class Names(JsonWebsocketConsumer):
    """Answer with the name of the session's user."""

    http_user = True

    def receive(self, content: dict[str, Any], **_: Any) -> None:
        """Answer at once."""
        self.send({"n": content["n"], "user": self.message.user.username, "title": f"Note {content['n']}"})
