"""A feed is bounded, in items and in bytes, and says what it does then; waiting for it may be cancelled."""

import asyncio
import dataclasses
import logging

import pytest

from fairway.client.feeds import Feed, Overflow
from fairway.errors import ClientClosed, QueueFull
from fairway.limits import ClientLimits

SMALL = dataclasses.replace(ClientLimits(), max_feed=3, max_feed_bytes=100)


def full(overflow, sizes):
    feed = Feed("the pushes", SMALL, overflow)
    for number, size in enumerate(sizes):
        feed.put(number, size)
    return feed


async def rest(feed):
    return [item async for item in feed]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [([1] * 3, [0, 1, 2]), ([1] * 5, [2, 3, 4]), ([40, 40, 40], [1, 2]), ([10, 10, 100], [2]), ([500], [0])],
)
async def test_the_oldest_goes_and_is_counted(sizes, kept, caplog):
    with caplog.at_level(logging.WARNING, "fairway.client"):
        feed = full(Overflow.DROP_OLDEST, sizes)
    assert (len(feed), feed.dropped) == (len(kept), len(sizes) - len(kept))
    feed.end()
    assert await rest(feed) == kept
    assert len(caplog.records) == (1 if feed.dropped else 0)
    assert all("the pushes: nobody takes what comes" in record.getMessage() for record in caplog.records)
    assert all("max_feed is 3" in record.getMessage() for record in caplog.records)


async def test_or_the_feed_gives_up_after_what_it_holds():
    feed = full(Overflow.FAIL, [1] * 5)
    assert [await anext(feed) for _ in range(3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(QueueFull, match=r"the pushes: nobody took what came; it holds 3 .max_feed"):
            await anext(feed)


async def test_what_is_taken_makes_room():
    feed = full(Overflow.FAIL, [40, 40])
    assert await anext(feed) == 0
    feed.put("third", 60)
    feed.end()
    assert await rest(feed) == [1, "third"]


async def test_who_waits_is_woken_and_each_item_goes_to_one_of_them():
    feed = full(Overflow.DROP_OLDEST, [])
    waiters = [asyncio.create_task(anext(feed)) for _ in range(2)]
    await asyncio.sleep(0)
    feed.put("a", 1)
    feed.put("b", 1)
    assert sorted(await asyncio.gather(*waiters)) == ["a", "b"]


async def test_waiting_may_be_cancelled_and_nothing_is_lost():
    feed = full(Overflow.DROP_OLDEST, [])
    waiter = asyncio.create_task(anext(feed))
    await asyncio.sleep(0)
    feed.put("a", 1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await anext(feed) == "a"


async def test_an_end_is_told_after_what_is_there_and_the_first_one_counts():
    feed = full(Overflow.DROP_OLDEST, [1])
    feed.end(ClientClosed("gone"))
    feed.end()
    feed.put("late", 1)
    assert await anext(feed) == 0
    with pytest.raises(ClientClosed, match="gone"):
        await anext(feed)


async def test_a_block_closes_it_at_once():
    with full(Overflow.DROP_OLDEST, [1]) as feed:
        assert feed
    assert await rest(feed) == []
