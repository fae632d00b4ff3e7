"""Streams of one server, read by one XREAD at a time: they come and go while it waits."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.redis import mail as mail_module
from fairway.layers.redis.address import Node, parse_redis_url
from fairway.layers.redis.mail import Mail
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.wire import Wire
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until


def wire_to(url: str) -> Wire:
    nodes = Nodes(parse_redis_url(url))
    return nodes.connect(nodes.node_of("key"))


class Box:
    """A mail, and what has come to those that watch."""

    def __init__(self, server: RedisServer) -> None:
        self.mail = Mail(wire_to(server.url), 10.0)
        self.found: list[tuple[str, bytes, Sequence[bytes]]] = []

    def watch(self, key: str) -> bool:
        return self.mail.watch(key, lambda entry, fields: self.found.append((key, entry, fields)))

    def read_until(self, count: int) -> list[tuple[str, bytes]]:
        """Receive until so many entries have come; return the stream and the first value of each."""
        while len(self.found) < count:
            assert self.mail.wire.wait(10), self.found
            self.mail.receive()
        return [(key, fields[1]) for key, _, fields in self.found]


@pytest.fixture
def box(shared_redis: RedisServer) -> Iterator[Box]:
    made = Box(shared_redis)
    yield made
    made.mail.close()


def test_a_stream_is_read_from_its_beginning_and_on(box: Box, shared_redis: RedisServer) -> None:
    shared_redis.call("XADD", "a", "*", "f", "1")
    assert not box.watch("a")
    assert box.read_until(1) == [("a", b"1")]
    shared_redis.call("XADD", "a", "*", "f", "2")
    shared_redis.call("XADD", "a", "*", "f", "3")
    assert box.read_until(3) == [("a", b"1"), ("a", b"2"), ("a", b"3")]


def test_a_stream_that_is_added_while_an_xread_waits(box: Box, shared_redis: RedisServer) -> None:
    """Whoever adds the first one ends the XREAD; those that follow share that."""
    for key in ("b", "c"):
        shared_redis.call("XADD", key, "*", "f", key)
    box.watch("a")
    wait_until(lambda: b"blocked_clients:1" in shared_redis.call("INFO", "clients"), "the XREAD waits")
    assert [box.watch("b"), box.watch("c"), box.watch("c")] == [True, False, False]
    assert box.mail.is_stale
    assert shared_redis.call("CLIENT", "UNBLOCK", box.mail.client_id) == 1
    assert sorted(box.read_until(2)) == [("b", b"b"), ("c", b"c")]
    assert not box.mail.is_stale


def test_what_comes_in_one_stream_lets_another_in(box: Box, shared_redis: RedisServer) -> None:
    """An answer that is on its way names the new streams next, whether somebody has ended the XREAD or not."""
    box.watch("a")
    shared_redis.call("XADD", "b", "*", "f", "2")
    assert box.watch("b")
    shared_redis.call("XADD", "a", "*", "f", "1")
    assert box.read_until(2) == [("a", b"1"), ("b", b"2")]


def test_a_stream_that_is_forgotten_is_heard_no_more(box: Box, shared_redis: RedisServer) -> None:
    box.watch("a")
    box.watch("b")
    box.mail.forget("a")
    shared_redis.call("XADD", "a", "*", "f", "1")
    shared_redis.call("XADD", "b", "*", "f", "2")
    assert box.read_until(1) == [("b", b"2")]


def test_without_streams_nothing_is_asked(box: Box, shared_redis: RedisServer) -> None:
    box.watch("a")
    box.mail.forget("a")
    shared_redis.call("XADD", "a", "*", "f", "1")
    assert box.mail.wire.wait(10)
    box.mail.receive()
    assert box.found == []
    assert not box.mail.is_silent(1e12)
    assert not box.watch("a")
    assert box.read_until(1) == [("a", b"1")]


def test_an_entry_that_was_deleted_is_passed_over(box: Box) -> None:
    """A server may tell of it without its fields."""
    ours, theirs = socket.socketpair()
    box.mail.wire.close()
    box.mail.wire = Wire(ours, Node("127.0.0.1", 6379))
    box.watch("a")
    theirs.sendall(
        b"*1\r\n*2\r\n$1\r\na\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    )
    assert box.read_until(1) == [("a", b"v")]
    theirs.close()


def test_a_server_that_refuses(box: Box, shared_redis: RedisServer) -> None:
    shared_redis.call("SET", "a", "no stream")
    box.watch("a")
    with pytest.raises(LayerUnavailable, match="does not let us read streams: WRONGTYPE"):
        box.read_until(1)


def test_a_user_that_may_not_know_its_connection(shared_redis: RedisServer) -> None:
    shared_redis.add_user("me", "pw", "t", "-@all +@connection -client|id +hello")
    wire = wire_to(shared_redis.url.replace("redis://", "redis://me:pw@"))
    with pytest.raises(LayerUnavailable, match=r"its user needs \+client\|id"):
        Mail(wire, 10.0)
    wire.close()


def test_an_answer_is_overdue_when_the_xread_should_have_ended(box: Box) -> None:
    assert not box.mail.is_silent(1e12)
    box.watch("a")
    since = box.mail._armed_at
    assert not box.mail.is_silent(since + 10.0)
    assert box.mail.is_silent(since + 10.1)


def test_an_xread_that_finds_nothing_is_asked_again(shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_module, "BLOCK", 0.01)
    box = Box(shared_redis)
    with contextlib.closing(box.mail):
        box.watch("a")
        first = box.mail._armed_at
        assert box.mail.wire.wait(10)
        box.mail.receive()
        assert box.mail._armed_at > first
        adding = threading.Thread(target=shared_redis.call, args=("XADD", "a", "*", "f", "1"))
        adding.start()
        assert box.read_until(1) == [("a", b"1")]
        adding.join()
