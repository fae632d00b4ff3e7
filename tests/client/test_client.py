"""The client as a whole: its life, its events, and a server that sends what it should not. No Django is needed."""

import asyncio
import itertools
import json
import logging
import subprocess
import sys
import textwrap

import pytest

from fairway.client import Client, Closing, connect
from fairway.client.sockets import TURN
from fairway.errors import BadFrame, ClientClosed, RequestFailed, TimedOut, UsageError
from tests.client.rogue import echo, rogue
from tests.support.waiting import await_until


def listen(client, *events):
    """Write down what a client tells."""
    story = []
    for event in events:
        client.on(event, lambda detail, event=event: story.append((event, detail)))
    return story


@pytest.mark.usefixtures("quick", "loop_factory")
async def test_events_tell_the_story_of_a_connection():
    async def talk(peer):
        if len(server.peers) == 1:
            await peer.socket.close(1012, "restart")
        await echo(peer)

    async with rogue(talk) as server:
        client = connect(server.url)
        story = listen(client, "open", "close", "state", "reconnecting")
        async with client:
            await await_until(lambda: len(server.peers) == 2)
            await client.request("ping")
    attempt = next(detail for event, detail in story if event == "reconnecting")
    assert attempt.attempt == 1
    assert 0 <= attempt.delay <= 0.02
    assert story == [
        ("state", "connecting"),
        ("open", None),
        ("state", "open"),
        ("close", Closing(1012, "restart", None, will_reconnect=True)),
        ("state", "waiting"),
        ("reconnecting", attempt),
        ("state", "connecting"),
        ("open", None),
        ("state", "open"),
        ("close", Closing(1000)),
        ("state", "closed"),
    ]


async def test_a_ping_takes_its_time():
    async with rogue() as server, connect(server.url) as client:
        assert 0 < await client.ping() < 10
        assert 0 < await client.ping(timeout=20) < 20


async def test_waiting_for_a_connection():
    async with rogue() as server:
        client = connect(server.url)
        with pytest.raises(ClientClosed, match="the client is new"):
            await client.wait_open()
        async with client:
            await asyncio.gather(client.wait_open(), client.wait_open(timeout=20))
            await client.wait_open()
            assert client.state == "open"
        with pytest.raises(ClientClosed, match=r"the client is closed \(1000\)"):
            await client.wait_open()


async def test_waiting_for_one_that_does_not_come():
    async with connect("ws://127.0.0.1:9/") as client:
        with pytest.raises(TimedOut, match=r"no connection \(1006 no connection: .*\) within 0.05 s"):
            await client.wait_open(0.05)
        cancelled = asyncio.create_task(client.wait_open())
        waiting = asyncio.create_task(client.wait_open())
        await asyncio.sleep(0)
        cancelled.cancel()
        await client.close()
        with pytest.raises(ClientClosed, match="the client was closed: 1000"):
            await waiting
        assert cancelled.cancelled()


async def test_a_refused_handshake_is_told_to_all_who_wait():
    async with rogue(process_request=lambda connection, request: connection.respond(403, "no")) as server:
        async with connect(server.url) as client:
            outcomes = await asyncio.gather(client.wait_open(), client.request("x"), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ClientClosed, ClientClosed]
        assert all("the server refused the handshake: HTTP 403" in str(outcome) for outcome in outcomes)


async def test_a_client_is_opened_once():
    async with rogue() as server:
        async with connect(server.url) as client:
            with pytest.raises(ClientClosed, match="a client is opened once"):
                await client.__aenter__()
            assert await client.request("x", 1) == 1
        with pytest.raises(ClientClosed, match="a client is opened once"):
            await client.__aenter__()


def test_connect_needs_no_event_loop_and_refuses_what_is_no_address():
    assert isinstance(connect("ws://a/"), Client)
    assert connect("ws://a/").state == "new"
    with pytest.raises(UsageError, match="begins with ws://"):
        connect("/ws/")


HOSTILE = [
    *("nonsense", "", "[]", "null", "17", '"#1"', "{", "[" * 100_000, '{"a":' * 100_000, '{"id": "#1"', "\x00"),
    *(b"\x00\xff", b"", b'{"id": "#1"}'),
    '{"error": "Could not decode JSON message."}',
    '{"type": "subscription-update", "id": 1}',
    '{"type": "subscription-update", "id": 1, "data": {"group": 7}}',
    '{"type": "subscription-update", "id": 1, "data": [[]]}',
]
MESSAGES = [{}, {"stream": "x"}, {"stream": 7, "payload": 1}, {"id": 17, "type": "news"}, {"id": None, "error": None}]


async def test_nonsense_is_an_event_and_the_client_lives_on():
    async def talk(peer):
        request = await peer.ask()
        for frame in [*HOSTILE, *map(json.dumps, MESSAGES)]:
            await peer.send(frame)
        await peer.answer(request, data="sane")
        await echo(peer)

    async with rogue(talk) as server, connect(server.url) as client:
        story = listen(client, "error", "message", "push", "close")
        assert await client.request("x") == "sane"
        assert await client.request("x", "again") == "again"
        errors = [detail for event, detail in story if event == "error"]
        assert [type(error) for error in errors] == [*[BadFrame] * 14, RequestFailed, *[BadFrame] * 3]
        assert [detail for event, detail in story if event == "message"] == MESSAGES
        assert {event for event, _ in story} == {"error", "message"}
        assert client.statistics == (0, 0, 0)


async def test_an_error_that_nobody_listens_to_is_logged(caplog):
    async def talk(peer):
        await peer.send("nonsense")
        await echo(peer)

    with caplog.at_level(logging.WARNING, "fairway.client"):
        async with rogue(talk) as server, connect(server.url) as client:
            await client.request("x")
    assert [record.getMessage() for record in caplog.records] == ["BadFrame: bad frame: 'nonsense'"]


async def test_a_flood_that_nobody_asked_for_is_bounded():
    async def talk(peer):
        push = json.dumps({"id": 1, "type": "subscription-update", "data": {"group": "g", "object": "x" * 1000}})
        for _ in range(5000):
            await peer.send(push)
        await echo(peer)

    async with rogue(talk) as server, connect(server.url) as client:
        pushes = client.pushes()
        assert await client.request("x", 1, timeout=50) == 1
        assert (len(pushes), pushes.dropped) == (1000, 4000)


async def test_other_tasks_have_their_turn_in_a_flood():
    """Both ways: what a task does between its turns is counted in frames, not in seconds."""
    seen, turns = [], []

    async def talk(peer):
        for number in range(20_000):
            await peer.send(json.dumps({"number": number}))
        await echo(peer)

    async def watch():
        while True:
            turns.append(len(seen))
            await asyncio.sleep(0)

    async with rogue(talk) as server, connect(server.url) as client:
        client.on("message", seen.append)
        watching = asyncio.create_task(watch())
        await await_until(lambda: len(seen) == 20_000)
        watching.cancel()
    assert max(later - earlier for earlier, later in itertools.pairwise(turns)) <= TURN


async def test_a_handler_may_close_the_client():
    closing = []
    async with rogue() as server, connect(server.url) as client:
        client.on("open", lambda _: closing.append(asyncio.create_task(client.close())))
        await await_until(lambda: client.state == "closed")
        await closing[0]


@pytest.mark.usefixtures("quick")
async def test_a_token_is_that_of_the_connection():
    tokens = iter("ab")
    seen = []

    async def talk(peer):
        request = await peer.ask()
        seen.append(request["auth_jwt"])
        if len(server.peers) == 1:
            await peer.socket.close(1012)
        await peer.answer(request)
        await peer.wait_closed()

    async with rogue(talk) as server, connect(server.url, token=lambda: next(tokens)) as client:
        await client.request("x", idempotent=True)
    assert seen == ["a", "b"]


def test_a_script_needs_no_django_and_no_settings():
    script = """
        import asyncio, sys
        from fairway.client import ClientLimits, connect

        async def main():
            async with connect("ws://127.0.0.1:9/", limits=ClientLimits(timeout=0.01)) as client:
                try:
                    await client.request("ping")
                except TimeoutError as error:
                    print(type(error).__name__)

        asyncio.run(main())
        print([name for name in sys.modules if name.split(".")[0] in ("django", "asgiref")])
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("TimedOut\n[]\n", "")


def test_without_websockets_it_says_what_to_install():
    script = """
        import sys
        sys.modules["websockets"] = None
        from fairway.errors import MissingExtra
        try:
            from fairway.client import connect
        except MissingExtra as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=50, check=False
    )
    assert "pip install 'fairway[client]'" in done.stdout
