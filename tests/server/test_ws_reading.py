"""How a WebSocket reads: ahead of its consumers, but not too far, and control frames at once."""

import asyncio

import pytest

from tests.server.support import PING, PONG, TEXT, await_until, frame, limits, serving

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


async def test_beyond_the_read_ahead_the_socket_is_read_no_further():
    async with serving() as house:
        peer, connect = await house.open()
        peer.say("under way")
        held = await house.take()
        stream = house.gateway._streams[connect.reply]
        for number in range(16):
            peer.say(str(number))
        await await_until(lambda: stream._port.reading_paused)
        assert len(stream._gate) == 16
        piece = frame(TEXT, b"x" * 50_000)
        for _ in range(400):
            peer.send(piece)
        await house.settle()
        # what TCP did not take waits at the client, and the server holds no more than one read
        assert peer.writer.transport.get_write_buffer_size() > 1_000_000
        assert len(stream._intake._unread) <= 300_000
        held.commit()
        for number in range(416):
            receive = (await house.take("websocket.receive")).commit()
            assert receive.order == number + 2
        await await_until(lambda: not stream._port.reading_paused)


async def test_bytes_count_for_the_read_ahead_too():
    async with serving(limits(websocket={"read_ahead_bytes": 1000})) as house:
        peer, connect = await house.open()
        stream = house.gateway._streams[connect.reply]
        peer.say("under way")
        peer.say("x" * 1000)
        await await_until(lambda: stream._port.reading_paused)
        assert len(stream._gate) == 1


async def test_control_frames_are_answered_while_messages_wait():
    async with serving() as house:
        peer, _ = await house.open()
        for number in range(10):
            peer.say(str(number))
        peer.send(frame(PING, b"are you there?"))
        assert await peer.frame() == (0x80 | PONG, b"are you there?")


async def test_the_ping_clock_stops_while_the_socket_is_not_read():
    async with serving(limits(websocket={"ping_interval": 0.05, "ping_timeout": 0.05})) as house:
        peer, connect = await house.open()
        for number in range(17):
            peer.say(str(number))
        stream = house.gateway._streams[connect.reply]
        await await_until(lambda: stream._port.reading_paused)
        peer.reader._buffer.clear()
        await asyncio.sleep(0.3)
        house.work(lambda work: work.commit({"text": "done"}))
        assert await peer.text() == "done"
