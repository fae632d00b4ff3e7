"""What `vectors/redis.json` holds, made by the code. `python -m tests.support.redis_vectors` writes the file anew.

Text stays text; bytes that are none are `{"base64": …}`. An implementation in another language reads the file and
compares; what it means is said by docs/transport.md.
"""

import json
from base64 import b64encode
from typing import Any

from fairway.broker.effects import (
    Add,
    Delivery,
    Discard,
    Done,
    Ending,
    Envelope,
    Grant,
    GroupFrame,
    Policy,
    SaveState,
    Send,
)
from fairway.layers.redis.commands import DROP, Command, Commands, Lease
from fairway.layers.redis.entries import fields_of, fields_of_items, header_of, pack, pack_state
from fairway.layers.redis.operations import single_commit
from fairway.layers.redis.shards import Shards
from fairway.limits import BrokerLimits
from tests.support.processes import ROOT

FILE = ROOT / "vectors" / "redis.json"

SHARDS = Shards("mysite", 4)
COMMANDS = Commands(Shards("mysite"), BrokerLimits())
ENVELOPE = Envelope("s1!c7.3", "websocket.receive", "s1!c7", 3, state={"user": b"\xa5alice"})
PLAIN = Envelope("m1", "numbers")
LEASE = Lease("s1!", "4f1d2c", "1795000000000-0")


def vectors() -> dict[str, Any]:
    """All vectors."""
    return {
        "shards": {
            "prefix": "mysite",
            "count": 4,
            "of": {name: SHARDS.of_channel(name) for name in ("numbers", "chat.lines", "größe", "s1!c7", "body?x1")},
            "keys": {shard: SHARDS.key(shard, "in") for shard in ("#0", "s1!")},
        },
        "limits": spell(COMMANDS.tick("#0", []).arguments[0]),
        "headers": [_header(ENVELOPE, 5), _header(PLAIN, 5), _header(_once(), 2)],
        "states": [{"state": spell(ENVELOPE.state), "packed": spell(pack_state(ENVELOPE.state))}],
        "deliveries": [_delivery(ENVELOPE, b"\x81\xa4text\xa5hello", "1795000020000"), _delivery(PLAIN, b"", "")],
        "inbox": _inbox(),
        "calls": [{"what": what, **_call(command)} for what, command in _commands()],
    }


def _once() -> Envelope:
    return Envelope("s1!r9.0", "http.request", "s1!r9", 0, 2, Policy.ONCE, None, None, 1)


def spell(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, bytes):
        is_text = value.isascii() and value.decode("ascii").isprintable()
        return value.decode() if is_text else {"base64": b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: spell(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [spell(part) for part in value]
    return value


def _header(envelope: Envelope, attempts: int) -> dict[str, Any]:
    fields = [
        envelope.id,
        envelope.channel,
        envelope.reply_channel,
        envelope.order,
        envelope.attempt,
        envelope.policy.value,
        envelope.retries,
        attempts,
    ]
    return {"fields": fields, "packed": spell(header_of(envelope, attempts))}


def _delivery(envelope: Envelope, body: bytes, expires: str) -> dict[str, Any]:
    entry = ["h", header_of(envelope, 5), "s", pack_state(envelope.state), "b", body]
    if expires:
        entry += ["x", expires]
    means = {"id": envelope.id, "channel": envelope.channel, "reply_channel": envelope.reply_channel}
    return {"entry": spell(entry), "means": {**means, "state": spell(envelope.state), "body": spell(body)}}


def _inbox() -> list[dict[str, Any]]:
    effects: list[Send | SaveState | Grant] = [
        Send("s1!c7", b"\x81\xa4text\xa5hello"),
        SaveState("s1!c7", {"user": b"\xa3bob", "old": None}),
        Grant("s1!r9", 65536),
    ]
    items = [
        GroupFrame("room", b"\x80", typed=True, id="m1.0"),
        Add("room", "s1!c7", 1795000000000001),
        Discard("room", "s1!c7"),
        Done("s1!c7", 3),
    ]
    written: list[tuple[str, list[Any]]] = [
        ("a", [b"a", pack(["s1!c7", 3, "attempts", 5])]),
        ("x", [b"x", pack(["s1!c7", 4, "websocket.receive", "capacity"])]),
        ("o", [b"o", b"view!"]),
        ("?", [b"?", pack(["w1/12", "state", "s1!c7"])]),
        ("r", [b"r", pack(["websocket.connect", "websocket.receive"])]),
    ]
    found = []
    for effect in effects:
        fields, size = fields_of(effect)
        found.append({"item": str(fields[0]), "entry": spell(fields), "bytes": size})
    for item in items:
        fields = fields_of_items([item])
        size = len(item.body) if isinstance(item, GroupFrame) else 0
        found.append({"item": str(fields[0]), "entry": spell(fields), "bytes": size})
    return found + [{"item": name, "entry": spell(fields), "bytes": 0} for name, fields in written]


def _commands() -> list[tuple[str, Command]]:
    commands, will = COMMANDS, b"\x82\xa4code\xcd\x03\xe9\xa5order"
    message = Send("numbers", b"\x81\xa1n\x01", id="mine")
    delivery = Delivery(ENVELOPE, b"\x81\xa4text\xa5hello", 1)
    effects = [Send("s1!c7", b"\x81\xa4text\xa3hey"), SaveState("s1!c7", {"n": b"\x01"})]
    plain, lease = Delivery(PLAIN, b"\x80", 1), Lease("#0", "4f1d2c", "1795000000000-1")
    commits = [
        single_commit(commands, LEASE, delivery, effects, Ending.DONE, 1),
        single_commit(commands, LEASE, delivery, effects, Ending.LATER, 1),
        single_commit(commands, lease, plain, [Send("chat.lines", b"\x80")], Ending.DONE, 0),
    ]
    names = ["commit", "commit, to come again", "commit, and send to another channel"]
    frame = GroupFrame("room", b"\x80", typed=False, id="m1")
    submission = commands.submission(ENVELOPE, b"\x81\xa4text\xa5hello", "n")
    return [
        ("send, waiting 1.5 s for room", commands.publish(message, token="w1/1", timeout=1.5)),
        ("send a copy to a member of a group", commands.publish(message, timeout=DROP)),
        ("answer the connection of a delivery", commands.answer(Send("s1!c7", b"\x80", id="m2"), LEASE, begins=True)),
        *((name, commit) for name, commit in zip(names, commits, strict=True) if commit),
        ("bring a frame of a commit to another server", commands.tell_frame("s2!c1", b"\x80", "s1!c7.3.0")),
        (
            "send to a server in a group",
            commands.tell("s1!", frame, "drop", "m1"),
        ),
        ("ask for a state", commands.ask("s1!", "w1/2", "state", "s1!c7")),
        ("open a session", commands.open("s1!", "4f1d2c", ["websocket.connect", "websocket.receive"], 12, 8)),
        ("take one delivery more", commands.demand("s1!", "4f1d2c", 1)),
        ("release", commands.release("s1!", "4f1d2c", ["1795000000000-0", "1795000000000-1"])),
        ("close a session", commands.end("s1!", "4f1d2c", "close")),
        ("sign, and do what is due", commands.tick("s1!", ["4f1d2c"])),
        ("own", commands.own("9b1e.1", ["s1!", "s1web!"])),
        ("acknowledge what was read", commands.owner("s1!", "ack", "9b1e.1", "1795000000000-4", 5, 120)),
        ("file a will", commands.owner("s1!", "will", "9b1e.1", "s1!c7", will, 3, pack_state(ENVELOPE.state))),
        ("submit", commands.call("s1!", "submit", "9b1e.1", *submission)),
        ("join a group", commands.group("add", "room", "s1!")),
        ("leave a group", commands.group("remove", "room", "s1!", "1795000000000001")),
        ("register a server", commands.operator("#0", "register", "s1!")),
    ]


def _call(command: Command) -> dict[str, Any]:
    arguments = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in command.arguments]
    return {"script": command.script, "key": COMMANDS.shards.base(command.shard), "arguments": spell(arguments)}


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
