"""A process's way to Redis: made again when it breaks, told once, and nothing is written to the wrong connections."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.hub.line import LineLost
from fairway.layers.redis import absence as absence_module
from fairway.layers.redis import line as line_module
from fairway.layers.redis.address import parse_redis_url
from fairway.layers.redis.commands import Command, Commands
from fairway.layers.redis.line import Callbacks, RedisLine
from fairway.layers.redis.link import Link
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.shards import Shards
from fairway.limits import BrokerLimits
from tests.layers.redis.owners import warnings
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until


class Made:
    """A line, and what it has told."""

    def __init__(self, url: str) -> None:
        self.events: list[str] = []
        self.dues: list[tuple[str, float]] = []
        self.losses: list[list[bytes]] = []
        self.found: list[Any] = []
        tell = Callbacks(
            lambda: self.events.append("made"),
            lambda: self.events.append("lost"),
            lambda shard, seconds: self.dues.append((shard, seconds)),
            self.losses.append,
        )
        shards = Shards("t")
        self.commands = Commands(shards, BrokerLimits())
        self.line = RedisLine(Nodes(parse_redis_url(url)), shards, tell)

    def ask(self, shard: str = "#0", on_result: Any = None) -> list[Any]:
        """Return a request that any shard answers."""
        command = self.commands.operator(shard, "shards")
        return [self.line.request(command, on_result or self.found.append)]

    def read_until(self, count: int) -> list[Any]:
        wait_until(lambda: self.line.read(0.1) or len(self.found) >= count, lambda: f"{count} in {self.found}")
        return self.found


@pytest.fixture
def made(own_redis: RedisServer) -> Iterator[Made]:
    found = Made(own_redis.url)
    yield found
    found.line.close()


# --- making it --------------------------------------------------------------------------------------------------------


def test_it_is_made_when_it_is_needed_and_again_when_it_broke(
    made: Made, own_redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absence_module, "STEADY", 0.0)
    line = made.line
    line.ensure(10)
    line.ensure(10)
    assert (line.generation, made.events) == (1, ["made"])
    own_redis.kill_clients()
    wait_until(lambda: line.read(1) == [] and not line.is_up, "it is lost")
    line.ensure(10)
    assert (line.generation, made.events) == (2, ["made", "lost", "made"])
    place = f"Redis at 127.0.0.1:{own_redis.port}"
    assert warnings(caplog) == [
        f"{place} has closed the connection: trying again until it is back",
        f"Redis at redis://127.0.0.1:{own_redis.port} is back",
    ]


def test_callers_share_one_attempt(made: Made, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for another's attempt fails with it, and tries nothing of its own."""
    own_redis.kill()
    begun, go_on = threading.Event(), threading.Event()
    attempts = []

    def slow(link: Link) -> None:
        attempts.append(link)
        begun.set()
        go_on.wait(30)
        raise LayerUnavailable("away")

    monkeypatch.setattr(Link, "open", slow)
    errors: list[str] = []

    def connect() -> None:
        try:
            made.line.connect()
        except LayerUnavailable as error:
            errors.append(str(error))

    first, second = threading.Thread(target=connect), threading.Thread(target=connect)
    first.start()
    begun.wait(30)
    entered = threading.Event()
    lock = made.line._connecting

    class Watched:
        def __enter__(self) -> None:
            entered.set()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    made.line._connecting = Watched()
    second.start()
    entered.wait(30)
    go_on.set()
    first.join(30)
    second.join(30)
    assert (errors, len(attempts)) == (["away", "away"], 1)


def test_all_calls_together_wait_once_for_a_redis_that_is_away(made: Made, own_redis: RedisServer) -> None:
    own_redis.kill()
    with pytest.raises(LayerUnavailable, match="cannot be reached"):
        made.line.ensure(0.0)
    assert made.line.deadline(2.0) == made.line.deadline(2.0) == made.line._absence.since + 2.0


def test_a_server_that_lets_us_in_and_hangs_up_is_tried_more_and_more_seldom(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(6):
        made.line.ensure(10)
        made.line.drop("it refuses")
    with pytest.raises(LayerUnavailable, match="it refuses"):
        made.line.ensure(0)
    assert warnings(caplog) == ["it refuses: trying again until it is back"]


def test_a_line_that_is_closed_stays_closed(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    made.line.ensure(10)
    made.line.close()
    assert made.line.pause(10)
    with pytest.raises(LayerUnavailable, match="the layer is closed"):
        made.line.ensure(10)
    made.line.start_anew()
    assert made.line.pause(10)
    assert made.events == ["made", "lost"]
    assert warnings(caplog) == []


def test_a_line_that_is_closed_while_it_is_made_has_no_connections(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it notices."""
    connect = Link.open

    def close_meanwhile(link: Link) -> None:
        connect(link)
        made.line.close()

    monkeypatch.setattr(Link, "open", close_meanwhile)
    made.line.connect()
    assert not made.line.is_up
    assert made.events == ["made", "lost"]


def test_silence_ends_it(made: Made, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made.line.look_for_silence()
    made.line.ensure(10)
    with own_redis.paused():
        made.line.write(made.ask())
        made.line.look_for_silence()
        assert made.line.is_up
        monkeypatch.setattr("fairway.layers.redis.pipe.REPLY_TIMEOUT", -1.0)
        made.line.look_for_silence()
    assert not made.line.is_up
    assert made.events == ["made", "lost"]


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_reply_tells_what_is_due_and_what_was_lost(made: Made) -> None:
    made.line.ensure(10)
    requests = made.ask()
    requests[0].on_reply([1500, b"result", [b"id", b"channel", b"attempts"]])
    assert (made.dues, made.losses, made.found) == ([("#0", 1.5)], [[b"id", b"channel", b"attempts"]], [b"result"])
    made.ask()[0].on_reply([-1, b"another", []])
    assert (len(made.dues), len(made.losses), made.found[1]) == (1, 1, b"another")


def test_nothing_is_written_to_other_connections_than_it_was_meant_for(made: Made) -> None:
    with pytest.raises(LineLost, match="there is no connection to Redis at"):
        made.line.write(made.ask())
    made.line.ensure(10)
    generation = made.line.generation
    made.line.post(made.ask())
    made.line.drop("for a test")
    made.line.ensure(10)
    with pytest.raises(LineLost):
        made.line.write(made.ask(), generation)
    made.line.write(made.ask(), made.line.generation)
    assert made.read_until(1) == [[]]
    assert made.found == [[]]


def test_what_was_posted_is_written_first(made: Made) -> None:
    made.line.ensure(10)
    for name in ("first", "second"):
        made.line.post(made.ask(on_result=lambda _, name=name: made.found.append(name)))
    made.line.write(made.ask(on_result=lambda _: made.found.append("third")))
    assert made.read_until(3) == ["first", "second", "third"]


async def test_an_event_loop_does_not_wait_for_room(made: Made, own_redis: RedisServer) -> None:
    made.line.ensure(10)
    with own_redis.paused():
        big = made.line.request(Command("#0", "operator", [b"", "shards", b"x" * 8_000_000]), made.found.append)
        made.line.post(made.ask())
        writing = asyncio.create_task(made.line.awrite([big]))
        await asyncio.sleep(0)
        assert not writing.done()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    made.line.drop("over")


def test_a_connection_that_is_gone_is_noticed_by_whoever_writes(made: Made, own_redis: RedisServer) -> None:
    made.line.ensure(10)
    own_redis.kill()

    def write() -> bool:
        try:
            made.line.write(made.ask())
        except LineLost:
            return True
        return False

    wait_until(write, "the line is lost")
    assert made.events == ["made", "lost"]


@pytest.mark.parametrize(
    ("refusal", "is_up"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("NOPERM this user has no permissions", True),
        ("READONLY You can't write against a read only replica.", False),
        ("NOSCRIPT No matching script.", False),
    ],
)
def test_a_refusal_costs_the_line_when_another_may_help(made: Made, refusal: str, is_up: bool) -> None:
    """Whoever waits for the result is told in any case."""
    made.line.ensure(10)
    (link,) = [made.line._link]
    assert link
    request = made.ask()[0]
    replying = [lambda _: request.on_reply(line_module.ReplyError(refusal))]
    next(iter(link._pipes.values())).send(b"*1\r\n$4\r\nPING\r\n", replying)
    wait_until(lambda: made.line.read(1) or made.found, "the answer")
    assert str(made.found[0]).endswith(f"refuses: {refusal}")
    assert made.line.is_up is is_up


# --- reading ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_understood_costs_the_line(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    def fail(result: Any) -> None:
        raise ValueError(result)

    made.line.ensure(10)
    made.line.write(made.ask(on_result=fail))
    wait_until(lambda: made.line.read(1) == [] and not made.line.is_up, "it is lost")
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert "sent what cannot be understood ([])" in warnings(caplog)[1]


def test_who_leads_other_connections_reads_nothing(made: Made) -> None:
    assert made.line.read(0) == []
    made.line.ensure(10)
    made.line.arrived.append("x")
    assert made.line.read(0, made.line.generation + 1) == []
    assert made.line.read(0, made.line.generation) == ["x"]


def test_without_connections_nothing_is_watched(made: Made) -> None:
    made.line.watch("#0", "key", lambda entry, fields: None)
    made.line.unwatch("#0", "key")
    made.line.nudge()
    assert made.events == []


def test_a_stream_that_cannot_be_read_costs_the_line(
    made: Made, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.line.ensure(10)
    monkeypatch.setattr("fairway.layers.redis.link.CONNECT_TIMEOUT", 0.05)
    with own_redis.paused():
        made.line.watch("#0", "key", lambda entry, fields: None)
    assert made.events == ["made", "lost"]


def test_a_forked_process_has_answers_of_its_own(made: Made) -> None:
    made.line.ensure(10)
    before, link = made.line.client, made.line._link
    assert link
    made.line.start_anew()
    assert not made.line.is_up
    assert made.line.client != before
    link.close()
