"""What a joined hub's clients ask for is told of this host and of what all share."""

import asyncio
from pathlib import Path

import pytest

from fairway.broker.effects import Ending
from fairway.errors import InvalidName, LayerUnavailable
from fairway.limits import BrokerLimits
from tests.support.joined import Hosts
from tests.support.waiting import await_until


async def test_statistics_add_up_what_waits_here_and_there(hosts: Hosts) -> None:
    client, other = hosts.clients
    await other.asend("numbers", {"n": 1})
    reader = client.reader(["work"])
    await client.asend("work", {})
    found = await asyncio.to_thread(client.statistics)
    assert (found.channels["numbers"].waiting, found.channels["work"].waiting) == (1, 1)
    assert (found.sessions, found.channels["work"].readers) == (1, 1)
    assert found.held_bytes == sum(channel.waiting_bytes for channel in found.channels.values())
    delivery = await reader.areceive(10)
    assert delivery
    taken = client.reader(["numbers"])
    assert await taken.areceive(10)
    held = (await asyncio.to_thread(client.statistics)).held_bytes
    assert held == found.held_bytes  # what is leased here and there counts once
    await hosts.end()


async def test_without_the_upstream_they_tell_of_this_host(hosts: Hosts) -> None:
    client, _ = hosts.clients
    await client.asend("numbers", {"n": 1})
    hosts.cut()
    found = await asyncio.to_thread(client.statistics)
    assert found.channels == {}
    assert found.upstream is not None
    await await_until(lambda: not hosts.joined.is_up, "the hub to notice")
    await hosts.end()


async def test_dead_letters_of_this_host_and_of_the_upstream(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, BrokerLimits(requeues=1, requeue_pause=0.001))
    client, other = hosts.clients
    reader = client.reader(["numbers"])
    await client.asend("numbers", {"n": 1})  # of this host
    for _ in range(2):
        delivery = await reader.areceive(10)
        assert delivery
        await reader.acommit(delivery, [], Ending.LATER)
    await await_until(lambda: hosts.hubs[0].layer.broker.post.dead, "a dead letter")
    dead = hosts.shared.broker.post.dead
    letter = next(iter(hosts.hubs[0].layer.broker.post.dead))
    hosts.shared.locked.run(dead.bury, (letter.envelope.for_another_run(attempt=3, retries=0), b"x"), "attempts", 0.0)
    mine = await asyncio.to_thread(client.dead_letters)
    theirs = await asyncio.to_thread(other.dead_letters)
    assert [(one.reason, one.attempts) for one in mine] == [("retries", 1), ("attempts", 3)]
    assert [one.reason for one in theirs] == ["attempts"]
    assert len(await asyncio.to_thread(client.dead_letters, 1)) == 1
    assert await asyncio.to_thread(client.drop_dead, [letter.envelope.id]) == 2
    assert await asyncio.to_thread(client.requeue_dead, [letter.envelope.id]) == 0
    await hosts.end()


async def test_flush_empties_both(hosts: Hosts) -> None:
    client, other = hosts.clients
    await other.asend("numbers", {"n": 1})
    await other.agroup_add("g", "numbers")
    await asyncio.to_thread(client.flush)
    assert await other.agroup_channels("g") == []
    assert (await asyncio.to_thread(other.statistics)).held_bytes == 0
    await hosts.end()


async def test_a_name_that_is_none(hosts: Hosts) -> None:
    client, _ = hosts.clients
    for verb, *arguments in (("group_add", 7, "a"), ("state", "a b"), ("group_channels",)):
        with pytest.raises(InvalidName):
            await client._aask(verb, *arguments)
    await hosts.end()


async def test_members_elsewhere_need_the_upstream(hosts: Hosts) -> None:
    client, _ = hosts.clients
    hosts.cut()
    for verb, *arguments in (("group_add", "g", "far!1"), ("group_discard", "g", "far!1"), ("state", "far!1")):
        with pytest.raises(LayerUnavailable):
            await getattr(client, f"a{verb}")(*arguments)
    await hosts.end()
