"""`vectors/redis.json` is what the code does, in both directions, so that code in another language may trust it."""

import json
from base64 import b64decode
from typing import Any

import msgspec
import pytest
from redis.crc import key_slot

from fairway.broker.effects import Abandoned, Add, Credit, Discard, Done, Frame, GroupFrame, OwnerGone, Refused, State
from fairway.layers.redis.entries import Asked, Readers, delivery_of, items_of, size_of
from fairway.layers.redis.scripts import NAMES
from tests.support.redis_vectors import FILE, vectors

VECTORS = json.loads(FILE.read_text("utf-8"))


def unspell(value: Any) -> bytes:
    """The bytes behind a value of the file."""
    return b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


@pytest.mark.parametrize("part", VECTORS)
def test_the_code_makes_what_the_file_says(part: str) -> None:
    """After a change that is meant, `python -m tests.support.redis_vectors` writes the file anew."""
    assert json.loads(json.dumps(vectors()))[part] == VECTORS[part]


def test_deliveries_are_understood() -> None:
    for vector in VECTORS["deliveries"]:
        delivery = delivery_of([unspell(part) for part in vector["entry"]], 1)
        means = vector["means"]
        envelope = delivery.envelope
        assert [envelope.id, envelope.channel, envelope.reply_channel] == [
            means["id"],
            means["channel"],
            means["reply_channel"],
        ]
        state = {key: unspell(value) for key, value in means["state"].items()} if means["state"] else None
        assert (envelope.state, delivery.body) == (state, unspell(means["body"]))


def test_inbox_entries_are_understood() -> None:
    items = []
    for vector in VECTORS["inbox"]:
        entry = [unspell(part) for part in vector["entry"]]
        assert size_of(entry) == vector["bytes"]
        items += items_of(entry)
    assert items == [
        Frame("s1!c7", b"\x81\xa4text\xa5hello"),
        State("s1!c7", {"user": b"\xa3bob", "old": None}),
        Credit("s1!r9", 65536),
        GroupFrame("room", b"\x80", typed=True, id="m1.0"),
        Add("room", "s1!c7", 1795000000000001),
        Discard("room", "s1!c7"),
        Done("s1!c7", 3),
        Abandoned("s1!c7", 3, "attempts", 5),
        Refused("s1!c7", 4, "websocket.receive", "capacity"),
        OwnerGone("view!"),
        Asked("w1/12", "state", "s1!c7"),
        Readers(["websocket.connect", "websocket.receive"]),
    ]


def test_headers_are_plain_arrays() -> None:
    for vector in VECTORS["headers"]:
        assert msgspec.msgpack.decode(unspell(vector["packed"])) == vector["fields"]


def test_every_script_is_called_once_at_least() -> None:
    assert {call["script"] for call in VECTORS["calls"]} == set(NAMES)
    limits = VECTORS["limits"]
    for call in VECTORS["calls"]:
        assert call["arguments"][0] == limits
        assert key_slot(call["key"].encode()) == key_slot(f"{call['key']}:in".encode())
