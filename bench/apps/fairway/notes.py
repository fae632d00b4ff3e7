"""The class-based consumer: JSON, a session user, one query per message."""

from __future__ import annotations

from typing import Any

from fairway.consumers import JsonWebsocketConsumer

from bench.apps.notes.models import Note


class Notes(JsonWebsocketConsumer):
    """Look up a note of the session's user for each message."""

    http_user = True

    def receive(self, content: dict[str, Any], **_: Any) -> None:
        """Answer with the note."""
        user = self.message.user
        note = Note.objects.get(owner=user, number=content["n"])
        self.send({"n": content["n"], "user": user.username, "title": note.title})
