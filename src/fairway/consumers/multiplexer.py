"""The answering end of one stream among several on a socket: frames of `{"stream": ..., "payload": ...}`."""

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from fairway.channel import Channel, Group

_encoder = DjangoJSONEncoder()


class WebsocketMultiplexer:
    """What answers on one stream of a socket.

    Parameters:
        stream: its name.
        reply_channel: the socket.
    """

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send a payload on the stream when the consumer has finished. Raises as `Channel.send`."""
        self.reply_channel.send(self.encode(self.stream, payload))

    def send_error(self, reason: str) -> None:
        """Tell the client that a frame on the stream was wrong, and why. Raises as `Channel.send`."""
        self.reply_channel.send(self.encode_error(self.stream, reason))

    @classmethod
    def group_send(cls, name: str, stream: str, payload: Any, close: bool | int = False) -> None:  # noqa: FBT001, FBT002
        """Send a payload on a stream to the members of a group of the default layer.

        Parameters:
            close: close the sockets after it; True, or a code.

        Raises:
            ValueError, LayerUnavailable: as `Group.send`.
        """
        Group(name).send(cls._closing(cls.encode(stream, payload), close))

    @classmethod
    async def agroup_send(cls, name: str, stream: str, payload: Any, close: bool | int = False) -> None:  # noqa: FBT001, FBT002
        """Do as `group_send`."""
        await Group(name).asend(cls._closing(cls.encode(stream, payload), close))

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that sends a payload on a stream."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @classmethod
    def encode_error(cls, stream: str | None, reason: str) -> dict[str, Any]:
        """Return the message that tells what was wrong with a frame; `stream` is None where it named none."""
        return {"text": cls.encode_json({"stream": stream, "error": reason})}

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return `content` as JSON, by Django's encoder: it knows dates, UUIDs, decimals and lazy texts."""
        return _encoder.encode(content)

    @staticmethod
    def _closing(message: dict[str, Any], close: bool | int) -> dict[str, Any]:  # noqa: FBT001
        return {**message, "close": close} if close else message
