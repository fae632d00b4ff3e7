"""The frames between browser and server, and the check of everything that a browser sends.

Every frame is a text frame with one JSON object, told apart by its `type`. The README has the table. A frame that
breaks a rule is answered by an `error` frame and changes nothing; the socket stays open. Keys that are not known are
ignored, so that an older server understands a newer page.
"""

import json
import unicodedata
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chat.models import NAME_LENGTH, TEXT_LENGTH

# A text of full length in which every character is written as two \uXXXX escapes takes 24,000 characters.
FRAME_LENGTH = 32_768
MAX_ID = 2**63 - 1


class BadFrame(Exception):
    """A frame that breaks a rule. The browser is told `code` (for programs) and `detail` (for people)."""

    def __init__(self, code: str, detail: str, ref: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.ref = ref

    def frame(self) -> str:
        """Return the error frame. `ref` is there if the browser's frame had a usable one."""
        return encode("error", code=self.code, detail=self.detail, **({"ref": self.ref} if self.ref else {}))


@dataclass(frozen=True)
class Join:
    """Somebody comes in, under a name, and knows the messages up to `after`."""

    name: str
    after: int


@dataclass(frozen=True)
class Say:
    """Somebody says something."""

    text: str
    ref: UUID


def encode(kind: str, **fields: Any) -> str:
    """Return a frame for the browser."""
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))


def parse(text: str | None) -> Join | Say:
    """Read a browser's frame. `text` is None for a binary one. Raises `BadFrame`."""
    if text is None:
        raise BadFrame("binary", "Only text frames are understood.")
    if len(text) > FRAME_LENGTH:
        raise BadFrame("too-long", "The frame is too long.")
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError: a hundred thousand opening brackets
        raise BadFrame("not-json", "The frame is not JSON.") from None
    if not isinstance(frame, dict):
        raise BadFrame("not-an-object", "The frame is not a JSON object.")
    match frame.get("type"):
        case "join":
            return _join(frame)
        case "say":
            return _say(frame)
        case _:
            raise BadFrame("unknown-type", "The type has to be “join” or “say”.")


def _join(frame: dict[str, Any]) -> Join:
    name = frame.get("name")
    if not isinstance(name, str):
        raise BadFrame("bad-name", "The name has to be text.")
    name = " ".join(name.split())
    if not _is_visible(name) or len(name) > NAME_LENGTH or not all(map(_allowed_in_name, name)):
        raise BadFrame("bad-name", f"A name has 1 to {NAME_LENGTH} characters, and no control characters.")
    after = frame.get("after", 0)
    if type(after) is not int or not 0 <= after <= MAX_ID:  # bool is an int, and is not meant
        raise BadFrame("bad-after", "“after” has to be the id of a message.")
    return Join(name, after)


def _say(frame: dict[str, Any]) -> Say:
    written = frame.get("ref")
    try:
        ref = UUID(written)
    except (TypeError, ValueError, AttributeError):
        raise BadFrame("bad-ref", "“ref” has to be a UUID.") from None
    text = frame.get("text")
    if not isinstance(text, str):
        raise BadFrame("bad-text", "The text has to be text.", str(ref))
    text = text.strip()
    if not _is_visible(text):
        raise BadFrame("empty-text", "There is nothing in this message.", str(ref))
    if len(text) > TEXT_LENGTH:
        raise BadFrame("text-too-long", f"A message has at most {TEXT_LENGTH:,} characters.", str(ref))
    if not all(map(_allowed_in_text, text)):
        raise BadFrame("bad-text", "There are control characters in this message.", str(ref))
    return Say(text, ref)


def _is_visible(text: str) -> bool:
    """Say whether anything of it can be seen: a letter, number, punctuation mark or symbol."""
    return any(unicodedata.category(character)[0] in "LNPS" for character in text)


def _allowed_in_name(character: str) -> bool:
    """Refuse what could make one name look like another: control and format characters, line separators.

    The two joiners stay: Persian and Hindi need them, and so do many emoji.
    """
    return character in "\u200c\u200d" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _allowed_in_text(character: str) -> bool:
    """Refuse control characters, and halves of surrogate pairs, which no database can store."""
    return character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
