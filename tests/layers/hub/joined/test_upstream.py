"""A hub whose upstream comes and goes: its own host goes on, others hear of it again, and the log is told once."""

import asyncio
import logging
from pathlib import Path

import pytest

from fairway.broker.effects import Add, Ask, Done, Envelope, Frame, GroupFrame, Send
from fairway.errors import LayerUnavailable
from fairway.layers import LocalLayer
from fairway.layers.codec import encode_message
from fairway.layers.memory import MemoryLayer
from tests.support.joined import Hosts, JoinedHub, Server, SharedLayer
from tests.support.waiting import await_until


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says about the upstream."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "fairway.upstream" and record.levelno >= logging.WARNING
    ]


async def test_the_own_host_goes_on_without_it(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    client, _ = hosts.clients
    server = Server(client)
    reader = client.reader(["websocket.receive"], 4, 1)
    await hosts.cut_and_noticed()
    for order in range(3):
        server.inbox.submit(Envelope(f"s1!1.{order}", "websocket.receive", "s1!1", order), encode_message({}))
        delivery = await reader.areceive(10)
        assert delivery
        await reader.acommit(delivery, [Send("s1!1", b"x")])
        assert await server.next(Frame) == Frame("s1!1", b"x")
        assert await server.next(Done) == Done("s1!1", order)
    await client.agroup_add("g", "s1!1")
    await client.asend_group("g", {"n": 1})
    assert (await server.next(GroupFrame)).group == "g"
    for verb, *arguments in (
        ("asend", "away", {}),
        ("astate", "far!1"),
        ("agroup_add", "g", "far"),
        ("agroup_channels", "g"),
    ):
        with pytest.raises(LayerUnavailable):
            await getattr(client, verb)(*arguments)
    assert len([line for line in told(caplog) if "is away" in line]) == 1
    assert client.statistics().upstream is not None
    assert not client.statistics().upstream.up
    await hosts.end()


async def test_others_reach_its_members_once_it_is_back(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    """Members that came, and groups that were forgotten, while it was away."""
    client, other = hosts.clients
    server = Server(client)
    await client.agroup_add("old", "s1!1")
    await hosts.cut_and_noticed()
    await client.agroup_add("new", "s1!1")
    hosts.shared.locked.run(hosts.shared.broker.owners.directory.clear)  # as one that was started anew
    await hosts.restore()
    await await_until(lambda: hosts.shared.statistics().groups == 2, "the hub to announce its groups")
    for group in ("old", "new"):
        await other.asend_group(group, {"n": 1})
        assert (await server.next(GroupFrame)).group == group
    assert told(caplog)[1:] == ["the upstream is back"]
    await hosts.end()


async def test_owners_and_readers_that_came_while_it_was_away_are_made_known(hosts: Hosts) -> None:
    client, other = hosts.clients
    await hosts.cut_and_noticed()
    server = Server(client)
    reader = client.reader(["numbers"])
    await hosts.restore()
    await other.apublish(Send("s1!1", b"x"))
    assert await server.next(Frame) == Frame("s1!1", b"x")
    await other.asend("numbers", {"n": 1})
    assert await reader.areceive(10)
    await hosts.end()


async def test_a_hub_starts_without_its_upstream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shared = MemoryLayer()

    def away() -> SharedLayer:
        upstream = SharedLayer(shared)
        upstream.away = True
        return upstream

    with JoinedHub(tmp_path / "hub.sock", away) as hub:
        client = LocalLayer(hub.path)
        reader = client.reader(["numbers"])
        await client.asend("numbers", {"n": 1})
        assert await reader.areceive(10)
        assert isinstance(hub.upstream, SharedLayer)
        hub.upstream.away = False
        await await_until(lambda: (found := client.statistics().upstream) and found.up, "the upstream")
        client.close()
    assert [line.partition(":")[0] for line in told(caplog)] == [
        "the upstream cannot be reached",
        "the hub starts without its upstream, and goes on looking for it",
    ]


async def test_a_hub_that_comes_or_goes_changes_nothing_for_others(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    await client.agroup_add("g", "s1!1")
    await server.next(Add)
    third = JoinedHub(hosts.hubs[0].path + "3", lambda: SharedLayer(hosts.shared))
    hosts.layers.append(LocalLayer(third.path))
    far = Server(hosts.layers[-1], "s3!")
    await client.agroup_add("g", "s3!1")
    await far.next(Add)
    far.inbox.close()
    third.stop()
    await await_until(lambda: hosts.shared.statistics().owners == 3, "the third hub to leave")
    await other.asend_group("g", {"n": 1})
    assert (await server.next(GroupFrame)).group == "g"
    asked = asyncio.create_task(client.agroup_channels("g"))
    server.inbox.answer((await server.next(Ask)).token, ["s1!1"])
    assert await asked == ["s1!1"]  # and a question finds nobody who does not answer
    await hosts.end()
