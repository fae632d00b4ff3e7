"""HTTP exchanges that end otherwise: clients that leave, workers that are lost, times that are over."""

import asyncio

import pytest

from fairway.errors import ChannelFull, ChannelGone
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, UNLIMITED, BrokerLimits, ChannelRule
from tests.server.support import ask, await_until, limits, post, request, serving

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


# --- who goes away ----------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_amid_its_body_is_told_to_the_reader():
    async with serving(limits(http={"body_chunk": 1000})) as house:
        peer, work = await ask(house, post(1_000_000), b"x" * 5000)
        reader = house.layer.reader([work.message["body_channel"]])
        peer.drop()
        chunks = []
        while not (chunks and chunks[-1].get("closed")):
            chunks.append(decode_message((await reader.areceive(5)).body))
        with pytest.raises(ChannelGone):
            work.say({"status": 200})


async def test_a_client_that_leaves_amid_the_response_is_told_to_the_view():
    async with serving() as house:
        peer, work = await ask(house)
        work.say({"status": 200, "content": b"x", "more_content": True})
        await peer.head()
        peer.drop()
        await await_until(lambda: not house.server.connections)
        with pytest.raises(ChannelGone):
            work.say({"content": b"y", "more_content": True})


async def test_a_client_that_leaves_amid_a_small_body_reaches_no_worker():
    async with serving() as house:
        peer = await house.peer(post(10), b"12345")
        await house.settle()
        peer.drop()
        await await_until(lambda: not house.server.connections)
        assert await house.takes_nothing()


async def test_a_slow_client_paces_its_view():
    async with serving() as house:
        peer, work = await ask(house, rcvbuf=4096, limit=2048)
        work.say({"status": 200, "more_content": True})

        async def stream():
            for _ in range(200):
                await work.asay({"content": b"x" * 100_000, "more_content": True}, 5)
            work.commit({"content": b"end"})

        task = asyncio.create_task(stream())
        await house.settle()
        exchange = house.gateway._streams[work.reply]
        await await_until(lambda: exchange._stalled)
        with pytest.raises(ChannelFull):
            work.say({"content": b"x", "more_content": True})
        assert exchange._port.unsent() < 2_000_000
        answer = await peer.response()
        assert len(answer.body) == 20_000_003
        await task


async def test_a_response_of_which_nothing_is_taken_is_cut():
    async with serving(limits(http={"stall": 0.1})) as house:
        _, work = await ask(house, rcvbuf=4096, limit=2048)
        work.say({"status": 200, "content": b"x" * 8_000_000, "more_content": True})
        await await_until(lambda: not house.server.connections)
        with pytest.raises(ChannelGone):
            work.say({"content": b"y"})


async def test_a_worker_lost_after_the_response_began_truncates_it():
    async with serving() as house:
        peer, work = await ask(house)
        work.say({"status": 200, "content": b"x", "more_content": True})
        house.reader.close()
        answer = await peer.response()
        assert (answer.body, answer.complete) == (b"x", False)


async def test_a_lost_worker_is_502_for_what_may_not_run_twice():
    async with serving() as house:
        peer, _ = await ask(house, post(0))
        house.reader.close()
        assert (await peer.response()).status == 502


async def test_a_get_of_a_lost_worker_runs_again():
    async with serving() as house:
        peer, _ = await ask(house)
        house.reader.close()
        house.reader = house.layer.reader(["http.request"])
        (await house.take()).commit({"status": 200})
        assert (await peer.response()).status == 200


async def test_no_room_is_503_with_retry_after():
    layer = MemoryLayer(BrokerLimits(rules=(("http.request", ChannelRule(capacity=0)), *DEFAULT_RULES)))
    async with serving(layer=layer) as house:
        house.reader.close()
        answer = await (await house.peer(request())).response()
        assert (answer.status, answer.header("retry-after"), answer.header("connection")) == (503, "5", "close")


async def test_no_answer_is_504_and_the_late_one_is_told_so():
    async with serving(limits(http={"answer_timeout": 0.05})) as house:
        peer, work = await ask(house)
        assert (await peer.response()).status == 504
        with pytest.raises(ChannelGone):
            work.say({"status": 200})


async def test_a_request_that_nobody_begins_is_504():
    layer = MemoryLayer(BrokerLimits(rules=(("http.request", ChannelRule(expiry=0.05)), *DEFAULT_RULES)))
    async with serving(layer=layer) as house:
        house.reader.close()
        assert (await (await house.peer(request())).response()).status == 504


async def test_a_response_that_goes_silent_is_cut():
    async with serving(limits(http={"answer_timeout": 0.1})) as house:
        peer, work = await ask(house)
        work.say({"status": 200, "content": b"x", "more_content": True})
        answer = await peer.response()
        assert (answer.body, answer.complete) == (b"x", False)


async def test_a_body_that_stops_is_408():
    async with serving(limits(http={"body_timeout": 0.05})) as house:
        peer = await house.peer(post(10), b"12345")
        assert (await peer.response()).status == 408
        assert await house.takes_nothing()


async def test_unlimited_times_are_no_times_that_are_over():
    endless = {"answer_timeout": UNLIMITED, "body_timeout": UNLIMITED, "stall": UNLIMITED, "high_water": 1000}
    async with serving(limits(http=endless)) as house:
        peer, work = await ask(house, post(3), b"abc", rcvbuf=4096, limit=2048)
        work.say({"status": 200, "content": b"x" * 8_000_000, "more_content": True})
        await asyncio.sleep(0.1)
        work.commit({"content": b"end"})
        assert len((await peer.response()).body) == 8_000_003


# --- http.disconnect --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [False, True])
async def test_the_disconnect_is_sent_only_where_somebody_reads_it(read):
    async with serving() as house:
        reader = house.layer.reader(["http.disconnect"]) if read else None
        peer, work = await ask(house)
        work.commit({"status": 200})
        await peer.response()
        if reader:
            delivery = await reader.areceive(5)
            reader.commit(delivery)
            assert decode_message(delivery.body) == {"reply_channel": work.reply, "path": "/"}
        else:
            assert "http.disconnect" not in house.layer.statistics().channels
