"""The grammar of channel and group names (message standard, section 2).

Three kinds of channel are told apart by one type character::

    http.request               normal: any reader takes each message
    http.request.body?AbC      single-reader: one reader, all messages in order
    websocket.send.A1!c7       process-specific: the process that owns `websocket.send.A1!` reads them all
"""

import re
import secrets

from fairway.errors import InvalidName

MAX_CHANNEL_LENGTH = 99
MAX_GROUP_LENGTH = 200
RESERVED_PREFIX = "fairway."
"""Channels and groups below this prefix belong to Fairway itself."""

DEAD_LETTERS = "fairway.dead"
"""The channel on which messages end that nobody could consume."""

_CHANNEL = re.compile(r"[A-Za-z0-9\-_.]+(?:![A-Za-z0-9\-_.]*|\?[A-Za-z0-9\-_.]+)?", re.ASCII)


def check_channel(name: object) -> str:
    """Return `name` when it names a channel one may send to.

    Raises:
        InvalidName: not a `str`, empty, 100 characters or more, or a character outside the grammar.
    """
    if not isinstance(name, str):
        msg = f"a channel name is a str, not {type(name).__name__}: {name!r}"
        raise InvalidName(msg)
    if len(name) > MAX_CHANNEL_LENGTH or not _CHANNEL.fullmatch(name):
        msg = (
            f"{name[:120]!r} is no channel name: 1 to {MAX_CHANNEL_LENGTH} of A-Z a-z 0-9 - _ . "
            "with at most one ! or ? inside (a ? needs something after it)"
        )
        raise InvalidName(msg)
    return name


def check_readable(name: object) -> str:
    """Return `name` when a reader may listen on it: as for sending, but nothing may follow a `!`.

    Raises:
        InvalidName: as `check_channel`, or the name has a local part.
    """
    channel = check_channel(name)
    if "!" in channel and not channel.endswith("!"):
        msg = f"{channel!r} names one connection; read its owner's prefix {owner_prefix(channel)!r} instead"
        raise InvalidName(msg)
    return channel


def check_prefix(name: object) -> str:
    """Return `name` when it is a prefix that a process may own: what ends in `!`.

    Raises:
        InvalidName: as `check_channel`, or it ends in something else.
    """
    prefix = check_channel(name)
    if not prefix.endswith("!"):
        msg = f"an owner's prefix ends in '!', and {prefix!r} does not"
        raise InvalidName(msg)
    return prefix


def check_group(name: object) -> str:
    """Return `name` when it may name a group: any text of 1 to 200 characters.

    Raises:
        InvalidName: not a `str`, empty, or longer than 200 characters.
    """
    if not isinstance(name, str):
        msg = f"a group name is a str, not {type(name).__name__}: {name!r}"
        raise InvalidName(msg)
    if not 0 < len(name) <= MAX_GROUP_LENGTH:
        msg = f"a group name has 1 to {MAX_GROUP_LENGTH} characters, this one has {len(name)}: {name[:120]!r}"
        raise InvalidName(msg)
    return name


def check_not_reserved(name: str, kind: str) -> str:
    """Return `name` unless it lies in the part of the name space that Fairway keeps for itself.

    Raises:
        InvalidName: the name starts with `fairway.`; `kind` ("channel", "group") is for the text.
    """
    if name.startswith(RESERVED_PREFIX):
        msg = f"{kind} names that start with {RESERVED_PREFIX!r} are reserved for Fairway itself: {name!r}"
        raise InvalidName(msg)
    return name


def owner_prefix(channel: str) -> str:
    """Return the prefix up to and including `!` of a process-specific channel, or `""` for any other."""
    return channel[: channel.find("!") + 1]


def new_channel(prefix: str) -> str:
    """Return a fresh single-reader channel: `prefix` (which ends in `?`) and a random part.

    Raises:
        InvalidName: the prefix does not end in `?` or is no name.
    """
    if not isinstance(prefix, str) or not prefix.endswith("?"):
        msg = f"a single-reader channel is made from a prefix that ends in '?', not from {prefix!r}"
        raise InvalidName(msg)
    return check_channel(prefix + random_part())


def random_part() -> str:
    """Return a random name part of 16 characters that cannot be guessed."""
    return secrets.token_hex(8)
