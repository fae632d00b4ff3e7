"""The gentle end: what is told meanwhile, and how it is hastened."""

import asyncio

import pytest

from fairway.server import draining
from tests.server.support import ask, await_until, limits, request, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


async def begin_response(house):
    """A peer whose response has begun and does not end."""
    peer, work = await ask(house)
    work.say({"status": 200, "content": b"x", "more_content": True})
    await peer.head()
    return peer, work


async def test_a_drain_keeps_what_does_not_end_and_says_what_is_left(monkeypatch, caplog):
    monkeypatch.setattr(draining, "PROGRESS", 0.01)
    caplog.set_level("INFO", "fairway.server")
    async with serving(limits(drain_http=0.1, websocket={"close_timeout": 5})) as house:
        await house.open()
        peer, work = await begin_response(house)
        await house.server.drain(0)
        assert house.server.connections == 2
        assert "closing 1 WebSockets over 0 s" in caplog.messages
        assert "draining: 1 sockets, 1 requests left" in caplog.messages
        work.commit({"content": b"y", "more_content": False})
        assert await peer.read_all()


async def test_a_drain_ends_as_soon_as_nothing_is_left(caplog):
    async with serving(limits(drain_http=-1)) as house:
        peer, work = await ask(house)
        draining_ = asyncio.create_task(house.server.drain())
        await await_until(lambda: house.server.health() == "draining")
        work.commit({"status": 200})
        assert (await peer.response()).header("connection") == "close"
        await draining_
        assert house.server.connections == 0


async def test_a_drain_spreads_the_closing_over_the_time_it_is_given():
    async with serving(limits(drain=0), clean=False) as house:
        peers = [(await house.open())[0] for _ in range(3)]
        waiting = [asyncio.create_task(peer.closed()) for peer in peers]
        drain = asyncio.create_task(house.server.drain(60))
        done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert [task.result() for task in done] == [1012]
        assert (len(left), drain.done()) == (2, False)
        house.server.abort()
        await drain
        for task in left:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await task


async def test_a_second_stop_cuts_everything_and_ends_the_first():
    async with serving(limits(drain=60, drain_http=-1), clean=False) as house:
        peers = [(await house.open())[0] for _ in range(3)]
        slow, _ = await begin_response(house)
        stopping = asyncio.create_task(house.server.stop())
        await await_until(lambda: house.server.health() == "draining")
        await house.server.stop()
        await stopping
        for peer in (*peers, slow):
            assert await peer.is_closed()
        assert house.server.connections == 0
        assert house.layer.statistics().owners == 0


async def test_nothing_new_begins_while_the_server_drains():
    async with serving(limits(drain_http=-1), clean=False) as house:
        peer, work = await ask(house)
        pending = await house.peer(upgrade())
        await house.take("websocket.connect")
        drain = asyncio.create_task(house.server.drain())
        assert (await pending.response()).status == 503
        peer.send(request())
        work.commit({"status": 200})
        assert (await peer.response()).header("connection") == "close"
        assert await peer.read_all() == b""
        await drain
