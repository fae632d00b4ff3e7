"""How an inbox comes by its connections and its prefixes, on servers of every kind, and how it gives them up."""

from collections.abc import Callable

import msgspec
import pytest

from fairway.broker.effects import Envelope, Frame, GroupSend, Item, Renewed, Send, Severed
from fairway.errors import LayerUnavailable
from fairway.layers.redis.inbox_opening import OwnedElsewhere, Ownership, Parting, open_lines, owner_in
from fairway.layers.redis.layer import RedisLayer
from fairway.layers.redis.scripts import scripts
from tests.layers.hub.conversation import converse
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster
from tests.support.waiting import await_until, wait_until

PREFIXES = ["s!", "web!"]


@pytest.fixture
def layer(shared_redis: RedisServer) -> RedisLayer:
    return RedisLayer(shared_redis.url)


def owner(layer: RedisLayer, server: RedisServer) -> str:
    return owner_in(server.call("GET", layer.shards.key("s!", "state")))


async def test_a_cluster(shared_redis_cluster: RedisCluster) -> None:
    """The shards of the server, of its other prefixes and of the groups are on different masters."""
    layer = RedisLayer(f"{shared_redis_cluster.url}?shards=5")
    prefixes = ["s!", "web!", "more!"]
    inbox = layer.inbox(prefixes, lambda: None)
    found: list[Item] = []

    async def wait_items(count: int) -> list[Item]:
        def come() -> bool:
            found.extend(inbox.drain())
            return len(found) >= count

        await await_until(come)
        taken = found[:count]
        del found[:count]
        return taken

    for prefix in prefixes:
        await layer.apublish(Send(f"{prefix}1", b"x"))
    assert await wait_items(3) == [Frame(f"{prefix}1", b"x") for prefix in prefixes]
    groups = [f"g{number}" for number in range(20)]
    inbox.announce(groups)
    assert [item.group for item in await wait_items(20)] == groups  # type: ignore[union-attr]
    for group in groups:
        await layer.apublish(GroupSend(group, b"x"))
    assert [item.group for item in await wait_items(20)] == groups  # type: ignore[union-attr]
    inbox.submit(Envelope("m", "c", "s!1", 0), b"x")
    await await_until(lambda: "c" in layer.statistics().channels)
    for master in shared_redis_cluster.masters:
        master.kill_clients()
    assert await wait_items(2) == [Severed(), Renewed()]
    other = RedisLayer(shared_redis_cluster.url + "?shards=5")
    await other.apublish(Send("web!1", b"x"))
    assert await wait_items(1) == [Frame("web!1", b"x")]
    inbox.close()
    await await_until(lambda: other.statistics().owners == 0)
    await await_until(lambda: other.statistics().groups == 0)
    other.close()
    layer.close()


async def test_a_conversation_over_tls(tls_redis: RedisServer) -> None:
    layer = RedisLayer(tls_redis.url)
    await converse(layer)  # type: ignore[arg-type]
    layer.close()


def test_a_user_with_no_more_rights_than_needed(own_redis: RedisServer) -> None:
    own_redis.add_user("web", "secret", "mysite")
    layer = RedisLayer(f"redis://web:secret@127.0.0.1:{own_redis.port}/0?prefix=mysite")
    ownership = Ownership("me")
    for _ in range(2):
        open_lines(layer, PREFIXES, ownership).close()
    Parting(layer, PREFIXES, open_lines(layer, PREFIXES, ownership)).run()
    assert owner(layer, own_redis) == ""


def test_a_user_that_may_not(own_redis: RedisServer) -> None:
    own_redis.add_user("web", "secret", "mysite", "-@all +@connection")
    layer = RedisLayer(f"redis://web:secret@127.0.0.1:{own_redis.port}/0?prefix=mysite")
    with pytest.raises(LayerUnavailable, match=r"does not let us own 's!': NOPERM"):
        open_lines(layer, PREFIXES, Ownership("me"))
    wait_until(lambda: len(own_redis.call("CLIENT", "LIST").splitlines()) == 1)


def test_the_first_turn_takes_over(layer: RedisLayer, shared_redis: RedisServer) -> None:
    """Later ones do not."""
    old, new = Ownership("old"), Ownership("new")
    lines = [open_lines(layer, PREFIXES, one) for one in (old, new)]
    assert owner(layer, shared_redis) == "new.1"
    with pytest.raises(OwnedElsewhere, match="has another owner for 's!'"):
        open_lines(layer, PREFIXES, old)
    lines.append(open_lines(layer, PREFIXES, new))
    assert owner(layer, shared_redis) == "new.2"
    for line in lines:
        line.close()


def test_what_was_not_read_is_found(layer: RedisLayer, shared_redis: RedisServer) -> None:
    """Also when the last turn is one of which we have not heard that it came to be."""
    ownership = Ownership("me")
    stream = layer.shards.key("s!", "in")
    open_lines(layer, PREFIXES, ownership).close()
    shared_redis.call("DEL", stream)
    read, _, last = [shared_redis.call("XADD", stream, "*", "f", "s!1", "b", value) for value in ("0", "1", "2")]
    ownership.position = read.decode()
    for _ in range(2):
        lines = open_lines(layer, PREFIXES, ownership)
        lines.close()
        assert lines.is_known
        frames = [fields for _, fields in lines.left if fields[0] == b"f"]
        assert frames == [[b"f", b"s!1", b"b", b"1"], [b"f", b"s!1", b"b", b"2"]]
        assert lines.position >= last
        assert lines.unacked[1] == 3


def test_a_memory_that_is_lost(layer: RedisLayer, shared_redis: RedisServer) -> None:
    ownership = Ownership("me")
    open_lines(layer, PREFIXES, ownership).close()
    shared_redis.call("FLUSHALL")
    lines = open_lines(layer, PREFIXES, ownership)
    lines.close()
    assert not lines.is_known
    assert lines.left == []
    assert owner(layer, shared_redis) == "me.2"


def groups(layer: RedisLayer, server: RedisServer) -> int:
    found: int = server.call("SCARD", layer.shards.key("#0", "groups"))
    return found


@pytest.mark.parametrize(("has_left_groups", "kept"), [(False, 1), (True, 0)])
def test_groups_are_kept_with_the_memory(
    layer: RedisLayer, shared_redis: RedisServer, kept: int, has_left_groups: bool
) -> None:
    ownership = Ownership("me")
    open_lines(layer, PREFIXES, ownership).close()
    add = layer.commands.group("add", "g", "s!")
    base = layer.shards.base(add.shard)
    shared_redis.call("EVALSHA", scripts()["groups"].sha, "1", base, *add.arguments)  # type: ignore[arg-type]
    assert groups(layer, shared_redis) == 1
    ownership.has_left_groups = has_left_groups
    open_lines(layer, PREFIXES, ownership).close()
    assert groups(layer, shared_redis) == kept
    open_lines(layer, PREFIXES, Ownership("new")).close()
    assert groups(layer, shared_redis) == 0


@pytest.mark.parametrize("spoil", [lambda server: server.kill(), lambda server: server.call("SCRIPT", "FLUSH")])
def test_parting_from_a_redis_that_is_of_no_use(own_redis: RedisServer, spoil: Callable[[RedisServer], None]) -> None:
    """Nobody has to know: Redis will find out by itself."""
    layer = RedisLayer(own_redis.url)
    lines = open_lines(layer, PREFIXES, Ownership("me"))
    spoil(own_redis)
    Parting(layer, PREFIXES, lines).run()
    assert lines.mail
    assert lines.mail.fileno() < 0


def test_parting_says_what_is_unsent_first(layer: RedisLayer, shared_redis: RedisServer) -> None:
    lines = open_lines(layer, PREFIXES, Ownership("me"))
    parting = Parting(layer, PREFIXES, lines)
    [node] = lines.wires
    lines.wires[node].sendall(b"SET first 1\r\n")
    parting.unsent[node] = b"SET second 2\r\n", 2
    parting.run()
    assert shared_redis.call("MGET", "first", "second") == [b"1", b"2"]
    assert owner(layer, shared_redis) == ""
    assert shared_redis.call("EXISTS", layer.shards.key("web!", "alias")) == 0


@pytest.mark.parametrize(("state", "name"), [(None, ""), (["", 0], ""), (["me.3", 0], "me.3")])
def test_who_owns_a_shard(state: list[object] | None, name: str) -> None:
    assert owner_in(msgspec.msgpack.encode(state) if state else None) == name
