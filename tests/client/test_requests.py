"""Requests find their answers, whatever the server does; what is lost is told, and what was not sent is kept."""

import asyncio
import contextlib
import dataclasses
import gc
import itertools
import json
import random
from pathlib import Path

import pytest

from fairway.client import connect
from fairway.client.requests import Waiting
from fairway.client.sockets import TURN
from fairway.errors import (
    ClientClosed,
    ConnectionLost,
    InvalidMessage,
    MessageTooLarge,
    QueueFull,
    RequestFailed,
    TimedOut,
)
from fairway.limits import UNLIMITED, ClientLimits
from tests.client.rogue import echo, lose, rogue
from tests.support.waiting import await_until

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "client.json").read_text())
NOWHERE = "ws://127.0.0.1:9/"


def limits(**changes):
    return dataclasses.replace(ClientLimits(), **changes)


async def keep(peer):
    """Answer nothing."""
    await peer.wait_closed()


async def outcome(awaitable):
    """Return the result, or the exception."""
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001
        return error


def is_empty(client):
    return client.statistics == (0, 0, 0)


@pytest.mark.usefixtures("loop_factory")
async def test_a_request_gets_the_data_of_its_answer():
    async with rogue() as server, connect(server.url) as client:
        assert await client.request("echo", {"a": [1]}) == {"a": [1]}
        assert await client.request("echo", None) is None
        assert is_empty(client)


async def test_what_is_on_the_wire():
    seen = []

    async def note(peer):
        for _ in range(3):
            seen.append(await peer.ask())
            await peer.answer(seen[-1])
        await peer.wait_closed()

    async with rogue(note) as server, connect(server.url, token="secret") as client:
        await client.request("plain")
        await client.request("null", None)
        await client.request("data", {"title": "Größe"})
    assert seen == [
        {"type": "plain", "id": "#1", "auth_jwt": "secret"},
        {"type": "null", "id": "#2", "auth_jwt": "secret", "data": None},
        {"type": "data", "id": "#3", "auth_jwt": "secret", "data": {"title": "Größe"}},
    ]


async def test_what_is_on_the_wire_is_what_every_client_sends():
    """The ids differ: each client counts its own."""
    told = [dict(frame) for frame in VECTORS["sent"]]
    seen = []

    async def note(peer):
        while True:
            seen.append(await peer.ask())
            if "id" in seen[-1]:
                await peer.answer(seen[-1])

    async with rogue(note) as server:
        for frame in told:
            count = len(seen)
            async with connect(server.url, token=frame.get("auth_jwt", "")) as client:
                if "stream" in frame:
                    await client.stream(frame["stream"]).send(frame["payload"])
                elif "data" in frame:
                    await client.request(frame["type"], frame["data"])
                else:
                    await client.request(frame["type"])
                await await_until(lambda count=count: len(seen) > count)
    assert seen == [{**frame, **({"id": "#1"} if "id" in frame else {})} for frame in told]


async def test_answers_may_come_in_any_order():
    async def backwards(peer):
        for request in reversed([await peer.ask() for _ in range(100)]):
            await peer.answer(request, data=request["data"])
        await peer.wait_closed()

    async with rogue(backwards) as server, connect(server.url) as client:
        assert await asyncio.gather(*(client.request("x", number) for number in range(100))) == [*range(100)]


async def test_an_error_has_the_whole_answer():
    async def refuse(peer):
        await peer.answer(await peer.ask(), error={"code": 7}, data="more")
        await peer.answer(await peer.ask(), error=None, data="well")
        await peer.wait_closed()

    async with rogue(refuse) as server, connect(server.url) as client:
        with pytest.raises(RequestFailed, match=r"{'code': 7}") as caught:
            await client.request("x")
        assert caught.value.frame == {"type": "x", "id": "#1", "error": {"code": 7}, "data": "more"}
        assert await client.request("x") == "well"


async def test_wrong_twice_and_late_answers_disturb_nobody():
    async def confuse(peer):
        first = await peer.ask()
        for wrong in ("#999", "#0", "#", "#1x", 1, None, ["#1"], {"id": "#1"}, 1.5, True):
            await peer.send({"type": "x", "id": wrong, "data": "wrong"})
        for _ in range(3):
            await peer.answer(first, data="right")
        await echo(peer)

    async with rogue(confuse) as server, connect(server.url) as client:
        assert await client.request("x") == "right"
        assert await client.request("x", "second") == "second"
        assert is_empty(client)


async def test_no_answer_in_time_is_an_error_and_a_late_one_is_nobodys():
    go = asyncio.Event()

    async def slow(peer):
        request = await peer.ask()
        await go.wait()
        await peer.answer(request, data="late")
        await echo(peer)

    async with rogue(slow) as server, connect(server.url) as client:
        await client.wait_open(30)
        with pytest.raises(TimedOut, match=r"no answer to the request 'x' within 0.05 s"):
            await client.request("x", timeout=0.05)
        assert is_empty(client)
        go.set()
        assert await client.request("x", "next", timeout=UNLIMITED) == "next"


async def test_a_request_that_was_never_sent_says_why():
    async with connect(NOWHERE, limits=limits(timeout=0.1)) as client:
        with pytest.raises(TimedOut, match=r"'x' could not be sent, because there was no connection \(1006 no conn"):
            await client.request("x")
        assert is_empty(client)


async def test_a_cancelled_request_leaves_nothing_behind():
    async with rogue(keep) as server, connect(server.url) as client:
        tasks = [asyncio.create_task(client.request("x")) for _ in range(10)]
        await asyncio.sleep(0)
        assert client.statistics.queued == 10
        for task in tasks[:5]:
            task.cancel()
        await await_until(lambda: client.statistics == (0, 5, 0))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert is_empty(client)


async def test_what_waits_goes_out_in_order_once_there_is_a_connection():
    heard = []

    async def note(peer):
        while True:
            request = await peer.ask()
            heard.append(request["data"])
            await peer.answer(request, data=request["data"])

    async with rogue(note) as server, connect(server.url) as client:
        await asyncio.gather(*(client.request("x", number) for number in range(100)))
    assert heard == [*range(100)]


@pytest.mark.usefixtures("quick")
async def test_what_was_under_way_is_lost_but_for_what_does_no_harm_twice():
    heard = []

    async def lose(peer):
        while True:
            request = await peer.ask()
            heard.append(request["data"])
            if len(heard) == 4:
                peer.socket.transport.abort()
            elif len(heard) > 4:
                await peer.answer(request, data=request["data"])

    async with rogue(lose) as server, connect(server.url) as client:
        sent = [client.request("x", number, idempotent=number % 2 == 0) for number in range(4)]
        outcomes = await asyncio.gather(*map(outcome, sent))
        assert await client.request("x", 4) == 4
        assert is_empty(client)
    assert [type(result) for result in outcomes] == [int, ConnectionLost, int, ConnectionLost]
    assert "the connection broke before the request 'x' was settled: 1006" in str(outcomes[1])
    assert isinstance(outcomes[1], ConnectionError)
    assert heard == [0, 1, 2, 3, 0, 2, 4]


@pytest.mark.usefixtures("quick")
async def test_what_was_not_sent_is_not_lost():
    """The pipe to a server that reads nothing takes some requests; the rest wait for the next connection."""
    big = random.Random(1).randbytes(500_000).hex()  # deflate would make little of anything simpler

    async def first_deaf(peer):
        if len(server.peers) == 1:
            peer.socket.transport.pause_reading()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(deaf.wait(), 30)
            peer.socket.transport.abort()
        else:
            await echo(peer)

    deaf = asyncio.Event()
    async with rogue(first_deaf) as server, connect(server.url, limits=limits(timeout=60)) as client:
        tasks = [asyncio.create_task(outcome(client.request("x", [number, big]))) for number in range(16)]
        await await_until(lambda: client.statistics.in_flight > 0)
        for _ in range(100):
            await asyncio.sleep(0)
        left = client.statistics.queued
        assert 0 < left < 16
        deaf.set()
        outcomes = await asyncio.gather(*tasks)
    lost = [result for result in outcomes if isinstance(result, ConnectionLost)]
    assert len(lost) <= 16 - left
    assert [result[0] for result in outcomes[len(lost) :]] == [*range(len(lost), 16)]


@pytest.mark.usefixtures("quick")
async def test_ids_are_never_used_again():
    ids = []

    async def note(peer):
        while True:
            request = await peer.ask()
            ids.append(request["id"])
            await peer.answer(request)

    async with rogue(note) as server, connect(server.url) as client:
        for number in range(9):
            await client.request("x")
            if number % 3 == 2:
                await lose(client, server.peers[-1])
    assert ids == [f"#{number}" for number in range(1, 10)]


async def test_offline_only_so_many_wait():
    async with connect(NOWHERE, limits=limits(max_queue=3)) as client:
        tasks = [asyncio.create_task(outcome(client.request("x"))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match=r"3 requests wait for a connection; max_queue is 3 \("):
            await client.request("x")
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        with pytest.raises(TimedOut):
            await client.request("x", timeout=0)
    assert [type(await task) for task in tasks[1:]] == [ClientClosed, ClientClosed]


async def test_online_more_may_wait_but_not_any_number():
    async with rogue(keep) as server, connect(server.url, limits=limits(max_queue=3, max_in_flight=10)) as client:
        await client.wait_open()
        tasks = [asyncio.create_task(outcome(client.request("x"))) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="10 requests wait; max_in_flight is 10"):
            await client.request("x")
        await await_until(lambda: client.statistics.in_flight == 10)
        with pytest.raises(QueueFull, match="10 requests wait; max_in_flight is 10"):
            await client.request("x")
    assert {type(await task) for task in tasks} == {ClientClosed}


async def test_and_not_any_number_of_bytes():
    async with connect(NOWHERE, limits=limits(max_unsent=1000)) as client:
        waiting = asyncio.create_task(outcome(client.request("x", "y" * 900)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match=r"9\d\d bytes wait to be sent; max_unsent is 1,000"):
            await client.request("x", "y" * 100)
        assert 900 < client.statistics.unsent < 1000
    assert isinstance(await waiting, ClientClosed)


async def test_what_cannot_be_sent_is_refused_at_once():
    async with connect(NOWHERE) as client:
        with pytest.raises(InvalidMessage, match="the data of the request 'x' cannot be sent as JSON"):
            await client.request("x", object())
        with pytest.raises(MessageTooLarge, match="the data of the request 'x'"):
            await client.request("x", "y" * 1_048_000)
        with pytest.raises(InvalidMessage, match=r"the request '\\ud800' cannot be sent"):
            await client.request("\ud800")
        assert is_empty(client)


async def test_before_and_after_its_life_a_client_sends_nothing():
    client = connect(NOWHERE)
    with pytest.raises(ClientClosed, match="'x' cannot be sent yet: use 'async with connect"):
        await client.request("x")
    async with client:
        pass
    with pytest.raises(ClientClosed, match=r"'x' cannot be sent: the client is closed \(1000\)"):
        await client.request("x")


async def test_closing_settles_what_waits():
    async with rogue(keep) as server, connect(server.url) as client:
        sent = asyncio.create_task(outcome(client.request("sent")))
        await await_until(lambda: client.statistics.in_flight == 1)
        queued = asyncio.create_task(outcome(client.request("queued")))
        await asyncio.sleep(0)
        await client.close()
        texts = [str(await task) for task in (sent, queued)]
    assert texts == [
        f"the client was closed before the request {kind!r} was settled: 1000" for kind in ("sent", "queued")
    ]
    assert is_empty(client)


async def test_an_end_for_good_settles_what_waits():
    async def expel(peer):
        await peer.ask()
        await peer.socket.close(1008, "logged out")

    async with rogue(expel) as server, connect(server.url) as client:
        with pytest.raises(ClientClosed, match="settled: 1008 logged out"):
            await client.request("x")


async def test_a_frame_without_an_answer_is_settled_when_it_is_sent():
    heard = []

    async def note(peer):
        heard.append(await peer.ask())
        await peer.wait_closed()

    async with rogue(note) as server, connect(server.url, token="not for streams") as client:
        await client._requests.post({"stream": "s", "payload": 1}, "a payload")
        assert is_empty(client)
        await await_until(lambda: heard)
    assert heard == [{"stream": "s", "payload": 1}]


async def test_requests_that_jump_the_queue_keep_their_own_order():
    heard = []

    async def note(peer):
        while True:
            heard.append((await peer.ask())["data"])

    async with rogue(note) as server, connect(server.url) as client:
        tasks = [asyncio.create_task(outcome(client.request("x", number))) for number in range(2)]
        await asyncio.sleep(0)
        client._requests.begin_first("x", ["a", "b"], idempotent=True)
        await await_until(lambda: len(heard) == 4)
    assert heard == ["a", "b", 0, 1]
    await asyncio.gather(*tasks)


async def test_what_was_settled_stays_so():
    future = asyncio.get_running_loop().create_future()
    waiting = Waiting("#1", "it", b"", b"", future)
    told = []
    waiting.then = lambda result, error: told.append((result, error))
    waiting.succeed(1)
    waiting.fail(ConnectionLost("late"))
    waiting.succeed(2)
    assert (await future, told) == (1, [(1, None)])


async def test_ten_thousand_at_once_are_all_answered_and_nothing_is_left():
    async with rogue() as server, connect(server.url, limits=limits(timeout=50)) as client:
        await client.wait_open()
        numbers = range(10_000)
        assert await asyncio.gather(*(client.request("x", number) for number in numbers)) == [*numbers]
        assert is_empty(client)


async def test_sending_many_lets_other_tasks_have_their_turn():
    turns = []

    async def watch(client):
        while True:
            turns.append(client.statistics.queued)
            await asyncio.sleep(0)

    async with rogue() as server, connect(server.url, limits=limits(timeout=50)) as client:
        await client.wait_open()
        watching = asyncio.create_task(watch(client))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(client.request("x", number)) for number in range(2_000)]
        await asyncio.gather(*tasks)
        watching.cancel()
    assert max(earlier - later for earlier, later in itertools.pairwise(turns)) <= TURN


@pytest.mark.usefixtures("quick")
async def test_requests_cancelled_timed_out_and_lost_at_random_moments_leave_nothing_behind():
    """Each request ends in one way, whatever happens at the same time."""
    turns = iter(range(10**9))

    async def unreliable(peer):
        while True:
            request = await peer.ask()
            turn = next(turns)
            if turn % 97 == 96:
                peer.socket.transport.abort()
            elif turn % 7:
                await peer.answer(request, data=request["data"])

    async def one(client, number):
        with contextlib.suppress(TimedOut, ConnectionLost):
            timeout = (0, 0.001, 0.02)[number % 3]
            assert await client.request("x", number, timeout=timeout, idempotent=number % 5 == 0) == number

    async with rogue(unreliable) as server, connect(server.url) as client:
        for _ in range(16):
            tasks = [asyncio.create_task(one(client, number)) for number in range(100)]
            await asyncio.sleep(0.002)
            for task in tasks[::4]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        assert is_empty(client)
    gc.collect()  # an exception that nobody has seen would complain now
