"""Several JSON streams on one socket, each with a consumer of its own.

A frame names its stream: `{"stream": "chat", "payload": {...}}`, in both directions. What is wrong with a frame is told
to the client, in a frame with an `error` in place of the payload, and the socket lives on: one page of a client speaks
on many streams, and should not lose them all by one mistake.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, ClassVar, NoReturn

from asgiref.sync import sync_to_async

from fairway.consumers.calls import Consumer, is_coroutine_consumer, resolve
from fairway.consumers.events import handler_of, reserve_names, warn_unhandled
from fairway.consumers.json_websocket import JSON_HOOKS, JsonWebsocketConsumer, describe_error
from fairway.consumers.multiplexer import WebsocketMultiplexer
from fairway.consumers.websocket import Methods
from fairway.errors import SendNotAvailableOnDemultiplexer
from fairway.message import Message

logger = logging.getLogger("fairway.consumers")

SHAPE = 'send {"stream": <its name>, "payload": {...}}'

LONGEST_NAME = 100
"""Characters of a stream's name that an error repeats: the name is the client's."""


@reserve_names
class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """Hands each frame to the consumer of its stream, which answers by the `multiplexer` that it is given.

    Connects and disconnects reach every stream, and so does a typed group message that this class has no handler for.
    With a stream that handles a message by a coroutine the hooks of this class return something to await.
    """

    consumers: ClassVar[Mapping[str, Consumer]] = {}
    """Stream to consumer: a class, or a function that is called as `consumer(message, multiplexer=..., **kwargs)`."""

    multiplexer_class: type[WebsocketMultiplexer] = WebsocketMultiplexer
    """Makes the answering end of each stream."""

    _hooks: ClassVar[Mapping[str, Methods]] = {
        **JSON_HOOKS,
        "websocket.receive": attrgetter("raw_receive", "wrong_json", "wrong_frame", "receive"),
    }

    @classmethod
    def runs_as_coroutine(cls, message: Message) -> bool:
        """Say whether an instance for this message has to be awaited, for itself or for one of its streams."""
        if super().runs_as_coroutine(message):
            return True
        if handler_of(cls, message) is not None:
            return False
        return any(is_coroutine_consumer(cls.consumers[stream], message) for stream in cls._streams_for(message))

    @classmethod
    def handles_event(cls, message: Message) -> bool:
        """Say whether this class or one of its streams has a handler for the typed group message in `message`."""
        own = handler_of(cls, message) is not None or cls.raw_event is not WebsocketDemultiplexer.raw_event
        return own or bool(cls._streams_for(message))

    @classmethod
    def _streams_for(cls, message: Message) -> list[str]:
        return [stream for stream, consumer in cls.consumers.items() if _takes(consumer, message)]

    # --- what happens to a connection ---

    def connect(self, message: Message, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  as in the base
        """Accept, then connect every stream. One that raises refuses the socket."""
        message.reply_channel.send({"accept": True})
        return self._forward(message, kwargs)

    def receive(self, content: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  as in the base
        """Hand the payload of a frame to its stream; a wrong frame to `wrong_frame`."""
        is_coroutine = self._is_coroutine
        try:
            stream, text = self._opened(content)
        except _WrongFrame as wrong:
            answer = self.wrong_frame(_stream_of(content), str(wrong))
            return resolve(answer) if is_coroutine else answer
        inner = _with_text(self.message, text)
        return self._acall(stream, inner, kwargs) if is_coroutine else self._call(stream, inner, kwargs)

    def raw_event(self, message: Message, **kwargs: Any) -> Any:
        """Call the handler of this class; without one, those of the streams that have one."""
        if handler_of(type(self), message) is not None:
            return super().raw_event(message, **kwargs)
        if not self._streams_for(message):
            warn_unhandled(self, message)
        return self._forward(message, kwargs)

    def disconnect(self, message: Message, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  as in the base
        """Disconnect every stream, also when one of them raises."""
        return self._forward(message, kwargs)

    # --- wrong frames ---

    def wrong_json(self, frame: str | bytes | None, error: Exception) -> Any:
        """Take a frame that is no JSON for a wrong frame like any other."""
        what = f"this is no JSON ({describe_error(error)})" if isinstance(frame, str) else "this is a binary frame"
        return self.wrong_frame(None, f"{what}; {SHAPE}")

    def wrong_frame(self, stream: str | None, reason: str) -> Any:
        """Answer a wrong frame: log a warning, and send `{"stream": ..., "error": ...}`.

        An override may raise `ValueError`, as this did in Channels 1: then each such frame is a traceback in the log.

        Parameters:
            stream: the stream that the frame names, as far as it names one.
            reason: what is wrong, and what would be right.
        """
        logger.warning(
            "%s got a wrong frame from %s on path %.200r: %s",
            type(self).__qualname__,
            self.message.reply_channel,
            self.path,
            reason,
        )
        self.message.reply_channel.send(self.multiplexer_class.encode_error(stream, reason))

    def _opened(self, content: Any) -> tuple[str, str]:
        """Return the stream and the payload, as text, of a frame.

        Raises:
            _WrongFrame: it has none.
        """
        if not isinstance(content, dict):
            msg = f"a frame is an object, not {_kind(content)}; {SHAPE}"
            raise _WrongFrame(msg)
        missing = [key for key in ("stream", "payload") if key not in content]
        if missing:
            msg = f"the frame has no {' and no '.join(missing)}; {SHAPE}"
            raise _WrongFrame(msg)
        stream, payload = content["stream"], content["payload"]
        if not isinstance(stream, str):
            msg = f"the stream of a frame is a text, not {_kind(stream)}; {SHAPE}"
            raise _WrongFrame(msg)
        if stream not in self.consumers:
            known = ", ".join(self.consumers) or "none"
            msg = f"there is no stream {stream[:LONGEST_NAME]!r}; this socket has {known}"
            raise _WrongFrame(msg)
        if not isinstance(payload, dict):
            msg = f"the payload of a frame is an object, not {_kind(payload)}; {SHAPE}"
            raise _WrongFrame(msg)
        try:
            return stream, self.encode_json(payload)
        except RecursionError:
            msg = "the payload is nested too deeply"
            raise _WrongFrame(msg) from None

    # --- the streams ---

    def _call(self, stream: str, message: Message, kwargs: dict[str, Any]) -> Any:
        multiplexer = self.multiplexer_class(stream, message.reply_channel)
        return self.consumers[stream](message, **{**kwargs, "multiplexer": multiplexer})

    async def _acall(self, stream: str, message: Message, kwargs: dict[str, Any]) -> Any:
        """Do as `_call`; a blocking consumer gets a thread."""
        if is_coroutine_consumer(self.consumers[stream], message):
            return await self._call(stream, message, kwargs)
        return await sync_to_async(self._call)(stream, message, kwargs)

    def _forward(self, message: Message, kwargs: dict[str, Any]) -> Any:
        """Call the streams that take a message, one after the other.

        Raises: what the first that failed raised, after all have been called.
        """
        if self._is_coroutine:
            return self._aforward(message, kwargs)
        attempts = _Attempts(message)
        for stream in self._streams_for(message):
            with attempts.at(stream):
                self._call(stream, message, kwargs)
        return attempts.conclude()

    async def _aforward(self, message: Message, kwargs: dict[str, Any]) -> None:
        attempts = _Attempts(message)
        for stream in self._streams_for(message):
            with attempts.at(stream):
                await self._acall(stream, message, kwargs)
        attempts.conclude()

    # --- what cannot be here ---

    def send(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse to send: a frame needs a stream.

        Raises:
            SendNotAvailableOnDemultiplexer: always.
        """
        _refuse(type(self), "send", "the multiplexer that each stream gets: multiplexer.send(payload)")

    @classmethod
    def group_send(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse to send; raises as `send`."""
        _refuse(cls, "group_send", "WebsocketMultiplexer.group_send(name, stream, payload)")

    @classmethod
    async def agroup_send(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse to send; raises as `send`."""
        _refuse(cls, "agroup_send", "WebsocketMultiplexer.agroup_send(name, stream, payload)")


class _WrongFrame(ValueError):
    """A frame that no stream gets; the text is for the client."""


class _Attempts:
    """Streams that get the same message: one that fails keeps no other from it, except while the socket connects.

    A connect that failed has refused the socket, so there is nothing to connect any more.
    """

    def __init__(self, message: Message) -> None:
        self._may_go_on = message.channel_name != "websocket.connect"
        self._first: Exception | None = None

    @contextmanager
    def at(self, stream: str) -> Iterator[None]:
        """Keep what the first stream raises; log what the later ones do."""
        try:
            yield
        except Exception as error:
            if not self._may_go_on:
                raise
            if self._first is None:
                self._first = error
            else:
                logger.exception("the stream %r failed too", stream)

    def conclude(self) -> None:
        """Raise what was kept."""
        if self._first is not None:
            raise self._first


def _takes(consumer: Consumer, message: Message) -> bool:
    """Say whether a stream's consumer gets messages like this one: a class what it names, a function all but events."""
    handles_event = getattr(consumer, "handles_event", None)
    if message.channel_name == "websocket.event" and handles_event is not None:
        return bool(handles_event(message))
    mapping = getattr(consumer, "method_mapping", None)
    if mapping is not None:
        return message.channel_name in mapping
    return message.channel_name != "websocket.event"


def _with_text(message: Message, text: str) -> Message:
    """Return the same message with another text, and with all that decorators have put on it."""
    inner = Message.__new__(Message)
    vars(inner).update(vars(message))
    inner.content = {**message.content, "text": text}
    return inner


def _stream_of(content: Any) -> str | None:
    """Return the stream that a wrong frame names, if it names one of a sensible length."""
    stream = content.get("stream") if isinstance(content, dict) else None
    return stream if isinstance(stream, str) and len(stream) <= LONGEST_NAME else None


_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}


def _kind(value: object) -> str:
    """Name the type of a value as JSON has it."""
    return _KINDS.get(type(value), "null")


def _refuse(cls: type, method: str, instead: str) -> NoReturn:
    msg = f"{cls.__qualname__}.{method}() knows no stream; use {instead}"
    raise SendNotAvailableOnDemultiplexer(msg)
