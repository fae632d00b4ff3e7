"""What comes unasked goes to those who hold a feed of it."""

import asyncio
import gc

import pytest

from fairway.client import Push, connect
from fairway.client.requests import Requests
from fairway.client.streams import Feeds
from fairway.errors import ClientClosed, InvalidMessage, TimedOut
from fairway.limits import ClientLimits
from tests.client.rogue import lose, rogue
from tests.support.waiting import await_until


async def chat(peer):
    """Repeat what is said on a stream, and say a little of everything else."""
    while True:
        frame = await peer.ask()
        await peer.send({"stream": "other", "payload": "noise"})
        await peer.send({"id": 17, "type": "subscription-update", "data": {"group": "g", "type": "x", "object": 1}})
        await peer.send({"type": "news"})
        await peer.send({"stream": frame["stream"], "payload": {"heard": frame["payload"]}})


@pytest.mark.usefixtures("loop_factory")
async def test_everything_reaches_its_feeds():
    async with rogue(chat) as server, connect(server.url) as client:
        stream, again, pushes, messages = (
            client.stream("chat"),
            client.stream("chat"),
            client.pushes(),
            client.messages(),
        )
        await stream.send("Ahoy")
        assert [await anext(stream), await anext(again)] == [{"heard": "Ahoy"}] * 2
        assert await anext(pushes) == Push("x", "g", 1)
        assert await anext(messages) == {"type": "news"}
        assert [len(feed) for feed in (stream, again, pushes, messages)] == [0, 0, 0, 0]


@pytest.mark.usefixtures("quick")
async def test_a_stream_goes_on_over_connections():
    async with rogue(chat) as server, connect(server.url) as client, asyncio.timeout(20):
        stream = client.stream("chat")
        for number in range(3):
            await stream.send(number)
            assert await anext(stream) == {"heard": number}
            await lose(client, server.peers[-1])


async def test_without_a_connection_a_payload_waits_for_its_time():
    async with connect("ws://127.0.0.1:9/") as client:
        stream = client.stream("chat")
        with pytest.raises(TimedOut, match="a payload for 'chat' could not be sent, because there was no connection"):
            await stream.send({}, timeout=0.05)
        with pytest.raises(InvalidMessage, match="a payload for 'chat' cannot be sent as JSON"):
            await stream.send(object())
        waiting = asyncio.create_task(stream.send({}))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosed):
            await waiting
        assert [item async for item in stream] == []


@pytest.mark.parametrize("code", [1000, 4000])
async def test_the_end_of_the_client_ends_all_feeds(code):
    async def talk(peer):
        await peer.ask()
        await peer.socket.close(code)

    async with rogue(talk) as server, connect(server.url) as client:
        feeds = [client.pushes(), client.messages(), client.stream("a"), client.stream("b")]
        await feeds[2].send({})
        await await_until(lambda: client.state == "closed")
        for feed in [*feeds, client.pushes(), client.messages(), client.stream("a")]:
            with pytest.raises(StopAsyncIteration if code == 1000 else ClientClosed):
                await anext(feed)


def test_feeds_that_nobody_holds_are_forgotten():
    limits = ClientLimits()
    feeds = Feeds(Requests(None, limits), limits)
    for number in range(100):
        feeds.stream(f"s{number}", None)
        feeds.pushes(None)
        feeds.messages(None)
    gc.collect()
    kept = feeds.stream("kept", None)
    assert list(feeds._streams) == ["kept"]
    assert list(feeds._all()) == [kept]
    feeds.payload("unknown", 1, 1)
    feeds.payload("kept", 1, 1)
    assert len(kept) == 1
