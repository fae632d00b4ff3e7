"""An owner is reached from other hosts: frames, states, adds, questions and marks."""

import asyncio

import pytest

from fairway.broker.effects import Add, Ask, Discard, Envelope, Frame, GroupFrame, OwnerGone, Refused, Renewed, Send
from fairway.broker.outward import ForwardSubmit
from fairway.errors import ChannelFull, LayerUnavailable
from fairway.layers.codec import encode_message
from tests.support.joined import Hosts, Server
from tests.support.waiting import await_until


async def test_a_frame_from_another_host(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    await other.apublish(Send("s1!1", b"x"))
    assert await server.next(Frame) == Frame("s1!1", b"x")
    await other.apublish(Send("nobody!1", b"x"))
    await hosts.end()


async def test_a_membership_that_another_host_makes_becomes_one_of_the_hub(hosts: Hosts) -> None:
    """It is sure when the add returns, for senders on either host, and reaches the owner once."""
    client, other = hosts.clients
    server = Server(client)
    for value in range(5):
        await other.agroup_add(f"g{value}", "s1!1")
        await (client if value % 2 else other).asend_group(f"g{value}", {})
        assert (await server.next(Add)).group == f"g{value}"
        assert (await server.next(GroupFrame)).group == f"g{value}"
    hub = hosts.joined.name
    directory = hosts.shared.broker.owners.directory
    await await_until(lambda: all(list(directory.members(f"g{n}")) == [hub] for n in range(5)), "one member a hub")
    await other.agroup_discard("g0", "s1!1")
    assert await server.next(Discard) == Discard("g0", "s1!1")
    await hosts.end()


async def test_a_question_about_a_connection_of_another_host(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    asked = asyncio.create_task(other.astate("s1!1"))
    ask = await server.next(Ask)
    assert (ask.question, ask.about) == ("state", "s1!1")
    server.inbox.answer(ask.token, {"k": b"v"})
    assert await asked == {"k": b"v"}
    assert await other.astate("nobody!1") == {}
    await hosts.end()


async def test_an_owner_that_does_not_answer(hosts: Hosts) -> None:
    client, other = hosts.clients
    hosts.hubs[0].layer.answer_timeout = hosts.shared.answer_timeout = 0.05
    Server(client)
    with pytest.raises(LayerUnavailable, match="did not answer"):
        await other.astate("s1!1")
    await hosts.end()


async def test_a_slow_client_slows_senders_of_other_hosts(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    server.inbox.congest("s1!1")
    await await_until(lambda: hosts.shared.broker.owners.of("s1!1").marks, "the upstream to hear of it")  # type: ignore[union-attr]
    with pytest.raises(ChannelFull):
        await other.apublish(Send("s1!1", b"x"))
    sending = asyncio.create_task(other.apublish(Send("s1!1", b"y"), 10))
    await await_until(lambda: hosts.shared.broker.post.crowd, "the send to wait")
    server.inbox.relieve("s1!1")
    await sending
    assert await server.next(Frame) == Frame("s1!1", b"y")
    await hosts.end()


async def test_what_an_owner_does_not_read_stays_at_the_upstream(hosts: Hosts) -> None:
    """So it is bounded there, and senders are told."""
    client, other = hosts.clients
    server = Server(client)
    inbox = hosts.hubs[0].layer.broker.owners.by_prefix("s1!")
    assert inbox
    inbox.items += [OwnerGone("x!")] * hosts.hubs[0].layer.broker.limits.inbox_items
    await other.apublish(Send("s1!1", b"x"))
    await await_until(lambda: hosts.shared.broker.owners.of("s1!1").items, "the frame to wait")  # type: ignore[union-attr]
    with pytest.raises(LayerUnavailable):
        await client.agroup_add("g", "s1!1")
    inbox.items.clear()
    assert await server.next(Frame) == Frame("s1!1", b"x")
    await hosts.end()


async def test_an_owner_hears_that_the_upstream_has_forgotten_its_messages(hosts: Hosts) -> None:
    client, _ = hosts.clients
    server = Server(client)
    mirror = hosts.shared.broker.owners.by_prefix("s1!")
    assert mirror
    hosts.shared.locked.run(hosts.shared.broker.owners.tell, mirror, Renewed())
    envelope = Envelope("s1!1.0", "websocket.receive", "s1!1", 0, 2)  # sent again, so it may be there still
    server.inbox.submit(envelope, encode_message({}))
    await await_until(hosts.shared.broker.post.boxes, "the message to get there")
    assert not any(isinstance(item, Renewed) for item in server.inbox.drain())
    hosts.shared.locked.run(hosts.shared.broker.owners.tell, mirror, Renewed())
    await server.next(Renewed)
    await hosts.end()


async def test_an_upstream_that_has_forgotten_hears_again_who_is_slow(hosts: Hosts) -> None:
    client, _ = hosts.clients
    server = Server(client)
    server.inbox.congest("s1!1")
    owners = hosts.shared.broker.owners
    inbox = owners.by_prefix("s1!")
    assert inbox
    await await_until(lambda: inbox.marks, "the upstream to hear of it")
    inbox.marks.clear()
    hosts.shared.locked.run(owners.tell, inbox, Renewed())
    await await_until(lambda: inbox.marks, "the upstream to hear of it again")
    await hosts.end()


async def test_a_message_for_an_upstream_that_has_just_gone_is_refused(hosts: Hosts) -> None:
    """Its server sends the client away, in place of letting it wait for nobody."""
    client, _ = hosts.clients
    server = Server(client)
    mirrors = hosts.joined.owners
    owner = next(iter(mirrors._mirrors))
    mirrors._mirrors[owner].inbox = None
    envelope = Envelope("s1!1.0", "websocket.receive", "s1!1", 0)
    hosts.joined.loop.call_soon_threadsafe(mirrors.submit, ForwardSubmit(owner, envelope, b""))
    assert await server.next(Refused) == Refused("s1!1", 0, "websocket.receive", "capacity")
    await hosts.end()


async def test_the_end_of_a_process_is_told_once(hosts: Hosts) -> None:
    client, other = hosts.clients
    servers = [Server(client), Server(other, "s2!")]
    client.reader(["view.A!"]).close()
    for server in servers:
        assert await server.next(OwnerGone) == OwnerGone("view.A!")
    await other.apublish(Send("s1!1", b"x"))
    await servers[0].next(Frame)
    assert [item for item in servers[0].items if isinstance(item, OwnerGone)] == []
    await hosts.end()


async def test_nobody_waits_for_an_owner_that_has_gone(hosts: Hosts) -> None:
    client, _ = hosts.clients
    server = Server(client)
    server.inbox.close()
    await await_until(lambda: hosts.shared.statistics().owners == 2, "the owner to leave")
    await hosts.joined.owners.wait_known(999)
    await hosts.end()
