"""docs/transport.md is enough to write a worker and a server: these know nothing of our own but the Lua files."""

import re
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from fairway.broker.effects import Add, Done, Envelope, Frame, GroupFrame, GroupSend, SaveState, Send, State
from fairway.layers.base import Delivery
from fairway.layers.redis.layer import RedisLayer
from tests.support.processes import ROOT
from tests.support.redis import RedisServer, call
from tests.support.waiting import await_until, wait_until

PAGE = (ROOT / "docs" / "transport.md").read_text("utf-8").partition("\n# Redis\n")[2]
LUA = ROOT / "src" / "fairway" / "layers" / "redis" / "lua"

LIMITS = msgspec.msgpack.encode([268435456, 67108864, 100000, 1000, 16777216, 2000, 600000, 100000, 100000])
SILENCE = 10_000
pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


def script(path: Path) -> str:
    def parts(line: re.Match[str]) -> str:
        return "\n".join((LUA / f"{name}.lua").read_text() for name in line[1].split())

    return re.sub(r"^--@ (.+)$", parts, path.read_text(), flags=re.MULTILINE)


class Second:
    """A second implementation, written from the page."""

    def __init__(self, client: "redis.Redis[bytes]", prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self.name = secrets.token_hex(4)
        self.shas = {
            path.stem: self.say("SCRIPT", "LOAD", script(path))
            for path in LUA.glob("*.lua")
            if path.read_text().startswith("--@ ")
        }
        self.positions: dict[str, bytes] = {}
        self.tokens = 0

    def say(self, *command: Any) -> Any:
        return call(self.client, *command)

    def call(self, shard: str, name: str, *arguments: Any) -> Any:
        due, result, losses = self.say("EVALSHA", self.shas[name], 1, self.base(shard), LIMITS, *arguments)
        assert due >= -1
        assert losses == []
        return result

    def base(self, shard: str) -> str:
        return f"{{{self.prefix}:{shard}}}"

    def common(self, name: str) -> str:
        return f"#{zlib.crc32(name.encode()) % 2}"

    def read(self, key: str) -> list[tuple[bytes, list[bytes]]]:
        """What has come in a stream since the last time; waits for something to come."""
        found = self.say("XREAD", "BLOCK", 5000, "STREAMS", key, self.positions.get(key, "0-0"))
        assert found, f"nothing came in {key}"
        ((_, entries),) = found
        self.positions[key] = entries[-1][0]
        return entries  # type: ignore[no-any-return]

    # --- sending -----------------------------------------------------------------------------------------------------

    def letter(self, channel: str, body: bytes, reply: str = "", order: int = -1) -> list[Any]:
        header = pack([secrets.token_hex(4), channel, reply, order, 1, 0, 0, 5])
        return [10_000, -1, header, b"", body]

    def send(self, channel: str, body: bytes) -> None:
        shard = channel[: channel.find("!") + 1] or self.common(channel)
        result = self.call(shard, "publish", channel, "", 0, "", *self.letter(channel, body), "", "", 0)
        if isinstance(result, list) and result[0] == b"moved":
            shard = result[1].decode()
            result = self.call(shard, "publish", channel, "", 0, "", *self.letter(channel, body), "", "", 0)
        assert result == b"ok"

    def join(self, group: str, channel: str) -> None:
        shard = channel[: channel.find("!") + 1]
        generation = self.call(self.common(group), "groups", "add", group, shard)
        add = pack([group, channel, generation])
        assert self.call(shard, "tell", "refuse", "", "", 0, "+", add) == b"ok"

    def send_group(self, group: str, body: bytes) -> None:
        members = self.call(self.common(group), "groups", "read", group)
        name = secrets.token_hex(4)
        for member in members[::2]:
            if member.endswith(b"!"):
                frame = ["g", pack([group, False, name]), "b", body]
                self.call(member.decode(), "tell", "drop", name, "", len(body), *frame)
            else:
                letter = self.letter(member.decode(), body)
                self.call(self.common(member.decode()), "publish", member, "", -1, "", *letter, "", "", 0)

    # --- a worker ----------------------------------------------------------------------------------------------------

    def open(self, shard: str, *channels: str, demand: int = 1) -> None:
        assert self.call(shard, "session", "open", self.name, SILENCE, demand, 0, *channels) == b"ok"

    def receive(self, shard: str) -> tuple[str, bytes, list[Any], bytes, bytes]:
        """Shard, receipt, header, state and body of one delivery."""
        ((entry, (h, header, s, state, b, body, *_)),) = self.read(f"{self.base(shard)}:s:{self.name}")
        assert (h, s, b) == (b"h", b"s", b"b")
        return shard, entry, unpack(header), state, body

    def commit(self, delivery: tuple[str, bytes, list[Any], bytes, bytes], *fields: Any, size: int = 0) -> Any:
        shard, entry, (name, _, reply, order, *_), _, body = delivery
        told = list(fields)
        if order >= 0:
            told += ["d", pack([reply, order])]
        is_gated = name if order >= 0 else ""
        outcome = ["done", 0, "", "", size, len(told), *told]
        return self.call(shard, "commit", self.name, entry, is_gated, reply, len(body), 1, *outcome)

    # --- a server ----------------------------------------------------------------------------------------------------

    def own(self, shard: str) -> None:
        for number in range(2):
            self.call(f"#{number}", "groups", "forget", shard)
        assert self.call(shard, "owner", "own", self.name, SILENCE, shard) == b"ok"
        self.call("#0", "operator", "register", shard)

    def submit(self, shard: str, channel: str, reply: str, order: int, body: bytes) -> None:
        capacity, expiry, _, state, _ = self.letter(channel, body)
        name = f"{reply}.{order}"
        header = pack([name, channel, reply, order, 1, 0, 0, 5])
        message = [channel, capacity, expiry, reply, order, name, channel, 0, "", header, state, body]
        assert self.call(shard, "submit", self.name, *message) == b"ok"

    def items(self, shard: str, count: int) -> list[tuple[bytes, Any, bytes | None]]:
        """Field, value and `b` of what comes for the owner, but for what is read; all is acknowledged."""
        found: list[tuple[bytes, Any, bytes | None]] = []
        while len(found) < count:
            size = 0
            entries = self.read(f"{self.base(shard)}:in")
            for _, fields in entries:
                pairs = list(zip(fields[::2], fields[1::2], strict=True))
                for place, (field, value) in enumerate(pairs):
                    body = pairs[place + 1][1] if pairs[place + 1 : place + 2] and pairs[place + 1][0] == b"b" else None
                    size += len(body or b"")
                    if field not in (b"b", b"r"):
                        found.append((field, value if field in b"fso" else unpack(value), body))
            assert self.call(shard, "owner", "ack", self.name, entries[-1][0], len(entries), size) == b"ok"
        return found


@pytest.fixture
def layer(shared_redis: RedisServer) -> Iterator[RedisLayer]:
    layer = RedisLayer(f"{shared_redis.url}?prefix=standard&shards=2")
    yield layer
    layer.close()


@pytest.fixture
def second(shared_redis: RedisServer) -> Iterator[Second]:
    with shared_redis.client(protocol=2) as client:
        yield Second(client, "standard")


def test_application_channels_both_ways(layer: RedisLayer, second: Second) -> None:
    reader = layer.reader(["numbers"])
    second.send("numbers", b"from the second")
    delivery = reader.receive(5)
    assert isinstance(delivery, Delivery)
    assert delivery.body == b"from the second"
    second.open(second.common("letters"), "letters")
    reader.commit(delivery, [Send("letters", b"answer")])
    theirs = second.receive(second.common("letters"))
    assert (theirs[2][1], theirs[4]) == ("letters", b"answer")
    assert second.commit(theirs) == b"ok"
    assert second.commit(theirs) == b"lost"
    assert (layer.statistics().committed, layer.statistics().held_bytes) == (2, 0)


def test_a_server_of_theirs_and_a_worker_of_ours(layer: RedisLayer, second: Second) -> None:
    second.own("s1!")
    second.join("room", "s1!c")
    reader = layer.reader(["talk"], window=2, threads=1)
    wait_until(lambda: layer.statistics().channels["talk"].readers == 1)
    for order in range(3):
        second.submit("s1!", "talk", "s1!c", order, b"question")
        delivery = reader.receive(5)
        assert delivery is not None
        assert (delivery.envelope.order, delivery.envelope.reply_channel, delivery.body) == (order, "s1!c", b"question")
        reader.commit(delivery, [Send("s1!c", b"answer"), SaveState("s1!c", {"k": b"v"}), GroupSend("room", b"all")])
    found = second.items("s1!", 13)
    assert found[0][:2] == (b"+", ["room", "s1!c", found[0][1][2]])
    for order in range(3):
        frame, state, group, done = found[1 + 4 * order : 5 + 4 * order]
        assert frame == (b"f", b"s1!c", b"answer")
        assert (state[:2], unpack(state[2] or b"")) == ((b"s", b"s1!c"), {"k": b"v"})
        assert (group[0], group[1][:2], group[2]) == (b"g", ["room", False], b"all")
        assert done == (b"d", ["s1!c", order], None)
    assert layer.statistics().held_bytes == 0


async def test_a_worker_of_theirs_and_a_server_of_ours(layer: RedisLayer, second: Second) -> None:
    items: list[Any] = []
    inbox = layer.inbox(["s2!"], lambda: items.extend(inbox.drain()))
    await await_until(lambda: second.call("#0", "operator", "shards") == [b"s2!"])
    second.open("s2!", "talk")
    inbox.submit(Envelope("m0", "talk", "s2!c", 0, state={"n": b"\x01"}), b"question")
    await await_until(lambda: second.say("XLEN", f"{second.base('s2!')}:s:{second.name}") == 1)
    delivery = second.receive("s2!")
    assert (delivery[2][:4], unpack(delivery[3]), delivery[4]) == (
        ["m0", "talk", "s2!c", 0],
        {"n": b"\x01"},
        b"question",
    )
    changes = pack({"n": None})
    second.commit(delivery, "f", "s2!c", "b", b"answer", "s", "s2!c", "b", changes, size=6 + len(changes))
    second.join("room", "s2!c")
    second.send_group("room", b"all")
    second.send("s2!c", b"direct")
    await await_until(lambda: len(items) >= 6)
    frame, state, done, add, group, direct = items
    assert (frame, state, done) == (Frame("s2!c", b"answer"), State("s2!c", {"n": None}), Done("s2!c", 0))
    assert isinstance(add, Add)
    assert (group, direct) == (GroupFrame("room", b"all", typed=False, id=group.id), Frame("s2!c", b"direct"))
    inbox.close()


def test_a_worker_that_gives_no_sign_is_fenced(layer: RedisLayer, second: Second) -> None:
    shard = second.common("numbers")
    second.open(shard, "numbers")
    layer.publish(Send("numbers", b"x"))
    delivery = second.receive(shard)
    second.say("ZADD", f"{second.base(shard)}:alive", 0, second.name)
    other = Second(second.client, "standard")
    other.open(shard, "numbers")
    unknown, gone, is_empty = other.call(shard, "tick", SILENCE, other.name)
    assert (unknown, gone, is_empty) == ([], [], 0)
    again = other.receive(shard)
    assert (again[2][4], again[4]) == (2, b"x")
    assert second.commit(delivery, "f", "s1!c", "b", b"stolen") == b"lost"
    assert second.call(shard, "tick", SILENCE, second.name)[0] == [second.name.encode()]
    assert other.commit(again) == b"ok"


# --- the page says it all ---------------------------------------------------------------------------------------------


def test_the_page_names_every_script_and_verb() -> None:
    for path in LUA.glob("*.lua"):
        text = path.read_text()
        if text.startswith("--@ "):
            assert f"| `{path.stem}` |" in PAGE
            for verb in re.findall(r"^function verbs\.(\w+)|verb == '(\w+)'", text, re.MULTILINE):
                assert f"`{verb[0] or verb[1]}`" in PAGE, verb


def test_the_page_names_every_item() -> None:
    from fairway.layers.redis.entries import _ARRAYS

    for field in [*_ARRAYS, b"f", b"g", b"s", b"o", b"r"]:
        assert f"\n| `{field.decode()}` " in PAGE


def test_the_page_knows_the_limits() -> None:
    from fairway.layers.redis.commands import Commands
    from fairway.layers.redis.shards import Shards
    from fairway.limits import BrokerLimits

    ours = Commands(Shards("t"), BrokerLimits()).tick("#0", []).arguments[0]
    assert f"`{unpack(ours)}`" in PAGE  # type: ignore[arg-type]
    assert ours == LIMITS


def test_the_page_gives_a_user_its_rights() -> None:
    from tests.support.redis import LAYER_RIGHTS

    (rights,) = re.findall(r"~\{mysite:\* (.+\n.+)\n", PAGE)
    assert rights.split() == LAYER_RIGHTS.split()
