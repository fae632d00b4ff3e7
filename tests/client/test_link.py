"""A connection comes back by the tables, asks for its token each time, and notices a server that is silent."""

import asyncio
import dataclasses
import logging

import pytest

from fairway.client.closing import Closing
from fairway.client.link import Link, Try
from fairway.client.sockets import Address
from fairway.limits import UNLIMITED, ClientLimits
from tests.client.rogue import echo, raw_server, rogue
from tests.support.waiting import await_until


class Story:
    """Writes down what a link tells; sends what a test puts."""

    def __init__(self):
        self.told = []
        self.frames = []
        self.outgoing = asyncio.Queue()
        self.at_end = lambda closing: None

    def connecting(self):
        self.told.append("connecting")

    def opened(self):
        self.told.append("opened")

    def received(self, frame):
        self.frames.append(frame)

    def ended(self, closing):
        self.told.append(closing)
        self.at_end(closing)

    def reconnecting(self, next_try):
        self.told.append(next_try)

    def failed(self, error):
        self.told.append(error)

    async def write(self, send):
        while True:
            text = await self.outgoing.get()
            if text is None:
                raise ZeroDivisionError("as asked")
            await send(text)

    def count(self, what):
        return sum(1 for told in self.told if told == what)

    def ends(self):
        return [told for told in self.told if isinstance(told, Closing)]

    def tries(self):
        return [told.attempt for told in self.told if isinstance(told, Try)]


@pytest.fixture
def story():
    return Story()


def made(url, story, codes=None, token="", **limits):
    return Link(Address(url, {}), dataclasses.replace(ClientLimits(), **limits), codes or {}, story, token)


def closes_with(*codes):
    """Talk that closes each connection with the next code, and then stays."""
    left = list(codes)

    async def talk(peer):
        if left:
            await peer.socket.close(left.pop(0))
        else:
            await echo(peer)

    return talk


@pytest.mark.usefixtures("quick", "loop_factory")
async def test_it_comes_back_until_it_is_closed(story):
    async with rogue(closes_with(1012, 1013)) as server:
        link = made(server.url, story)
        assert link.state == "new"
        assert link.start() is True
        await await_until(lambda: link.state == "open" and story.count("opened") == 3)
        assert link.start() is False
        await link.close()
        await link.close()
    assert link.state == "closed"
    assert story.ends() == [(1012, "", None, True), (1013, "", None, True), (1000, "", None, False)]
    assert story.tries() == [1, 2]
    assert story.told[:3] == ["connecting", "opened", (1012, "", None, True)]


async def test_it_stays_away_where_the_table_says_so(story):
    async with rogue(closes_with(1008)) as server:
        link = made(server.url, story)
        link.start()
        await await_until(lambda: link.state == "closed")
        link.reconnect()
        assert link.start() is False
        await link.close()
    assert story.told == ["connecting", "opened", (1008, "", None, False)]
    assert link.last == (1008, "", None, False)


@pytest.mark.usefixtures("quick")
async def test_unless_the_application_says_otherwise(story):
    async with rogue(closes_with(4503, 1012)) as server:
        link = made(server.url, story, {4503: "later", 1012: "stay"})
        link.start()
        await await_until(lambda: link.state == "closed")
        await link.close()
    assert [(end.code, end.will_reconnect) for end in story.ends()] == [(4503, True), (1012, False)]


async def test_a_refused_handshake_ends_it(story):
    async with rogue(process_request=lambda connection, request: connection.respond(403, "no")) as server:
        link = made(server.url, story)
        link.start()
        await await_until(lambda: link.state == "closed")
        await link.close()
    assert [(end.code, end.status, end.will_reconnect) for end in story.ends()] == [(1006, 403, False)]


async def test_a_wait_is_cut_short_on_demand(story):
    async with rogue(closes_with(1013)) as server:  # which means two seconds at least
        link = made(server.url, story)
        link.start()
        await await_until(lambda: story.tries() == [1])
        began = asyncio.get_running_loop().time()
        link.reconnect()
        assert link.state == "connecting"
        await await_until(lambda: link.state == "open")
        assert asyncio.get_running_loop().time() - began < 2
        link.reconnect()
        assert link.state == "open"
        await link.close()


async def test_who_is_told_of_an_end_may_decide_at_once(story):
    async with rogue(closes_with(1013)) as server:
        link = made(server.url, story)
        story.at_end = lambda closing: link.reconnect()
        link.start()
        await await_until(lambda: story.count("opened") == 2)
        await link.close()
    assert story.tries() == []


async def test_a_wait_ends_when_it_is_closed(story):
    link = made("ws://127.0.0.1:9/", story)
    link.start()
    await await_until(story.tries)
    await link.close()
    assert [end.will_reconnect for end in story.ends()][-1] is False
    assert "no connection" in story.ends()[0].reason


async def test_one_that_never_began_is_closed_at_once(story):
    link = made("ws://127.0.0.1:9/", story)
    await link.close()
    assert (link.state, link.start()) == ("closed", False)


@pytest.mark.usefixtures("quick")
async def test_a_lasting_connection_makes_delays_short_again(story, monkeypatch):
    async with rogue(closes_with(1012, 1012, 1012)) as server:
        link = made(server.url, story)
        link.start()
        await await_until(lambda: story.count("opened") == 4)
        monkeypatch.setattr("fairway.client.link.LASTED", -1)
        server.peers[-1].socket.transport.abort()
        await await_until(lambda: story.count("opened") == 5)
        await link.close()
    assert story.tries() == [1, 2, 3, 1]


@pytest.mark.usefixtures("quick")
async def test_a_token_is_asked_for_before_each_connection(story):
    tokens = iter(["a", "b", "c"])

    async def token():
        return next(tokens)

    async with rogue(closes_with(1012)) as server:
        link = made(server.url, story, token=token)
        link.start()
        await await_until(lambda: link.state == "open" and link.token == "b")
        await link.close()


@pytest.mark.usefixtures("quick")
async def test_a_token_that_cannot_be_had_is_told_and_asked_for_again(story):
    answers = [ValueError("no token today"), "plain"]

    def token():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with rogue() as server:
        link = made(server.url, story, token=token)
        link.start()
        await await_until(lambda: link.state == "open")
        await link.close()
    assert link.token == "plain"
    assert [repr(told) for told in story.told if isinstance(told, ValueError)] == ["ValueError('no token today')"]
    assert story.ends()[0] == (1006, "no token: ValueError('no token today')", None, True)


async def test_a_handshake_has_its_time(story):
    async def silent(reader, writer):
        await reader.read()

    async with raw_server(silent) as url:
        link = made(url, story, connect_timeout=0.05)
        link.start()
        await await_until(story.ends)
        await link.close()
    assert story.ends()[0].reason == "no connection within connect_timeout (0.05 s)"


async def test_a_handshake_may_be_closed_meanwhile(story):
    gone = asyncio.Event()

    async def silent(reader, writer):
        await reader.read()
        gone.set()

    async with raw_server(silent) as url:
        link = made(url, story, connect_timeout=UNLIMITED)
        link.start()
        await asyncio.sleep(0)
        await link.close()
    assert story.told[-1] == (1000, "", None, False)


@pytest.mark.usefixtures("quick")
async def test_a_server_without_a_sign_of_life_is_given_up(story):
    async def deaf(peer):
        if len(server.peers) == 1:
            peer.socket.transport.pause_reading()
        await peer.socket.wait_closed()

    async with rogue(deaf) as server:
        link = made(server.url, story, heartbeat=0.05)
        link.start()
        await await_until(lambda: len(server.peers) == 2)
        server.peers[0].socket.transport.abort()
        await link.close()
    assert story.ends()[0] == (1006, "no sign of life in twice heartbeat (0.05 s)", None, True)


@pytest.mark.parametrize("talks", [False, True])
async def test_a_pong_is_a_sign_of_life_and_so_is_any_frame(story, talks):
    pings = []

    async def talk(peer):
        if not talks:
            process = peer.socket.process_event
            peer.socket.process_event = lambda event: (pings.append(event), process(event))
            await peer.socket.wait_closed()
        peer.socket.transport.pause_reading()  # so that no ping is answered
        for _ in range(40):
            await peer.send("{}")
            await asyncio.sleep(0.01)
        peer.socket.transport.resume_reading()
        await peer.wait_closed()

    async with rogue(talk) as server:
        link = made(server.url, story, heartbeat=0.05)
        link.start()
        await await_until(lambda: len(story.frames) == 40 if talks else len(pings) >= 3)
        assert link.state == "open"
        await link.close()
    assert story.ends() == [(1000, "", None, False)]


async def test_a_frame_that_comes_while_a_ping_waits_is_a_sign_of_life(story):
    async def talk(peer):
        peer.socket.transport.pause_reading()
        for _ in range(3):
            await asyncio.sleep(0.6)
            await peer.send("{}")
        peer.socket.transport.resume_reading()
        await peer.wait_closed()

    async with rogue(talk) as server:
        link = made(server.url, story, heartbeat=0.5)
        link.start()
        await await_until(lambda: len(story.frames) == 3)
        await link.close()
    assert story.ends() == [(1000, "", None, False)]


async def test_without_a_heartbeat_nobody_asks(story):
    async with rogue() as server:
        link = made(server.url, story, heartbeat=UNLIMITED)
        link.start()
        await story.outgoing.put(b'{"type": "a", "id": 1}')
        await await_until(lambda: story.frames)
        await link.close()
    assert story.frames == ['{"type": "a", "id": 1, "data": null}']


@pytest.mark.usefixtures("quick")
async def test_a_fault_while_sending_costs_the_connection_and_is_logged(story, caplog):
    async with rogue() as server:
        link = made(server.url, story)
        link.start()
        await story.outgoing.put(None)
        await await_until(lambda: story.count("opened") == 2)
        await link.close()
    assert story.ends()[0].reason == "sending failed: ZeroDivisionError('as asked')"
    assert "cannot send" in caplog.text


async def test_a_fault_of_its_own_ends_it_and_is_logged(story, caplog):
    story.received = lambda frame: 1 / 0

    async def talk(peer):
        await peer.send("{}")
        await peer.wait_closed()

    with caplog.at_level(logging.ERROR, "fairway.client"):
        async with rogue(talk) as server:
            link = made(server.url, story)
            link.start()
            await await_until(lambda: link.state == "closed")
            await link.close()
    assert story.ends() == [(1006, "the client has failed: ZeroDivisionError('division by zero')", None, False)]
    assert "ZeroDivisionError" in caplog.text


async def test_whoever_ends_the_task_ends_the_client(story):
    async with rogue() as server:
        link = made(server.url, story)
        link.start()
        await await_until(lambda: link.state == "open")
        link._task.cancel()
        await await_until(lambda: link.state == "closed")
        await link.close()
    assert story.ends() == [(1006, "the client's task was cancelled", None, False)]


async def test_closing_may_be_cancelled_and_goes_on(story):
    async def stubborn(peer):
        peer.socket.transport.pause_reading()
        await asyncio.sleep(0.1)
        peer.socket.transport.resume_reading()
        await peer.wait_closed()

    async with rogue(stubborn) as server:
        link = made(server.url, story)
        link.start()
        await await_until(lambda: link.state == "open")
        closing = asyncio.create_task(link.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await await_until(link._task.done)
    assert (link.state, server.peers[0].socket.close_code) == ("closed", 1000)


async def test_a_token_function_may_close_the_client(story):
    async def token():
        await link.close()
        return "never used"

    link = made("ws://127.0.0.1:9/", story, token=token)
    link.start()
    await await_until(link._task.done)
    assert story.told == ["connecting", (1000, "", None, False)]
