"""The page about the client: its code runs against a real project, and its tables tell what is there."""

import inspect
import re
from typing import get_args

import pytest

from fairway.client import ClientLimits, Overflow, connect
from fairway.client.closing import CLOSE_CODES, STATUSES
from fairway.client.events import Event
from fairway.client.machine import State
from fairway.client.sockets import Handshake
from fairway.errors import ClientError, RequestFailed
from tests.client.rogue import rogue
from tests.support.pages import DOCS, run_page

PAGE = "how-to/python-client.md"
TEXT = (DOCS / PAGE).read_text()


@pytest.fixture(scope="module")
def page():
    return run_page(PAGE)


def first_column(heading):
    """The names of the first table that has this heading."""
    lines = TEXT.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    names = []
    for line in lines[start:]:
        if not line.startswith("|"):
            return names
        names += re.findall(r"`([^`]+)`", line.split("|")[1])
    return names


def numbers(heading):
    """Verdict -> the numbers that the table of this heading gives it."""
    lines = TEXT.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = [line for line in lines[start : start + 3] if "all others" not in line]
    verdicts = {"soon": "comes back soon", "later": "comes back later"}
    return {
        int(number): verdict
        for row in rows
        for verdict, words in verdicts.items()
        if words in row
        for number in re.findall(r"\d+", row.split("|")[1])
    }


async def test_a_request(page, monkeypatch):
    async def todo(peer):
        request = await peer.ask()
        await peer.answer(request, data={"type": request["type"], **request["data"]})
        await peer.wait_closed()

    async with rogue(todo) as server:
        monkeypatch.setitem(page, "connect", lambda _: connect(server.url))
        assert await page["add_todo"]("Sail") == {"type": "todo.add", "title": "Sail"}


async def test_groups(page, capsys):
    async def board(peer):
        await peer.answer(await peer.ask(), data={"group": "board-7", "type": "board", "id": 7})
        for kind in ("update", "delete"):
            change = {"type": kind, "group": "board-7", "object": {"id": 1}}
            await peer.send({"id": 5, "type": "subscription-update", "data": change})
        await peer.answer(await peer.ask(), data={})
        await peer.wait_closed()

    async with rogue(board) as server:
        assert await page["follow"](server.url, 7) == {"id": 1}
    assert capsys.readouterr().out == "update {'id': 1}\ndelete {'id': 1}\n"


async def test_streams(page):
    async def repeat(peer):
        await peer.send(await peer.ask())
        await peer.wait_closed()

    async with rogue(repeat) as server:
        assert await page["chat"](server.url, "Ahoy") == {"text": "Ahoy"}


async def test_events(page):
    async def talk(peer):
        request = await peer.ask()
        await peer.send("nonsense")
        await peer.answer(request)
        await peer.wait_closed()

    story = []
    async with rogue(talk) as server:
        await page["watched"](server.url, story)
    assert story == ["connecting", "for the first time", "open", "bad frame: 'nonsense'", "closed"]


async def test_options(page):
    seen = []

    async def talk(peer):
        request = await peer.ask()
        seen.append((peer.headers["Cookie"], request["auth_jwt"]))
        await peer.answer(request, error="no")
        await peer.wait_closed()

    async with rogue(talk) as server, page["careful"](server.url) as client:
        with pytest.raises(RequestFailed):
            await client.request("x")
    assert seen == [("sessionid=abc", "secret")]


def test_the_tables_name_what_there_is():
    assert sorted(first_column("event")) == sorted(get_args(Event))
    assert first_column("state") == list(get_args(State))
    assert first_column("policy") == [f"Overflow.{policy.name}" for policy in Overflow]
    signature = inspect.signature(connect).parameters
    options = [name for name in signature if name not in ("url", "handshake")]
    assert sorted(first_column("option")) == sorted([*options, *Handshake.__annotations__])
    errors = {kind.__name__ for kind in ClientError.__subclasses__()}
    assert errors - set(first_column("error")) == {"BadFrame"}  # which is an event


def test_the_tables_of_codes_are_those_of_the_client():
    comes_back = {code: verdict for code, verdict in CLOSE_CODES.items() if verdict != "stay"}
    assert numbers("close code") == comes_back
    assert numbers("status") == dict(STATUSES)


def test_the_numbers_are_the_limits():
    limits = ClientLimits()
    assert (limits.timeout, limits.max_feed, limits.max_feed_bytes) == (10, 1_000, 64 * 2**20)
    assert (limits.heartbeat, limits.connect_timeout) == (30, 30)
    assert "up to 1,000 items that nobody has taken, or 64 MiB" in TEXT
