"""The consumers in the idiom of Fairway: the same work as in `bench/apps/channels4`, all of it synchronous."""

from __future__ import annotations

import time
from typing import Any

from fairway.consumers import JsonWebsocketConsumer

from bench.apps.notes.models import Note
from bench.plan import SLOW_SECONDS
from fairway import Group


def join(message: Any, group: str) -> None:
    """Add the connection to its group."""
    Group(group).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def publish(message: Any, group: str) -> None:
    """Send what a member says to its group."""
    Group(group).send({"text": message["text"]})


def leave(message: Any, group: str) -> None:
    """Take the connection out of its group."""
    Group(group).discard(message.reply_channel)


def accept(message: Any) -> None:
    """Open the socket."""
    message.reply_channel.send({"accept": True})


def echo(message: Any) -> None:
    """Send back what came."""
    message.reply_channel.send({"text": message["text"]})


def slow(message: Any) -> None:
    """Send back what came, after work that takes its time."""
    time.sleep(SLOW_SECONDS)
    message.reply_channel.send({"text": message["text"]})


class Notes(JsonWebsocketConsumer):
    """Look up a note of the session's user for each message."""

    http_user = True

    def receive(self, content: dict[str, Any], **_: Any) -> None:
        """Answer with the note."""
        user = self.message.user
        note = Note.objects.get(owner=user, number=content["n"])
        self.send({"n": content["n"], "user": user.username, "title": note.title})
