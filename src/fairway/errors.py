"""Every error Fairway raises, and whose fault each one is.

::

    FairwayError
    ├── UsageError                 your fault: the call or the setting is wrong
    │   ├── InvalidName            TypeError: a channel or group name outside the grammar
    │   ├── InvalidMessage         ValueError: a message that cannot travel, with the key that is wrong
    │   ├── MessageTooLarge        the encoded message is above the limit
    │   ├── InvalidSchedule        ValueError: what a send says about when it leaves: delay, at, key, on_commit
    │   │   └── InvalidScheduleType  TypeError as well: no timedelta, no datetime, no str
    │   ├── InvalidLayerSetting    ValueError: CHANNEL_LAYERS or a layer URL
    │   ├── CannotListen           OSError: an address on which a server cannot listen
    │   ├── StartFailed            a child process was not ready: its last lines tell why
    │   ├── SendNotAvailableOnDemultiplexer  `send` where only a stream's multiplexer can answer
    │   └── MissingExtra           ImportError: an optional dependency, with its pip line
    ├── PeerError                  the peer's fault: carries the HTTP status and the close code to answer with
    │   ├── BadRequest             400 / 1002
    │   ├── RequestTooLarge        413 / 1009
    │   ├── HeadersTooLarge        431 / 1002
    │   ├── UnsupportedVersion     505 / 1002
    │   ├── FrameError             1002: a frame that breaks RFC 6455
    │   ├── InvalidData            1007: text that is not UTF-8
    │   └── MessageTooBig          1009: a message above the limit, inflated or not, or in too many fragments
    ├── BackendError               the backend's fault, or the way there
    │   ├── ChannelFull            the channel has no room; try later
    │   ├── ChannelGone            the connection that this very consumer or view answers has ended
    │   ├── DeliveryLost           the receipt is no longer held: someone else has the message now
    │   ├── LayerUnavailable       the broker cannot be reached, or did not answer in time
    │   └── TaskLost               each worker that ran a task was lost; stands in the task's result
    ├── ClientError                what a script meets that uses `fairway.client`
    │   ├── RequestFailed          the server answered with an error
    │   ├── TimedOut               TimeoutError: no answer in time
    │   ├── ConnectionLost         ConnectionError: the connection broke before the answer came
    │   ├── ClientClosed           ConnectionError: the client is closed, or the server has closed it for good
    │   ├── QueueFull              more waits than a limit of the client allows
    │   └── BadFrame               what the server sent makes no sense
    └── Decision                   no fault: what a consumer or view raises to say how it ends
        ├── ConsumeLater           put the message back, try again in a moment
        ├── DenyConnection         refuse a WebSocket during the handshake
        ├── ChannelSocketException  does something about the message it ends: `run`
        │   └── WebsocketCloseException  closes the socket
        ├── ResponseLater          somebody else will answer this request
        ├── RequestAborted         the client went away while its body was read
        └── RequestTimeout         the body took too long

What only tells two cases of one error apart inside a room stands there: `wire.hub.FrameBroken` is a `PeerError`,
`layers.hub.writing.LineLost` and `HubRefuses` are `LayerUnavailable`.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any


class FairwayError(Exception):
    """The root: catching it catches everything Fairway raises on purpose."""


class UsageError(FairwayError):
    """Something in the calling code or the settings is wrong; the text says what, and the remedy."""


class InvalidName(UsageError, TypeError):
    """A channel or group name is outside the grammar (message standard, section 2)."""


class InvalidMessage(UsageError, ValueError):
    """A message cannot travel. `key` is the path of the offending key, `""` for the message itself."""

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.key = key


class MessageTooLarge(UsageError):
    """An encoded message of `size` bytes is above `limit` bytes."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(what, size, limit)
        self.what = what
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.what}: {self.size:,} bytes, above the limit of {self.limit:,}"


class InvalidSchedule(UsageError, ValueError):
    """What a send says about when it leaves cannot be: its `delay`, `at`, `key` or `on_commit`."""


class InvalidScheduleType(InvalidSchedule, TypeError):
    """A `delay` is no `timedelta`, an `at` no `datetime`, or a `key` no `str`."""


class InvalidLayerSetting(UsageError, ValueError):
    """A layer's settings cannot be used. The text names the setting, the value and the remedy."""


class CannotListen(UsageError, OSError):
    """A server cannot listen on `bind`. The text says why, and the remedy; `errno` is the system's, if it said so."""

    def __init__(self, bind: str, reason: str, errno: int | None = None) -> None:
        super().__init__(errno, reason)
        self.bind = bind
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot listen on {self.bind}: {self.reason}"


class StartFailed(UsageError):
    """A child process did not become ready. `lines` are the last ones of its output, as far as they are known."""

    def __init__(self, name: str, reason: str, lines: Iterable[str] = ()) -> None:
        self.name = name
        self.reason = reason
        self.lines = tuple(lines)
        super().__init__(name, reason, self.lines)

    def __str__(self) -> str:
        said = "".join(f"\n    {line}" for line in self.lines)
        return f"{self.name} {self.reason}" + (f"; its last lines:{said}" if said else "")


class SendNotAvailableOnDemultiplexer(UsageError):
    """A consumer behind a demultiplexer called `send`, which knows no stream: it answers by its `multiplexer`."""


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra that is not installed: pip install 'fairway[{extra}]'")
        self.extra = extra


class PeerError(FairwayError):
    """The peer broke a rule. `status` answers an HTTP request, `close_code` an open WebSocket."""

    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    close_code: int = 1002

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadRequest(PeerError):
    """A malformed HTTP request; the connection is closed after the answer."""


class RequestTooLarge(PeerError):
    """A request body above the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    close_code = 1009


class HeadersTooLarge(PeerError):
    """A request line, a header block or a trailer block above its limit, in bytes or in lines."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class UnsupportedVersion(PeerError):
    """A protocol version that this server does not speak."""

    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


class FrameError(PeerError):
    """A frame that RFC 6455 forbids."""


class InvalidData(PeerError):
    """A text message or a close reason that is not UTF-8."""

    close_code = 1007


class MessageTooBig(PeerError):
    """A WebSocket message above the limit in bytes (after inflating) or in fragments."""

    close_code = 1009


class BackendError(FairwayError):
    """The layer could not do what was asked."""


class ChannelFull(BackendError):
    """`channel` has no room for one more message."""

    def __init__(self, channel: str, reason: str = "at capacity") -> None:
        super().__init__(channel, reason)
        self.channel = channel
        self.reason = reason

    def __str__(self) -> str:
        return f"channel {self.channel!r} is full ({self.reason})"


class ChannelGone(BackendError):
    """The connection behind `channel` ended while its message was being consumed, so nobody waits for an answer.

    Only an immediate publish from inside the run (`Reader.publish`) tells; it is how a streaming view learns that its
    client went away. A view that owns a WebSocket is told by `send`. Everywhere else a message for a connection that is
    gone is dropped quietly.
    """

    def __init__(self, channel: str) -> None:
        super().__init__(f"the connection {channel!r} has ended")
        self.channel = channel


class DeliveryLost(BackendError):
    """The delivery was given to someone else (its reader was taken for dead), so nothing was published."""


class LayerUnavailable(BackendError):
    """The layer cannot be reached, is closed, or gave no answer in time."""


class TaskLost(BackendError):
    """Each worker that ran a task was lost meanwhile, so it is not run again. It stands in the task's result."""


class ClientError(FairwayError):
    """A client could not do what was asked, or heard what it could not understand."""


class RequestFailed(ClientError):
    """The server answered with an error, or told of one without being asked.

    `frame` is what it sent, and `error` in it a text or anything else.
    """

    def __init__(self, frame: Mapping[str, Any]) -> None:
        super().__init__(frame)
        self.frame = frame

    def __str__(self) -> str:
        return str(self.frame.get("error"))


class TimedOut(ClientError, TimeoutError):
    """No answer in time. It may still come; nobody hears of it then."""


class ConnectionLost(ClientError, ConnectionError):
    """The connection broke before the answer came. The server may have done what it was asked."""


class ClientClosed(ClientError, ConnectionError):
    """The client is closed, by itself or by an end after which one does not come back; or it was never opened."""


class QueueFull(ClientError):
    """More is waiting than a limit of the client allows; the text names it."""


class BadFrame(ClientError):
    """The server sent what is no frame, or a frame without what its kind must have. `frame` is what it sent."""

    def __init__(self, frame: object) -> None:
        super().__init__(frame)
        self.frame = frame

    def __str__(self) -> str:
        return f"bad frame: {self.frame!r:.200}"


class Decision(FairwayError):
    """Raised by a consumer or a view to say how it ends."""


class ConsumeLater(Decision):
    """Put the message back on its channel; it is tried again after a growing pause, at most 10 times."""


class DenyConnection(Decision):
    """Refuse the WebSocket that is connecting: 403 before the handshake completes."""


class ChannelSocketException(Decision):
    """A consumer's way to end with an act: whoever runs the consumer calls `run` with its message."""

    def run(self, message: Any) -> None:
        """Do what the exception stands for.

        Parameters:
            message: the `fairway.Message` whose consumer raised it.
        """
        raise NotImplementedError


class WebsocketCloseException(ChannelSocketException):
    """Close the WebSocket whose message is being consumed; one that is connecting is refused.

    Parameters:
        code: 1000 or 3000 to 4999 (RFC 6455, 7.4.2: the codes of applications); 1000 when None.

    Raises:
        ValueError: another code.
    """

    def __init__(self, code: int | None = None) -> None:
        if code is not None and (type(code) is not int or (code != 1000 and not 3000 <= code <= 4999)):
            msg = f"an application closes a WebSocket with 1000 or a code of 3000 to 4999, not {code!r}"
            raise ValueError(msg)
        super().__init__(code)
        self._code = code

    def run(self, message: Any) -> None:
        """Send the close. It may also end the consumer of a channel of your own, whose message names the socket.

        Raises:
            ValueError: the message is not one of a WebSocket.
        """
        reply_channel = message.reply_channel
        # A message of the server's tells by its channel, any other by the name that the server gave the socket.
        names = [str(message.channel_name), str(reply_channel)]
        if reply_channel is None or not any(name.startswith("websocket.") for name in names):
            msg = f"only a WebSocket can be closed, and this message came on {message.channel_name!r}"
            raise ValueError(msg)
        reply_channel.send({"close": self._code or True})


class ResponseLater(Decision):
    """Raised in a view: the answer will come from elsewhere, on `request.reply_channel`."""


class RequestAborted(Decision):
    """The client went away while the request body was being read."""


class RequestTimeout(Decision):
    """The request body took too long to arrive."""
