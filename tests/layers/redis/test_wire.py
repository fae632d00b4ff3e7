"""One connection as bytes: commands out, replies in, over plain sockets and TLS, and nothing waits unasked."""

import socket
import threading
from collections.abc import Iterator

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import Node, parse_redis_url
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.wire import ReplyError, Wire, make_parser, pack, parsed
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until

PEER = Node("peer", 1)
BIG = b"x" * 5_000_000


@pytest.fixture(params=["shared_redis", "tls_redis"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """The same with and without TLS."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def wire(server: RedisServer) -> Iterator[Wire]:
    nodes = Nodes(parse_redis_url(server.url))
    made = nodes.connect(nodes.node_of("key"))
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire to a peer that may say whatever a test wants."""
    here, there = socket.socketpair()
    made = Wire(here, PEER)
    with there:
        yield made, there
    made.close()


def test_commands_are_packed() -> None:
    assert pack("SET", b"\xff", 12) == b"*3\r\n$3\r\nSET\r\n$1\r\n\xff\r\n$2\r\n12\r\n"
    assert pack("ä") == b"*1\r\n$2\r\n\xc3\xa4\r\n"


def test_replies_come_in_the_order_of_the_commands(wire: Wire) -> None:
    replies = wire.ask(pack("SET", "key", "1"), pack("INCR", "key"), pack("GET", "none"), pack("NO"), timeout=10)
    assert replies[:3] == [b"OK", 2, None]
    assert isinstance(replies[3], ReplyError)
    assert str(replies[3]).startswith("ERR unknown command")


def test_an_error_inside_of_a_reply_is_an_object_too(wire: Wire) -> None:
    replies = wire.ask(pack("MULTI"), pack("SET", "key", "x"), pack("INCR", "key"), pack("EXEC"), timeout=10)
    assert replies[3][0] == b"OK"
    assert isinstance(replies[3][1], ReplyError)


def test_large_values_pass(wire: Wire) -> None:
    assert wire.ask(pack("SET", "key", BIG), pack("GET", "key"), timeout=10) == [b"OK", BIG]


def test_after_a_receive_nothing_is_hidden_from_a_poll(wire: Wire) -> None:
    """All replies are seen by somebody who only reads when the socket is readable."""
    wire.sendall(pack("SET", "key", BIG) + pack("GET", "key") * 3 + pack("PING"), 10)
    replies: list[object] = []
    while len(replies) < 5:
        assert wire.wait(10)
        replies += wire.receive()
    assert replies == [b"OK", BIG, BIG, BIG, b"PONG"]
    assert wire.receive() == []
    assert not wire.wait(0)


def test_replies_beyond_those_that_were_asked_for_are_kept(wire: Wire) -> None:
    wire.sendall(pack("ECHO", "1") + pack("ECHO", "2"))
    first = wire.ask(pack("ECHO", "3"), timeout=10)
    rest: list[object] = []
    while len(rest) < 2:
        assert wire.wait(10)
        rest += wire.receive()
    assert first + rest == [b"1", b"2", b"3"]


def test_one_thread_reads_while_another_writes(wire: Wire) -> None:
    count, body = 300, b"y" * 20_000
    replies: list[object] = []

    def read() -> None:
        while len(replies) < count and wire.wait(10):
            replies.extend(wire.receive())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(count):
        wire.sendall(pack("ECHO", body), 10)
    reader.join(30)
    assert replies == [body] * count


def test_a_close_wakes_who_waits(wire: Wire) -> None:
    lost: list[Exception] = []

    def read() -> None:
        try:
            while wire.wait():
                wire.receive()
        except LayerUnavailable as error:
            lost.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    wire.close()
    reader.join(10)
    assert len(lost) == 1
    assert wire.fileno() == -1
    for act in (lambda: wire.send(b"x"), wire.receive, lambda: wire.wait(0)):
        with pytest.raises(LayerUnavailable, match="is lost"):
            act()


def test_a_server_that_goes_is_noticed(own_redis: RedisServer) -> None:
    nodes = Nodes(parse_redis_url(own_redis.url))
    wire = nodes.connect(nodes.node_of("key"))
    own_redis.kill_clients()
    assert wire.wait(10)
    with pytest.raises(LayerUnavailable, match=rf"Redis at 127.0.0.1:{own_redis.port} has closed the connection"):
        wire.receive()
    wire.close()


def test_a_server_that_is_silent_is_waited_for_so_long(own_redis: RedisServer) -> None:
    nodes = Nodes(parse_redis_url(own_redis.url))
    wire = nodes.connect(nodes.node_of("key"))
    with own_redis.paused(), pytest.raises(LayerUnavailable, match=r"gave no answer within 0\.05 s"):
        wire.ask(pack("PING"), timeout=0.05)
    wire.close()


def test_a_peer_that_takes_nothing_is_waited_for_so_long(own_redis: RedisServer, pair) -> None:
    wire, _ = pair
    rest = BIG
    while sent := wire.send(rest):
        rest = rest[sent:]
    with pytest.raises(LayerUnavailable, match=r"Redis at peer:1 takes no more data; waited 0\.05 s"):
        wire.sendall(rest, 0.05)


def test_without_a_timeout_it_waits_for_room(pair) -> None:
    wire, there = pair
    thread = threading.Thread(target=wire.sendall, args=(BIG,))
    thread.start()
    size = 0
    while size < len(BIG):
        size += len(there.recv(1 << 20))
    thread.join(10)
    assert not thread.is_alive()


def test_a_peer_that_is_gone_takes_nothing(pair) -> None:
    wire, there = pair
    there.close()
    with pytest.raises(LayerUnavailable, match="Redis at peer:1 is lost: Broken pipe"):
        wire.sendall(b"x")


def test_a_peer_that_resets_the_connection_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(socket.create_connection(listener.getsockname()), PEER)
        there, _ = listener.accept()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    there.close()
    assert wire.wait(10)
    with pytest.raises(LayerUnavailable, match=r"Redis at peer:1 is lost: .*reset"):
        wire.receive()
    wire.close()


def test_a_peer_that_is_no_redis_is_told(pair) -> None:
    wire, there = pair
    there.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert wire.wait(10)
    with pytest.raises(LayerUnavailable, match="Redis at peer:1 does not speak as Redis does: "):
        wire.receive()


def test_half_a_reply_waits_for_its_other_half(pair) -> None:
    wire, there = pair
    there.sendall(b"$5\r\nhel")
    assert wire.wait(10)
    assert wire.receive() == []
    there.sendall(b"lo\r\n:7\r\n")
    assert wait_until(wire.receive, "the rest") == [b"hello", 7]


def test_a_parser_serves_whoever_reads_the_socket() -> None:
    parser = make_parser()
    parser.feed(b"+OK\r\n-ERR no\r\n*0\r\n$-1\r\n:0\r\n$3\r\nab")
    replies = parsed(parser, PEER)
    assert [str(reply) for reply in replies] == ["b'OK'", "ERR no", "[]", "None", "0"]
