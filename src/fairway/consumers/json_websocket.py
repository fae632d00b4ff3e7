"""Consumers of WebSockets whose frames are JSON, and what becomes of frames that are none."""

import json
import logging
import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NoReturn

from fairway.consumers.events import reserve_names
from fairway.consumers.websocket import HOOKS, Methods, WebsocketConsumer
from fairway.message import Message

logger = logging.getLogger("fairway.consumers")

INVALID_DATA = 1007
"""Close code: text that is not what was agreed on (RFC 6455, 7.4.1)."""

UNSUPPORTED_DATA = 1003
"""Close code: a kind of frame that is not taken (RFC 6455, 7.4.1)."""

JSON_HOOKS: Mapping[str, Methods] = {**HOOKS, "websocket.receive": attrgetter("raw_receive", "wrong_json", "receive")}


@reserve_names
class JsonWebsocketConsumer(WebsocketConsumer):
    """A consumer of WebSockets whose frames are JSON. Override `receive(content, **kwargs)`."""

    _hooks = JSON_HOOKS

    def raw_receive(self, message: Message, **kwargs: Any) -> Any:
        """Decode the frame, then call `receive` with what it holds; `wrong_json` where that cannot be."""
        text = message.content.get("text")
        if text is None:
            return self.wrong_json(message.content.get("bytes"), ValueError("it is a binary frame, and JSON is text"))
        try:
            content = self.decode_json(text)
        except (ValueError, RecursionError) as error:
            return self.wrong_json(text, error)
        return self.receive(content, **kwargs)

    def receive(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Take the content of a frame. This does nothing."""

    def wrong_json(self, frame: str | bytes | None, error: Exception) -> Any:
        """Answer a frame that is no JSON: log a warning, and close the socket with 1007, or 1003 for a binary frame.

        Behind a demultiplexer the client gets an error frame, and the socket lives on. An override may do so anywhere,
        or raise `ValueError`, as this did in Channels 1: then each such frame is a traceback in the log.

        Parameters:
            frame: its text, or its bytes.
            error: what is wrong with it.
        """
        reason = describe_error(error)
        logger.warning(
            "%s refuses a frame of %s on path %.200r, which is no JSON: %s: %r",
            type(self).__qualname__,
            self.message.reply_channel,
            self.path,
            reason,
            frame and frame[:100],
        )
        multiplexer = self.kwargs.get("multiplexer")
        if multiplexer is not None:
            multiplexer.send_error(f"the payload cannot be decoded ({reason})")
        elif isinstance(frame, str):
            self.close(INVALID_DATA, "this is no JSON")
        else:
            self.close(UNSUPPORTED_DATA, "send JSON as text")

    def send(self, content: Any, close: bool | int = False) -> None:  # type: ignore[override]  # noqa: FBT001, FBT002
        """Send `content` as JSON. Parameters and errors as `WebsocketConsumer.send`.

        Raises:
            TypeError: it holds what JSON does not know; see `encode_json`.
        """
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def group_send(cls, name: str, content: Any, close: bool | int = False) -> None:  # type: ignore[override]  # noqa: FBT001, FBT002
        """Send `content` as JSON to the members of a group of the default layer. Errors as for `send`."""
        super().group_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    async def agroup_send(cls, name: str, content: Any, close: bool | int = False) -> None:  # type: ignore[override]  # noqa: FBT001, FBT002
        """Do as `group_send`."""
        await super().agroup_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """Return what a text holds. Override it for another decoder.

        Raises:
            ValueError: the text is no JSON, or none that can travel on: `NaN`, `Infinity` and what is too large for a
                float, which no browser reads back, and halves of surrogate pairs, which neither UTF-8 nor a database
                can hold (RFC 7493, 2.1, 2.2).
        """
        content = _decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:
            _check_pairs(content)
        return content

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return `content` as text: plain `json`. Override it to send dates, say."""
        return json.dumps(content)


def describe_error(error: Exception) -> str:
    """Return what is wrong with a frame as one short line: an error may repeat what the client sent."""
    return str(error)[:200].encode("unicode_escape").decode("ascii")


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _finite(number: str) -> float:
    """Return a number that JSON writes with a point or an exponent; `1e999` would become `Infinity`."""
    value = float(number)
    if math.isinf(value):
        msg = f"{number} is too large a number"
        raise ValueError(msg)
    return value


def _check_pairs(content: Any) -> None:
    """Raise `ValueError` when a text in `content` holds half of a surrogate pair."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        msg = "it holds half of a surrogate pair"
        raise ValueError(msg) from None


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
