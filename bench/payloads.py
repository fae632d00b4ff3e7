"""What the messages of a shape say.

All of them are text, because that is what browsers mostly exchange and what every contender must check as UTF-8.
"""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from bench.plan import SMALL, VARIANTS, Shape

_WORDS = [
    "harbour",
    "tide",
    "buoy",
    "channel",
    "pilot",
    "keel",
    "anchor",
    "lantern",
    "chart",
    "mooring",
    "current",
    "signal",
    "ferry",
    "sound",
    "strait",
    "jetty",
    "compass",
    "rope",
    "deck",
    "sail",
    "wind",
    "water",
    "north",
    "south",
    "east",
    "west",
    "light",
    "tower",
    "wave",
    "shore",
]


def payloads(shape: Shape) -> list[bytes]:
    """Return the messages of a shape: `VARIANTS` different texts of exactly its size, the same in every run."""
    build = _plain_text
    if shape.requests:
        build = _request_text
    elif shape.json or shape.size > SMALL:
        build = _json_text
    return [build(number, shape.size) for number in range(VARIANTS)]


@cache
def message_text(size: int) -> str:
    """Return the text of a message through the layer."""
    return _plain_text(size, size).decode("ascii")


def _plain_text(number: int, size: int) -> bytes:
    text = f"{number:08d} " + " ".join(random.Random(number).choices(_WORDS, k=size))
    return text[:size].encode("ascii")


def _json_text(number: int, size: int) -> bytes:
    """Build what a chat sends: a JSON object with records in it, padded to the size inside a string."""
    rng = random.Random(number)
    content: dict[str, object] = {"n": number, "pad": ""}
    if size > 2 * SMALL:
        content["items"] = items = []
        while len(json.dumps(content)) < size - 200:
            items.append(
                {"id": rng.randrange(10**9), "user": rng.choice(_WORDS), "text": " ".join(rng.choices(_WORDS, k=9))}
            )
    room = size - len(json.dumps(content))
    content["pad"] = " ".join(rng.choices(_WORDS, k=room))[:room]
    return json.dumps(content).encode("ascii")


def _request_text(number: int, size: int) -> bytes:
    """Build a request of rohrpost, whose data is an object."""
    content: dict[str, Any] = {"type": "ping", "id": number, "data": {"text": ""}}
    room = size - len(json.dumps(content))
    content["data"]["text"] = " ".join(random.Random(number).choices(_WORDS, k=room))[:room]
    return json.dumps(content).encode("ascii")
