"""The consumer as a class: JSON, a session user, a real query per message."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.http import parse_cookie

from bench.apps.notes.models import Note


class Notes:
    """Look up a note of the session's user for each message.

    As in Channels 4, session and user are read once, at connect; the connection's state keeps what is needed of them.
    """

    METHODS: ClassVar = {"websocket.connect": "connect", "websocket.receive": "receive"}

    def __init__(self, message: Any, **_: Any) -> None:
        getattr(self, self.METHODS[message.channel.name])(message)

    @classmethod
    def channel_names(cls) -> set[str]:
        """The channels of this consumer."""
        return set(cls.METHODS)

    def connect(self, message: Any) -> None:
        """Find the user by the session cookie."""
        cookies = parse_cookie(dict(message["headers"]).get(b"cookie", b"").decode("latin-1"))
        engine = import_module(settings.SESSION_ENGINE)
        session = engine.SessionStore(cookies[settings.SESSION_COOKIE_NAME])
        user = get_user_model().objects.get(pk=session[SESSION_KEY])
        message.state["user"] = user.pk
        message.state["name"] = user.get_username()
        message.reply_channel.send({"accept": True})

    def receive(self, message: Any) -> None:
        """Answer with the note."""
        content = json.loads(message["text"])
        note = Note.objects.get(owner=message.state["user"], number=content["n"])
        answer = {"n": content["n"], "user": message.state["name"], "title": note.title}
        message.reply_channel.send({"text": json.dumps(answer)})
