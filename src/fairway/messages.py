"""The message standard as types, and as validators of what is sent.

A message is a dict. The types below say what each one holds; they are for type checkers and readers. The tables and
the three functions at the end check what an application sends to a peer, so that a wrong key is an error on the line
that sends it, and not a message that silently does nothing.

What arrives from a server is not checked here: the server built it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NotRequired, TypedDict

from fairway.errors import InvalidMessage

Header = Sequence[bytes]
"""Name and value. A list or a tuple; a transport may turn one into the other."""

Address = Sequence[Any]
"""Host (str) and port (int)."""


# --- server to worker --------------------------------------------------------------------------------------------


class HttpRequest(TypedDict):
    """`http.request`. The rest of a large body follows on `body_channel`."""

    reply_channel: str
    http_version: str
    method: str
    path: str
    query_string: bytes
    headers: Sequence[Header]
    scheme: NotRequired[str]
    root_path: NotRequired[str]
    body: NotRequired[bytes]
    body_channel: NotRequired[str | None]
    client: NotRequired[Address | None]
    server: NotRequired[Address | None]


class HttpBodyChunk(TypedDict, total=False):
    """A part of a request body, on the request's `body_channel`; `closed` says that the client went away."""

    content: bytes
    more_content: bool
    closed: bool


class HttpDisconnect(TypedDict):
    """`http.disconnect`: the request has ended, for whatever reason."""

    reply_channel: str
    path: str


class WebsocketConnect(TypedDict):
    """`websocket.connect`: a handshake that waits for the application's decision."""

    reply_channel: str
    path: str
    headers: Sequence[Header]
    order: int
    query_string: NotRequired[bytes]
    scheme: NotRequired[str]
    root_path: NotRequired[str]
    client: NotRequired[Address | None]
    server: NotRequired[Address | None]
    subprotocols: NotRequired[list[str]]
    http_version: NotRequired[str]


class WebsocketReceive(TypedDict):
    """`websocket.receive`: one message of the client; exactly one of `text` and `bytes` is not None."""

    reply_channel: str
    path: str
    order: int
    text: NotRequired[str | None]
    bytes: NotRequired["bytes | None"]


class WebsocketEvent(TypedDict):
    """`websocket.event`: a group message with a `type`, for the consumer of one member connection."""

    reply_channel: str
    path: str
    order: int
    event: dict[str, Any]


class WebsocketDisconnect(TypedDict):
    """`websocket.disconnect`: the socket is gone; `code` is 1006 when no close frame came."""

    reply_channel: str
    path: str
    order: int
    code: int


# --- worker to server --------------------------------------------------------------------------------------------


class Rejection(TypedDict):
    """The HTTP response that answers a handshake instead of 403."""

    status: int
    headers: NotRequired[Sequence[Header]]
    content: NotRequired[bytes]


class WebsocketReply(TypedDict, total=False):
    """A message to the reply channel of a WebSocket."""

    accept: bool
    subprotocol: str
    headers: Sequence[Header]
    receive_channel: str
    reject: Rejection
    close: bool | int
    reason: str
    text: str | None
    bytes: "bytes | None"


class HttpReply(TypedDict, total=False):
    """A message to the reply channel of a request: the first one holds `status`."""

    status: int
    headers: Sequence[Header]
    content: bytes
    more_content: bool
    status_text: bytes
    request: dict[str, Any]
    """Server push: a request the client will make. A server that cannot push ignores it."""


class Protocol(Enum):
    """What waits at the other end of a reply channel."""

    WEBSOCKET = "websocket"
    HTTP = "http"


_NAMES = (("websocket.", Protocol.WEBSOCKET), ("http.", Protocol.HTTP))


@lru_cache(maxsize=1024)
def protocol_of(channel: str | None) -> Protocol | None:
    """Say which protocol a channel belongs to by its name: one that a server delivers on, or one it answers on."""
    if channel:
        for start, protocol in _NAMES:
            if channel.startswith(start):
                return protocol
    return None


# --- what a value may be -----------------------------------------------------------------------------------------

MAX_REASON = 123
"""A close frame has room for 125 bytes, and the code takes two (RFC 6455, section 5.5)."""

_CLOSE_CODES = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

Check = Callable[[Any], str]
"""Returns what is wrong with a value, or an empty str."""


def is_close_code(code: int) -> bool:
    """Say whether an application may put `code` into a close frame (RFC 6455, section 7.4)."""
    return any(code in codes for codes in _CLOSE_CODES)


def is_header_name(name: bytes) -> bool:
    """Say whether `name` is a token (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(name) is not None


def is_header_value(value: bytes) -> bool:
    """Say whether `value` holds no control character but the tab, so that no header can be smuggled in."""
    return _NOT_IN_VALUE.search(value) is None


def _close(value: bool | int) -> str:  # noqa: FBT001  True and a code are what the standard allows
    if value is True or value is False or is_close_code(value):
        return ""
    return f"must be True or a code an application may use (1000-1003, 1007-1014, 3000-4999), not {value}"


def _reason(value: str) -> str:
    size = len(value.encode("utf-8", "surrogatepass"))
    return f"may have {MAX_REASON} bytes in UTF-8, not {size}" if size > MAX_REASON else ""


def _subprotocol(value: str) -> str:
    if value.isascii() and is_header_name(value.encode()):
        return ""
    return f"must be a token such as 'chat.v2', not {value[:60]!r}"


def _status(value: int) -> str:
    return "" if 200 <= value <= 599 else f"must be a final HTTP status, 200 to 599, not {value}"


def _status_text(value: bytes) -> str:
    return "" if is_header_value(value) else "must be one line without control characters"


def _headers(value: Sequence[Any]) -> str:
    for index, pair in enumerate(value):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(type(part) is bytes for part in pair):
            return f"must be a list of [name, value] pairs of bytes; entry {index} is {pair!r:.100}"
        if not is_header_name(pair[0]):
            return f"has a name that is no token, in entry {index}: {pair[0]!r:.100}"
        if not is_header_value(pair[1]):
            return f"has control characters in a value, in entry {index}: {pair!r:.100}"
    return ""


def _reject(value: dict[str, Any]) -> str:
    if "status" not in value:
        return "must hold a 'status'"
    for key, item in value.items():
        if (rule := _REJECTION.get(key)) is None:
            return f"holds the unknown key {key!r}; it may hold {_listed(_REJECTION)}"
        if problem := _problem(rule, item):
            return f"holds a {key!r} that {problem}"
    return ""


def _type(value: str) -> str:
    return "" if "." in value.strip(".") else f"must contain a dot, as in 'chat.message', not {value[:60]!r}"


_Rule = tuple[tuple[type, ...], Check | None]
_NONE = type(None)
_TEXT: _Rule = ((str, _NONE), None)
_BYTES: _Rule = ((bytes, _NONE), None)
_FLAG: _Rule = ((bool, _NONE), None)
_CLOSE: _Rule = ((bool, int, _NONE), _close)
_REASON: _Rule = ((str, _NONE), _reason)
_HEADERS: _Rule = ((list, tuple), _headers)

_REJECTION: Mapping[str, _Rule] = {"status": ((int,), _status), "headers": _HEADERS, "content": ((bytes,), None)}

_WEBSOCKET: Mapping[str, _Rule] = {
    "accept": _FLAG,
    "subprotocol": ((str, _NONE), _subprotocol),
    "headers": ((list, tuple, _NONE), _headers),
    "receive_channel": ((str, _NONE), None),
    "reject": ((dict, _NONE), _reject),
    "close": _CLOSE,
    "reason": _REASON,
    "text": _TEXT,
    "bytes": _BYTES,
}
_HTTP: Mapping[str, _Rule] = {
    "status": ((int, _NONE), _status),
    "headers": ((list, tuple, _NONE), _headers),
    "content": _BYTES,
    "more_content": _FLAG,
    "status_text": ((bytes, _NONE), _status_text),
    "request": ((dict, _NONE), None),
}
_GROUP: Mapping[str, _Rule] = {
    "text": _TEXT,
    "bytes": _BYTES,
    "close": _CLOSE,
    "reason": _REASON,
    "content": _BYTES,
    "more_content": _FLAG,
}
_TO_SOCKETS = Protocol.WEBSOCKET
"""Looked up once: finding a member of an enum, and hashing it, costs as much as checking a message."""


# --- the validators ----------------------------------------------------------------------------------------------


def check_reply(message: Mapping[str, Any], protocol: Protocol) -> None:
    """Check a message for a reply channel.

    Raises:
        InvalidMessage: a key that the protocol does not know, or a value of the wrong kind; the key is named.
    """
    if protocol is _TO_SOCKETS:
        _check(message, _WEBSOCKET, "a reply to a WebSocket")
    else:
        _check(message, _HTTP, "a reply to an HTTP request")


def check_group_message(message: Mapping[str, Any]) -> None:
    """Check a message for a group.

    With a `type` it is for the members' consumers and may hold anything. With a key that means something to a socket
    or an open response it may hold no other. With neither it is for application channels, which may be members too.

    Raises:
        InvalidMessage: as `check_reply`.
    """
    if "type" in message:
        if problem := _problem(((str,), _type), message["type"]):
            raise _invalid("a group message", "type", problem)
    elif not _GROUP.keys().isdisjoint(message):
        _check(message, _GROUP, "a group message")


def _check(message: Mapping[str, Any], table: Mapping[str, _Rule], what: str) -> None:
    for key, value in message.items():
        rule = table.get(key)
        if rule is None:
            msg = f"{what} holds the unknown key {key!r:.100}; it may hold {_listed(table)}"
            raise InvalidMessage(msg, str(key))
        if type(value) not in rule[0] or rule[1] is not None:
            problem = _problem(rule, value)
            if problem:
                raise _invalid(what, key, problem)
    if len(message) > 1 and message.get("text") is not None and message.get("bytes") is not None:
        raise _invalid(what, "bytes", "comes with a 'text': a frame is one or the other")


def _problem(rule: _Rule, value: object) -> str:
    kinds, check = rule
    # bool is an int to isinstance(), and a status of True is a mistake
    if type(value) not in kinds and (type(value) is bool or not isinstance(value, kinds)):
        wanted = " or ".join("None" if kind is _NONE else kind.__name__ for kind in kinds)
        return f"must be {wanted}, not {type(value).__name__}"
    return check(value) if check is not None and value is not None else ""


def _invalid(what: str, key: str, problem: str) -> InvalidMessage:
    return InvalidMessage(f"{key!r} in {what} {problem}", key)


def _listed(keys: Mapping[str, Any]) -> str:
    return ", ".join(keys)
