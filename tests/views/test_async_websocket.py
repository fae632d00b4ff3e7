"""`request.websocket` of a coroutine view, over a real layer."""

import asyncio

import pytest

from fairway.errors import ChannelFull, ChannelGone
from fairway.limits import ViewLimits
from fairway.views.async_websocket import AsyncWebSocket
from fairway.views.connection import Connection
from fairway.views.pinned import Pinned
from tests.support.waiting import await_until

pytestmark = pytest.mark.usefixtures("loop_factory")

ACCEPTANCE = {"accept": True}


@pytest.fixture
def pinned(quay):
    pinned = Pinned(quay.layer, ViewLimits())
    yield pinned
    pinned.close()


@pytest.fixture
def websocket(quay, pinned):
    connection = Connection(quay.connect(), pinned.new_channel(), ["a"])
    return AsyncWebSocket(connection, pinned, ViewLimits(send=0.05, end=0.05))


def say(quay, websocket, order, **content):
    quay.submit(websocket._connection.channel, order, content)


def accepted(quay):
    return [{key: value for key, value in frame.items() if key != "receive_channel"} for frame in quay.frames()]


@pytest.mark.parametrize("look", ["read", "count_messages", "has_messages", "accept"])
async def test_the_first_look_accepts(quay, websocket, look):
    assert (quay.frames(), quay.dones()) == ([], [])
    await getattr(websocket, look)()
    await getattr(websocket, look)()
    assert (accepted(quay), quay.dones()) == ([ACCEPTANCE], [0])


async def test_messages(quay, websocket):
    await websocket.send("hello")
    assert accepted(quay) == [ACCEPTANCE, {"text": "hello"}]
    assert (await websocket.read(), await websocket.read("none"), await websocket.has_messages()) == (
        None,
        "none",
        False,
    )
    for order, content in enumerate([{"text": "a"}, {"text": ""}, {"bytes": b"b"}], 1):
        say(quay, websocket, order, **content)
    await await_until(lambda: websocket._connection.count() == 3)
    assert (await websocket.has_messages(), await websocket.count_messages()) == (True, 3)
    assert [await websocket.read(), await websocket.wait(), await websocket.wait()] == ["a", "", b"b"]
    assert quay.dones() == [0, 1, 2, 3]


async def test_an_iteration_ends_with_the_socket(quay, websocket):
    async def view():
        return [message async for message in websocket]

    task = asyncio.create_task(view())
    await await_until(lambda: websocket._connection._waiters, "it to wait")
    say(quay, websocket, 1, text="a")
    await await_until(lambda: quay.dones() == [0, 1])
    say(quay, websocket, 2, code=1000)
    assert await asyncio.wait_for(task, 5) == ["a"]
    assert websocket.closed
    with pytest.raises(ChannelGone):
        await websocket.send("late")


async def test_a_message_whose_commit_is_cut_off_is_not_lost(quay, websocket, pinned, monkeypatch):
    """The line to the hub may be busy just then."""
    await websocket.accept()
    say(quay, websocket, 1, text="precious")
    await await_until(lambda: websocket._connection.count() == 1)
    real, is_busy = pinned.acommit, asyncio.Event()

    async def late(delivery):
        await real(delivery)
        is_busy.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(pinned, "acommit", late)
    task = asyncio.create_task(websocket.wait())
    await is_busy.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(pinned, "acommit", real)
    assert await websocket.read() == "precious"
    assert quay.dones() == [0, 1]


async def test_a_wait_may_be_cancelled(quay, websocket):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(websocket.wait(), 0.02)
    assert websocket._connection._waiters == []
    say(quay, websocket, 1, text="a")
    assert await websocket.wait() == "a"


async def test_closing(quay, websocket):
    await websocket.accept()
    await websocket.close(4000, "enough")
    await websocket.close()
    assert accepted(quay) == [ACCEPTANCE, {"close": 4000, "reason": "enough"}]
    assert websocket.closed


async def test_closing_before_it_is_accepted_refuses(quay, websocket):
    await websocket.close()
    assert quay.frames() == [{"reject": {"status": 403}}]
    assert await websocket.wait() is None


async def test_a_client_that_does_not_read(quay, websocket):
    await websocket.accept()
    quay.inbox.congest(websocket.reply_channel)
    with pytest.raises(ChannelFull):
        await websocket.send("a")


async def test_a_connect_that_another_worker_has_by_now(quay, websocket):
    quay.reader.close()
    assert await websocket.wait() is None
    assert websocket.closed


async def test_what_it_tells_of_the_connection(websocket):
    assert (websocket.subprotocols, websocket.reply_channel) == (["a"], "websocket.send.Q1!c1")
