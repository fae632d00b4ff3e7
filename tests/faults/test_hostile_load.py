"""Rows about numbers: many clients, no worker, slow readers. What is bounded stays bounded, and nothing is lost."""

import asyncio
import threading

import pytest

from tests.server.support import TEXT, Work, await_until, frame, limits, serving, upgrade

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("quick", "loop_factory")]

CLIENTS = 1000
EACH = 20
"""More than the 16 that are read ahead and the one under way."""


async def test_a_thousand_clients_speak_while_no_worker_is_there():
    """Each sends more than the server reads ahead. When a worker arrives, it gets all of it, in each client's order."""
    async with serving() as house:
        house.work(lambda work: work.commit({"accept": True}))
        peers = [await house.peer(upgrade()) for _ in range(CLIENTS)]
        for peer in peers:
            assert (await peer.head()).status == 101
        house.tasks.pop().cancel()
        house.reader.close()

        messages = b"".join(frame(TEXT, str(number).encode()) for number in range(EACH))
        for peer in peers:
            peer.send(messages)
        box = house.layer.broker.post.box("websocket.receive")
        await await_until(lambda: len(box.letters) == CLIENTS)
        streams = list(house.gateway._streams.values())
        await await_until(lambda: all(stream._gate.size for stream in streams))
        assert max(len(stream._gate) for stream in streams) <= EACH
        assert len(box.letters) == CLIENTS

        seen = {stream.channel: [] for stream in streams}

        def act(work: Work) -> None:
            seen[work.reply].append(work.message["text"])
            work.commit()

        house.reader = house.layer.reader(["websocket.receive"])
        house.work(act)
        await await_until(lambda: house.layer.statistics().committed == CLIENTS * (EACH + 1))
        assert all(texts == [str(number) for number in range(EACH)] for texts in seen.values())


async def test_clients_that_come_and_go_while_no_worker_is_there_leave_nothing():
    """Nobody saw their connects: a record of each would be a way to fill the memory."""
    layer_time = {"connect_timeout": 0.1}
    async with serving(limits(websocket=layer_time)) as house:
        house.reader.close()
        house.layer.broker.post.box("websocket.connect")
        peers = [await house.peer(upgrade()) for _ in range(200)]
        for peer in peers[::2]:
            peer.drop()
        for peer in peers[1::2]:
            assert (await peer.response()).status == 504
        await await_until(lambda: not house.server.connections)


async def test_no_thread_and_no_task_for_a_message_or_a_connection():
    """Mesop: one thread for each WebSocket message."""
    async with serving() as house:
        opened = [await house.open() for _ in range(50)]
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        for peer, _ in opened:
            for _ in range(10):
                peer.say("x")
        await house.settle()
        assert len(asyncio.all_tasks()) <= tasks
        assert threading.active_count() <= threads + 1  # the layer's timekeeper


async def test_slow_readers_do_not_slow_the_others():
    async with serving(limits(websocket={"unsent": 200_000, "close_timeout": 0.1})) as house:
        slow = [await house.open(rcvbuf=4096, limit=2048) for _ in range(3)]
        quick = [await house.open() for _ in range(3)]
        for _, connect in slow + quick:
            house.layer.group_add("g", connect.reply)
        for _ in range(60):
            house.layer.send_group("g", {"text": "x" * 100_000})
            for peer, _ in quick:
                assert len(await peer.text()) == 100_000
        codes = {(await house.take("websocket.disconnect")).commit().message["code"] for _ in slow}
        assert codes == {1013}


async def test_idle_sockets_have_caps_and_cost_no_timer_each():
    """DA#170, DA#144: many idle unauthenticated sockets."""
    async with serving(limits(rates={"connections": 100})) as house:
        house.work(lambda work: work.commit({"accept": True}))
        peers = [await house.peer(upgrade()) for _ in range(100)]
        for peer in peers:
            assert (await peer.head()).status == 101
        refused = await house.peer(upgrade())
        assert await refused.read_all() == b""
        await house.settle()
        timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
        assert len([timer for timer in timers if not timer.cancelled()]) < 10
        assert len(house.gateway.deadlines) == 100
