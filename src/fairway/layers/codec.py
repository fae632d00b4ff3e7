"""Messages as bytes: MessagePack, with every value checked on the way in.

MessagePack keeps `str` and `bytes` apart, carries nothing but data, and msgspec writes it faster than JSON. msgspec
alone would let more through than the message standard allows (dates, sets, integers of 64 bits without sign), so a
message is walked first; the walk also finds the key that a clear error must name. Instances of a subclass (a template's
`SafeString`, a member of `TextChoices`) arrive as the plain type.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fairway.errors import InvalidMessage, MessageTooLarge
from fairway.limits import MessageLimits

DEFAULT_LIMITS = MessageLimits()
_LEAST, _MOST = -(2**63), 2**63 - 1
_SCALARS = frozenset({str, bytes, bool, float, type(None)})


def _plain(value: object) -> object:
    """Return a subclass's value as what it is a kind of: Django's `SafeString` travels as `str`."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise NotImplementedError


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


def encode_message(message: Mapping[str, Any], limits: MessageLimits = DEFAULT_LIMITS) -> bytes:
    """Return `message` as bytes.

    Raises:
        InvalidMessage: it is no dict of str keys to None, bool, int, float, str, bytes, list and dict; says which key.
        MessageTooLarge: the bytes are above `limits.body`.
    """
    if not isinstance(message, dict):
        msg = f"a message is a dict, not {type(message).__name__}"
        raise InvalidMessage(msg)
    _check_dict(message, "", limits.depth)
    return encode_built(message, limits)


def encode_built(message: Mapping[str, Any], limits: MessageLimits = DEFAULT_LIMITS) -> bytes:
    """Do as `encode_message` for a message that our own code has built, of nothing but values that can travel."""
    try:
        body = _encode(message)
    except UnicodeEncodeError as error:
        msg = f"a str in the message cannot be encoded: {error}"
        raise InvalidMessage(msg) from None
    if len(body) > limits.body:
        what = "message"
        raise MessageTooLarge(what, len(body), limits.body)
    return body


def decode_message(body: bytes) -> dict[str, Any]:
    """Return the message that `encode_message` made `body` from.

    Raises:
        InvalidMessage: the bytes are no message; they did not come from a Fairway layer.
    """
    try:
        return _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"the body is no message: {error}"
        raise InvalidMessage(msg) from None


def pack_value(value: object, key: str) -> bytes:
    """Return one value of a connection's state as bytes.

    Raises:
        InvalidMessage: the value cannot travel; `key` is named.
    """
    _check_value(value, key, DEFAULT_LIMITS.depth)
    return _encode(value)


unpack_value = msgspec.msgpack.Decoder().decode


def _check_dict(value: Mapping[Any, Any], path: str, depth: int) -> None:
    for key, item in value.items():
        if not isinstance(key, str):
            where = f" in {path!r}" if path else ""
            msg = f"the keys of a message are str, not {type(key).__name__}{where}"
            raise InvalidMessage(msg, path)
        if type(item) not in _SCALARS:
            _check_value(item, f"{path}.{key}" if path else key, depth)


def _check_value(value: object, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if isinstance(value, int):
        if not _LEAST <= value <= _MOST:
            msg = f"{path!r} is an int outside the signed 64-bit range, of {value.bit_length()} bits"
            raise InvalidMessage(msg, path)
    elif isinstance(value, str | bytes | float):
        return
    elif depth == 0:
        msg = f"{path[:120]!r} is nested deeper than {DEFAULT_LIMITS.depth} levels"
        raise InvalidMessage(msg, path)
    elif isinstance(value, dict):
        _check_dict(value, path, depth - 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if type(item) not in _SCALARS:
                _check_value(item, f"{path}[{index}]", depth - 1)
    else:
        msg = (
            f"{path!r} is a {kind.__module__}.{kind.__qualname__}, which cannot travel; "
            "a message holds None, bool, int, float, str, bytes, list and dict"
        )
        raise InvalidMessage(msg, path)
