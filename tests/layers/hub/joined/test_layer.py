"""The layer of the process that hosts a joined hub: the same contract, for whatever else runs in that process."""

import asyncio
from pathlib import Path

import pytest

from fairway.broker.effects import Add, Ask, Frame, Send
from fairway.errors import LayerUnavailable
from fairway.layers.hub.joined.layer import JoinedLayer
from fairway.layers.memory import MemoryLayer
from tests.support.joined import Hosts, Server, SharedLayer


async def test_its_verbs_concern_all_hosts(hosts: Hosts) -> None:
    layer, other = hosts.hubs[0].layer, hosts.clients[1]
    server, far = Server(layer), Server(other, "s2!")
    await layer.agroup_add("g", "s2!1")
    await asyncio.to_thread(layer.group_add, "g", "s1!1")
    assert (await far.next(Add)).channel == "s2!1"
    assert (await server.next(Add)).channel == "s1!1"
    await other.apublish(Send("s1!1", b"x"))
    assert await server.next(Frame) == Frame("s1!1", b"x")
    await layer.agroup_discard("g", "s2!1")
    await asyncio.to_thread(layer.group_discard, "g", "s1!1")
    asked = asyncio.create_task(layer.astate("s2!1"))
    far.inbox.answer((await far.next(Ask)).token, {"k": b"v"})
    assert await asked == {"k": b"v"}
    assert await asyncio.to_thread(layer.state, "nobody!1") == {}
    assert await layer.agroup_channels("nobody") == await asyncio.to_thread(layer.group_channels, "nobody") == []
    await layer.asend("numbers", {"n": 1})
    assert not layer.is_shared  # its broker is in this process, as a memory layer's
    await hosts.end()


async def test_what_an_operator_asks(hosts: Hosts) -> None:
    layer = hosts.hubs[0].layer
    await layer.asend("numbers", {"n": 1})
    found = layer.statistics()
    assert found.upstream is not None
    assert (found.upstream.up, found.upstream.forwarded, found.upstream.dropped) == (True, 1, 0)
    await asyncio.to_thread(layer.flush)
    assert hosts.shared.statistics().held_bytes == 0
    assert await asyncio.to_thread(layer.dead_letters) == []
    assert await asyncio.to_thread(layer.requeue_dead, ["x"]) == await asyncio.to_thread(layer.drop_dead, ["x"]) == 0
    await hosts.end()


def test_without_its_hub_it_asks_nobody(tmp_path: Path) -> None:
    shared = MemoryLayer()
    upstream = SharedLayer(shared)
    layer = JoinedLayer(upstream)
    with pytest.raises(LayerUnavailable, match="the hub is not open"):
        layer.group_add("g", "numbers")
    layer.close()
    with pytest.raises(LayerUnavailable, match="the layer is closed"):
        layer.state("s1!1")
    assert upstream.closed
    layer.close()
    shared.close()


async def test_owners_and_readers_from_before_the_hub_are_known(tmp_path: Path) -> None:
    """An interface server is made before its hub is opened."""
    hosts = Hosts(tmp_path)
    layer = JoinedLayer(SharedLayer(hosts.shared))
    server = Server(layer, "early!")
    reader = layer.reader(["early"])
    await layer.joined.start()
    await hosts.clients[0].apublish(Send("early!1", b"x"))
    assert await server.next(Frame) == Frame("early!1", b"x")
    await hosts.clients[0].asend("early", {"n": 1})
    assert await reader.areceive(10)
    await layer.joined.stop()
    layer.close()
    await hosts.end()
