"""Groups across hosts: one member a hub, joined before an add returns, and left with the last member."""

import asyncio

import pytest

from fairway.broker.effects import Add, Announced, Ask, GroupFrame, Renewed, Severed
from fairway.errors import LayerUnavailable
from fairway.layers.codec import decode_message
from tests.support.joined import Hosts, Server
from tests.support.waiting import await_until


async def test_a_hub_is_one_member_whatever_its_owners(hosts: Hosts) -> None:
    client, other = hosts.clients
    servers = [Server(client, "s1!"), Server(client, "s2!")]
    for channel in ("s1!1", "s1!2", "s2!1"):
        await client.agroup_add("g", channel)
    assert len(hosts.shared.broker.owners.directory.members("g")) == 1
    await other.asend_group("g", {"n": 1})
    for server in servers:
        assert decode_message((await server.next(GroupFrame)).body) == {"n": 1}
    await hosts.end()


async def test_the_hub_leaves_with_its_last_member_and_comes_back_with_the_next(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    for value in range(10):
        await client.agroup_add("g", "s1!1")
        await other.asend_group("g", {"n": value})
        generation = (await server.next(Add)).generation
        assert decode_message((await server.next(GroupFrame)).body) == {"n": value}
        server.inbox.leave("g", generation)
        if value % 2:
            await await_until(lambda: hosts.shared.statistics().groups == 0, "the hub to leave")
    await await_until(lambda: hosts.shared.statistics().groups == 0, "the hub to leave")
    await hosts.end()


async def test_announced_groups_are_memberships_of_the_hub(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    server.inbox.announce(["g"])
    await server.next(Announced)
    assert hosts.shared.statistics().groups == 1
    await other.asend_group("g", {"n": 1})
    assert (await server.next(GroupFrame)).group == "g"
    await hosts.end()


async def test_the_copy_that_comes_back_is_dropped(hosts: Hosts) -> None:
    client, other = hosts.clients
    server, far = Server(client), Server(other, "s2!")
    for layer, channel in ((client, "s1!1"), (other, "s2!1")):
        await layer.agroup_add("g", channel)
    for value in range(3):
        await client.asend_group("g", {"n": value})
        await far.next(GroupFrame)
    assert [decode_message((await server.next(GroupFrame)).body)["n"] for _ in range(3)] == [0, 1, 2]
    await asyncio.to_thread(client.statistics)
    assert [item for item in server.inbox.drain() if isinstance(item, GroupFrame)] == []
    await hosts.end()


async def test_a_question_about_a_group_asks_each_server_once(hosts: Hosts) -> None:
    client, other = hosts.clients
    servers = [Server(client, "s1!"), Server(other, "s2!")]
    await client.agroup_add("g", "s1!1")
    await other.agroup_add("g", "s2!1")
    await client.agroup_add("g", "numbers")
    asked = asyncio.create_task(client.agroup_channels("g"))
    for number, server in enumerate(servers, 1):
        server.inbox.answer((await server.next(Ask)).token, [f"s{number}!1"])
    assert sorted(await asked) == ["numbers", "s1!1", "s2!1"]
    await hosts.end()


async def test_a_server_that_does_not_answer_is_not_the_upstreams_fault(hosts: Hosts) -> None:
    client, other = hosts.clients
    hosts.shared.answer_timeout = 0.05
    server = Server(other, "s2!")
    await other.agroup_add("g", "s2!1")
    with pytest.raises(LayerUnavailable, match="did not answer"):
        await client.agroup_channels("g")
    await server.next(Ask)
    await client.agroup_add("h", "numbers")
    assert hosts.joined.is_up
    await hosts.end()


async def test_an_add_that_fails_is_tried_again(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream is there, but has no room for it now."""
    client, other = hosts.clients
    server = Server(client)
    real, failures = hosts.upstream.agroup_add, []

    async def fail_once(group: str, channel: str) -> None:
        if not failures:
            failures.append(group)
            raise LayerUnavailable("our inbox is full")
        await real(group, channel)

    monkeypatch.setattr(hosts.upstream, "agroup_add", fail_once)
    await client.agroup_add("g", "s1!1")
    await other.asend_group("g", {})
    assert (await server.next(GroupFrame)).group == "g"
    assert failures == ["g"]
    assert hosts.joined.is_up
    await hosts.end()


async def test_what_an_upstream_says_of_its_line_is_heard(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    client, other = hosts.clients
    server = Server(client)
    await client.agroup_add("g", "s1!1")
    owners = hosts.shared.broker.owners
    inbox = owners.by_prefix(hosts.joined.name)
    assert inbox
    hosts.shared.locked.run(owners.tell, inbox, Severed())
    await await_until(lambda: "the upstream is back" in caplog.messages, "the hub to miss it, and to find it again")
    hosts.shared.locked.run(owners.directory.clear)
    hosts.shared.locked.run(owners.tell, inbox, Renewed())
    await await_until(lambda: owners.directory.members("g"), "the group to be announced")
    await other.asend_group("g", {})
    assert (await server.next(GroupFrame)).group == "g"
    await hosts.end()
