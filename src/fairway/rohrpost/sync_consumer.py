"""The consumer of rohrpost: each frame is a request, and goes to its handler."""

import json
from typing import Any

from fairway.channel import Group
from fairway.message import Message
from fairway.rohrpost.connection import RohrpostConnection
from fairway.rohrpost.encoder import TolerantJSONEncoder
from fairway.rohrpost.main import Call, ahandle, handle, read_frame

_FOUND = "rohrpost_found"
"""Where a message keeps what its frame asks for, between the question how it is to be run and the run."""


class SyncRohrpostConsumer(RohrpostConnection):
    """A consumer of rohrpost messages: `path("ws/rohrpost/", SyncRohrpostConsumer)`.

    Its hooks are those of Channels 3 and 4: `connect()`, `receive(text_data, bytes_data)`, `disconnect(code)`. A
    handler that is a coroutine runs on the event loop, all others on a thread.
    """

    json_encoder = TolerantJSONEncoder

    @classmethod
    def runs_as_coroutine(cls, message: Message) -> bool:
        """Say whether the handler of a request is a coroutine, or another method is one."""
        if message.channel_name == "websocket.receive" and cls.receive is SyncRohrpostConsumer.receive:
            found = read_frame(message.content.get("text"))
            vars(message)[_FOUND] = found  # so that it is read once
            return isinstance(found, Call) and found.is_coroutine
        return super().runs_as_coroutine(message)

    def raw_connect(self, message: Message, **kwargs: Any) -> Any:
        """Keep what is known of the handshake, join the groups, then call `connect`."""
        self.keep_handshake()
        if self._is_coroutine:
            return self._aregroup(Group.aadd, message, lambda *_args, **_kwargs: self.connect(), kwargs)
        for group in self._own_groups(self.connection_groups(**kwargs)):
            group.add(message.reply_channel)
        return self.connect()

    def connect(self) -> Any:
        """Decide about the handshake. This accepts; an override has to call `accept` or `close` by itself."""
        self.accept()

    def raw_receive(self, message: Message, **kwargs: Any) -> Any:  # noqa: ARG002  they stand in `scope`
        """Call `receive` with the text or the bytes of the frame."""
        content = message.content
        return self.receive(text_data=content.get("text"), bytes_data=content.get("bytes"))

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> Any:  # noqa: ARG002
        """Let the handler of a request take it, or answer what is wrong with the frame."""
        found = vars(self.message).pop(_FOUND, None)
        if found is None or text_data != self.message.content.get("text"):
            found = read_frame(text_data)
        return ahandle(self, found) if self._is_coroutine else handle(self, found)

    def raw_event(self, message: Message, **kwargs: Any) -> Any:  # noqa: ARG002
        """Call the handler of a typed group message with the event alone."""
        return super().raw_event(message)

    def raw_disconnect(self, message: Message, **kwargs: Any) -> Any:  # noqa: ARG002
        """Call `disconnect` with the code. The server has taken the connection out of all its groups."""
        return self.disconnect(message.content.get("code"))

    def disconnect(self, code: Any) -> Any:
        """Learn that the connection has ended. This does nothing: a connection that is gone is in no group."""

    def rohrpost_message(self, event: dict[str, Any], **_kwargs: Any) -> None:
        """Send what came through a group as an event `{"type": "rohrpost.message", "message": ...}`."""
        message = event["message"]
        self.send(message if isinstance(message, str) else json.dumps(message, cls=self.json_encoder))
