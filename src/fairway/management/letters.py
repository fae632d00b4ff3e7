"""How dead letters look: in a table, one in full, and as JSON. What they hold is escaped, and cut where it is long."""

import base64
import json
import pprint
import textwrap
from collections.abc import Sequence
from itertools import islice
from typing import Any

from fairway.errors import InvalidMessage
from fairway.layers.base import DeadLetter
from fairway.layers.codec import decode_message

TEXT_SHOWN = 500
"""Characters or bytes of one value that are shown."""

REASON_SHOWN = 60
"""Characters of a reason that are shown in a table."""

ENTRIES_SHOWN = 50
"""Entries of one list or dict that are shown."""

COLUMNS = ("ID", "AGE", "CHANNEL", "REASON", "ATTEMPTS", "SIZE")
RIGHT = frozenset({"AGE", "ATTEMPTS", "SIZE"})

REASONS = {
    "attempts": "its worker was lost each time",
    "retries": "its consumer raised ConsumeLater each time",
    "full": "its channel had no room for it",
}


def table(letters: Sequence[DeadLetter]) -> str:
    """Return letters as a table, one a line."""
    rows = [
        (
            plain(letter.id),
            age(letter.age),
            plain(letter.channel),
            plain(textwrap.shorten(letter.reason, REASON_SHOWN)),
            str(letter.attempts),
            size(len(letter.body)),
        )
        for letter in letters
    ]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    return "\n".join(_line(row, widths) for row in [COLUMNS, *rows])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if name in RIGHT else cell.ljust(width)
        for name, cell, width in zip(COLUMNS, row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def full(letter: DeadLetter) -> str:
    """Return all there is to know about a letter, with its decoded body."""
    facts = {
        "id": plain(letter.id),
        "channel": plain(letter.channel),
        "reply channel": plain(letter.reply_channel) or "-",
        "reason": _reason(letter.reason),
        "attempts": str(letter.attempts),
        "retries": str(letter.retries),
        "died": f"{age(letter.age)} ago",
        "size": size(len(letter.body)),
    }
    lines = [f"{name + ':':<15}{value}" for name, value in facts.items()]
    return "\n".join([*lines, "body:", pprint.pformat(cut(content(letter.body)), width=100, sort_dicts=False)])


def _reason(reason: str) -> str:
    """Return one of the layer's reasons with what it means; that of a consumer says it itself."""
    meaning = REASONS.get(reason)
    return f"{reason} ({meaning})" if meaning else plain(reason)


def content(body: bytes) -> Any:
    """Return the message in a body, or the body itself when there is none in it."""
    try:
        return decode_message(body)
    except InvalidMessage:
        return body


def cut(value: Any) -> Any:
    """Return a value with what is long in it cut, and marked as cut."""
    if isinstance(value, str | bytes):
        what = "characters" if isinstance(value, str) else "bytes"
        return value if len(value) <= TEXT_SHOWN else Cut(repr(value[:TEXT_SHOWN]), len(value) - TEXT_SHOWN, what)
    if not isinstance(value, dict | list):
        return value
    rest = Cut("", len(value) - ENTRIES_SHOWN, "entries") if len(value) > ENTRIES_SHOWN else None
    if isinstance(value, list):
        return [*map(cut, value[:ENTRIES_SHOWN]), *([rest] if rest else [])]
    return {key: cut(entry) for key, entry in islice(value.items(), ENTRIES_SHOWN)} | ({rest: rest} if rest else {})


class Cut:
    """What stands where something was cut."""

    def __init__(self, text: str, more: int, what: str) -> None:
        self._text = f"{text}… {more} {what} more"

    def __repr__(self) -> str:
        return self._text


def as_json(letters: Sequence[DeadLetter]) -> str:
    """Return letters as a JSON list, whole; bytes in them are `{"base64": ...}`."""
    found = [
        {
            "id": letter.id,
            "channel": letter.channel,
            "reply_channel": letter.reply_channel,
            "reason": letter.reason,
            "attempts": letter.attempts,
            "retries": letter.retries,
            "age": round(letter.age, 3),
            "size": len(letter.body),
            "body": content(letter.body),
        }
        for letter in letters
    ]
    return json.dumps(found, default=_base64, indent=2)


def _base64(value: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


def plain(text: str) -> str:
    """Return text with everything escaped that could do something to a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def age(seconds: float) -> str:
    """Return a time as a person says it: 7s, 3m, 5h, 2d."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds / length)}{unit}"
    return f"{int(seconds)}s"


def size(count: int) -> str:
    """Return a number of bytes as a person says it."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"
