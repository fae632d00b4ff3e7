"""Workers on other hosts: idle ones fetch what nobody reads where it is, and a host that dies loses nothing."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from fairway.broker.effects import Abandoned, Done, Ending, Envelope, Frame, Policy, Send
from fairway.errors import ChannelGone, LayerUnavailable
from fairway.layers.base import Inbox, Reader
from fairway.layers.codec import encode_message
from tests.support.joined import Hosts, Server, SharedLayer
from tests.support.waiting import await_until


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """Hosts that never wait for workers of their own."""
    return Hosts(tmp_path, patience=0)


def submit(inbox: Inbox, order: int = 0, policy: Policy = Policy.AGAIN) -> None:
    envelope = Envelope(f"s1!1.{order}", "websocket.receive", "s1!1", order, policy=policy)
    inbox.submit(envelope, encode_message({"n": order}))


async def test_a_worker_of_another_host_serves_a_connection(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    reader = other.reader(["websocket.receive"], 4, 1)
    for order in range(10):
        submit(server.inbox, order)
        delivery = await reader.areceive(10)
        assert delivery
        await reader.apublish(delivery, Send("s1!1", b"at once"))
        await reader.acommit(delivery, [Send("s1!1", b"%d" % order)])
        assert await server.next(Frame) == Frame("s1!1", b"at once")
        assert await server.next(Frame) == Frame("s1!1", b"%d" % order)
        assert await server.next(Done) == Done("s1!1", order)
    await hosts.end()


async def test_what_a_host_that_dies_was_consuming_runs_elsewhere(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    dying, living = other.reader(["websocket.receive"]), None
    submit(server.inbox)
    held = await dying.areceive(10)
    assert held
    upstream = hosts.hubs[1].upstream
    assert isinstance(upstream, SharedLayer)
    upstream.close()
    living = client.reader(["websocket.receive"])
    again = await living.areceive(10)
    assert again
    assert (again.envelope.id, again.envelope.attempt) == (held.envelope.id, 2)
    await dying.acommit(held, [Send("s1!1", b"late")])
    await living.acommit(again, [Send("s1!1", b"x")])
    assert await server.next(Frame) == Frame("s1!1", b"x")
    assert await server.next(Done) == Done("s1!1", 0)
    await hosts.end()


async def test_what_may_not_run_twice_is_lost_with_its_worker(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    reader = other.reader(["websocket.receive"])
    submit(server.inbox, policy=Policy.ONCE)
    assert await reader.areceive(10)
    reader.close()
    assert await server.next(Abandoned) == Abandoned("s1!1", 0, "lost", 1)
    await hosts.end()


async def test_a_busy_host_leaves_messages_to_idle_ones(hosts: Hosts) -> None:
    client, other = hosts.clients
    busy = client.reader(["numbers"], 1, 1)
    await client.asend("numbers", {"n": 0})
    held = await busy.areceive(10)
    assert held
    idle = other.reader(["numbers"])
    busy_again = client.reader(["numbers"])  # on the same host, with nobody who waits
    waiting = asyncio.create_task(idle.areceive(10))
    await hosts.shared.apublish(Send("numbers", encode_message({"n": 1})))
    delivery = await waiting
    assert delivery
    await idle.acommit(delivery)
    await busy.acommit(held)
    busy_again.close()
    await hosts.end()


async def test_a_message_whose_thread_was_taken_goes_back(hosts: Hosts) -> None:
    client, other = hosts.clients
    reader = client.reader(["numbers"])
    impatient = await reader.areceive(0)  # its reader at the upstream waits from now on
    assert impatient is None
    await hosts.shared.apublish(Send("numbers", encode_message({"n": 1})))
    rival = other.reader(["numbers"])
    delivery = await rival.areceive(10)
    assert delivery
    assert delivery.envelope.attempt == 1
    await hosts.end()


async def test_a_message_can_be_put_off(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    reader = other.reader(["websocket.receive"])
    submit(server.inbox)
    for retries in range(2):
        delivery = await reader.areceive(10)
        assert delivery
        assert delivery.envelope.retries == retries
        await reader.acommit(delivery, [], Ending.LATER)
    await hosts.end()


async def test_a_connection_that_ended_is_noticed_by_its_consumer(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(client)
    reader = other.reader(["websocket.receive"])
    submit(server.inbox)
    delivery = await reader.areceive(10)
    assert delivery
    server.inbox.depart("s1!1")
    await await_until(lambda: hosts.shared.broker.owners.of("s1!1").marks, "the upstream to hear of it")  # type: ignore[union-attr]
    with pytest.raises(ChannelGone):
        await reader.apublish(delivery, Send("s1!1", b"x"))
    await hosts.end()


async def test_an_answer_while_the_upstream_is_away(hosts: Hosts) -> None:
    client, _ = hosts.clients
    reader = client.reader(["numbers"])
    await hosts.clients[1].apublish(Send("numbers", b"\x80", "s2!1"))
    delivery = await reader.areceive(10)
    assert delivery
    await hosts.cut_and_noticed()
    with pytest.raises(LayerUnavailable):
        await reader.apublish(delivery, Send("s2!1", b"x"))
    await hosts.end()


async def test_a_reader_that_ended_is_opened_again(hosts: Hosts) -> None:
    client, _ = hosts.clients
    reader = client.reader(["numbers"])
    upstream = hosts.upstream
    await await_until(lambda: upstream.readers, "the reader at the upstream")
    receiving = asyncio.create_task(reader.areceive(10))
    upstream.readers[0].close()
    await hosts.shared.apublish(Send("numbers", encode_message({"n": 1})))
    assert await receiving
    await hosts.end()


async def test_a_paused_session_fetches_nothing(hosts: Hosts) -> None:
    client, other = hosts.clients
    reader = client.reader(["numbers"])
    await asyncio.to_thread(reader.pause)
    await other.asend("numbers", {"n": 1})
    rival = other.reader(["numbers"])
    assert await rival.areceive(10)
    await hosts.end()


async def test_the_reader_of_one_requests_body_is_known_elsewhere_only_if_it_lasts(hosts: Hosts) -> None:
    client, other = hosts.clients
    short, long = client.reader(["http.request.body?1"]), client.reader(["http.request.body?2"])
    short.close()
    await other.asend("http.request.body?2", {"n": 1})
    assert await long.areceive(10)
    assert len(hosts.upstream.readers) == 1
    await hosts.end()


async def test_a_session_that_ends_while_its_reader_is_opened_leaves_none_behind(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = hosts.clients
    begun, go_on = threading.Event(), threading.Event()
    real = hosts.upstream.reader

    def slow(channels: Sequence[str]) -> Reader:
        begun.set()
        assert go_on.wait(10)
        return real(channels)

    monkeypatch.setattr(hosts.upstream, "reader", slow)
    reader = client.reader(["numbers"])
    await await_until(begun.is_set, "the reader to be opened")
    reader.close()
    await await_until(lambda: not hosts.hubs[0].layer.statistics().sessions, "the session to end")
    go_on.set()
    await await_until(lambda: hosts.upstream.readers, "the reader at the upstream")
    await await_until(lambda: not hosts.shared.statistics().sessions, "its end")
    await hosts.end()


async def test_what_fails_keeps_nothing_else_from_being_done(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client, other = hosts.clients
    reader = client.reader(["numbers"])
    await other.asend("numbers", {"n": 1})
    delivery = await reader.areceive(10)
    assert delivery

    async def fail(*_args: object) -> None:
        raise ValueError("a layer that is wrong")

    monkeypatch.setattr(hosts.upstream.readers[0], "acommit", fail)
    await reader.acommit(delivery)
    reader.close()
    await await_until(lambda: not hosts.shared.statistics().sessions, "the reader at the upstream to end")
    assert "a message of the upstream's could not be ended" in caplog.messages
    await hosts.end()
