"""Who connects over TCP and is nobody yet: told "refused" and nothing else, soon gone, and never near the broker."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fairway.broker.effects import Send
from fairway.errors import LayerUnavailable
from fairway.layers.hub import tcp_doorway
from fairway.layers.hub.meeting import meet
from fairway.wire.hub import (
    MAGIC,
    VERSIONS,
    Challenge,
    Frame,
    FrameReader,
    FromHub,
    Hello,
    Open,
    Ping,
    Proof,
    Publish,
    Refusal,
    Welcome,
    pack,
)
from fairway.wire.hub_secret import NONCE, Exchange
from tests.support.hubs import RawLine
from tests.support.redis import Certificates, make_certificates
from tests.support.tcp_hubs import SECRET, TcpHubThread
from tests.support.waiting import wait_until

NONCE_OF_OURS = b"c" * NONCE


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TcpHubThread]:
    with TcpHubThread(tmp_path) as hub:
        yield hub


def hello(**changes: Any) -> Hello:
    return Hello(**{"magic": MAGIC, "oldest": 1, "newest": 2, "name": "raw", "nonce": NONCE_OF_OURS, **changes})


def knock(hub: TcpHubThread) -> RawLine:
    return RawLine(hub.place, greet=False)


def prove(line: RawLine, secret: str = SECRET) -> Proof:
    challenge = line.wait_for(Challenge)
    return Proof(Exchange(NONCE_OF_OURS, challenge.nonce).prove("client", secret))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_who_knows_the_secret_comes_in(hub: TcpHubThread) -> None:
    with knock(hub) as line:
        line.say(hello())
        challenge = line.wait_for(Challenge)
        exchange = Exchange(NONCE_OF_OURS, challenge.nonce)
        line.say(Proof(exchange.prove("client", SECRET)))
        welcome = line.wait_for(Welcome)
        assert exchange.find("server", welcome.proof, [SECRET])
        assert hub.doorway.strangers == {}
        (peer,) = hub.hub.peers
        assert peer.name.startswith("raw at 127.0.0.1:")
        line.say(Publish(1, Send("c", b"x")))
        wait_until(lambda: hub.layer.statistics().channels)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (pack(Ping()), "it does not speak the protocol of a hub"),
        (b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n", "it does not speak the protocol of a hub"),
        (pack(hello(magic="railway")), "it does not speak the protocol of a hub"),
        (pack(hello(nonce=b"")), "it does not speak the protocol of a hub"),
        (pack(Proof(b"p" * 32)), "it does not speak the protocol of a hub"),
        (pack(hello()) * 2, "it said more than it was asked"),
        (pack(hello()) + b"\x00", "it said more than it was asked"),
        (pack(hello()) + pack(Open(1, 1, ["c"], 1)), "it does not speak the protocol of a hub"),
        ((4000).to_bytes(4, "big") + bytes(4093), "it sent more than 4096 bytes before it had shown the secret"),
        (bytes(100_000), "it sent more than 4096 bytes before it had shown the secret"),
        ((4097).to_bytes(4, "big"), "it does not speak the protocol of a hub"),
    ],
    ids=[
        "no hello",
        "http",
        "magic",
        "no nonce",
        "proof first",
        "twice",
        "more",
        "open",
        "4 KiB",
        "much",
        "long frame",
    ],
)
def test_what_is_no_greeting_is_refused(
    hub: TcpHubThread, caplog: pytest.LogCaptureFixture, said: bytes, reason: str
) -> None:
    with knock(hub) as line:
        line.send(said)
        assert line.end() in ([Refusal("refused")], [])  # it may be cut before it has read that
    wait_until(lambda: warnings(caplog))
    (text,) = warnings(caplog)
    assert text.startswith("the hub refuses a client at 127.0.0.1:")
    assert text.endswith(f": {reason}")
    assert not hub.hub.peers


def test_a_wrong_secret_is_told_once_a_minute(hub: TcpHubThread, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        with knock(hub) as line:
            line.say(hello())
            line.say(prove(line, "another secret, quite long"))
            assert line.end() == [Refusal("refused")]
    wait_until(lambda: hub.doorway.refused == 5)
    (text,) = warnings(caplog)
    assert text.endswith("it does not know the secret; is it the one of this hub?")


def test_the_next_line_counts_those_before(
    hub: TcpHubThread, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    hub.doorway.complain("a", "nothing", now)
    hub.doorway.complain("a", "nothing", now + 1)
    hub.doorway.complain("b", "else", now + 1)
    hub.doorway.complain("a", "nothing", now + tcp_doorway.COMPLAIN_EVERY)
    assert [text.removeprefix("the hub refuses a client at ") for text in warnings(caplog)] == [
        "a: nothing",
        "b: else",
        "a: nothing (1 more before)",
    ]


def test_a_greeting_that_is_played_again(hub: TcpHubThread) -> None:
    """Somebody has listened to one, and says the same."""
    with knock(hub) as line:
        line.say(hello())
        proof = prove(line)
        line.say(proof)
        line.wait_for(Welcome)
    with knock(hub) as line:
        line.say(hello())
        line.wait_for(Challenge)
        line.say(proof)
        assert line.end() == [Refusal("refused")]


def test_a_slow_greeting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with TcpHubThread(tmp_path, hello_timeout=0.1) as hub:
        with knock(hub) as line:
            line.say(hello())
            assert [type(frame) for frame in line.end()] == [Challenge, Refusal]
        with knock(hub) as line:
            assert line.end() == [Refusal("refused")]
    assert warnings(caplog)[0].endswith("it had not shown the secret after 0.1 s")


def test_of_too_many_strangers_the_oldest_goes(hub: TcpHubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_doorway, "STRANGERS", 3)
    lines = [knock(hub) for _ in range(3)]
    wait_until(lambda: len(hub.doorway.strangers) == 3)
    link, _ = meet(hub.address, VERSIONS)
    link.socket.close()
    assert lines[0].end() == [Refusal("refused")]
    assert len(hub.doorway.strangers) == 2
    for line in lines:
        line.close()


def test_who_knocks_and_goes_is_no_news(hub: TcpHubThread, caplog: pytest.LogCaptureFixture) -> None:
    """A load balancer asks whether anybody is there."""
    knock(hub).close()
    with knock(hub) as line:
        line.say(hello())
        line.wait_for(Challenge)
    wait_until(lambda: not hub.doorway.strangers)
    assert warnings(caplog) == []


def test_a_version_that_nobody_speaks_is_told_to_friends_alone(hub: TcpHubThread) -> None:
    with pytest.raises(LayerUnavailable, match="it speaks versions 8 to 9 of the protocol, this hub 1 to 2"):
        meet(hub.address, (8, 9))
    with knock(hub) as line:
        line.say(hello(oldest=8, newest=9))
        line.say(prove(line, "another secret, quite long"))
        assert line.end() == [Refusal("refused")]


def test_a_full_hub_says_so(hub: TcpHubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.layers.hub.server.PEERS", 0)
    with pytest.raises(LayerUnavailable, match="the hub has 0 lines already"):
        meet(hub.address, VERSIONS)


def test_strangers_go_when_the_hub_stops(tmp_path: Path) -> None:
    with TcpHubThread(tmp_path) as hub:
        line = knock(hub)
        wait_until(lambda: hub.doorway.strangers)
    assert line.end() == []
    line.close()


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_hub(tmp_path: Path, certificates: Certificates) -> Iterator[TcpHubThread]:
    with TcpHubThread(tmp_path / "tls", certificates=certificates) as hub:
        yield hub


def test_no_tls_where_there_should_be(tls_hub: TcpHubThread, caplog: pytest.LogCaptureFixture) -> None:
    with knock(tls_hub) as line:
        line.say(hello())
        data = line.socket.recv(100)
        assert not data.startswith(b"\x00"), "not a frame"
    wait_until(lambda: tls_hub.doorway.refused == 1)
    assert warnings(caplog)[0].endswith("the TLS handshake failed: no TLS, or our certificate is not trusted there")


def test_who_is_slow_with_tls(tmp_path: Path, certificates: Certificates) -> None:
    with TcpHubThread(tmp_path, certificates=certificates, hello_timeout=0.1) as hub, knock(hub) as line:
        line.send(b"\x16\x03\x01")
        assert line.end() == []
        wait_until(lambda: hub.doorway.refused == 1)


def test_a_flood_before_tls_costs_nothing(tls_hub: TcpHubThread) -> None:
    with knock(tls_hub) as line:
        try:
            for _ in range(100):
                line.send(b"\x16\x03\x01\x40\x00" + bytes(16384))
        except OSError:
            pass
        line.end()
    wait_until(lambda: not tls_hub.doorway.strangers)
    assert not tls_hub.hub.peers


def test_a_proof_of_a_line_without_tls_is_of_no_use_with_it(tls_hub: TcpHubThread, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    frames: FrameReader[Any] = FrameReader(FromHub)
    with (
        socket.create_connection(tls_hub.place, 10) as made,
        context.wrap_socket(made, server_hostname="localhost") as line,
    ):
        line.sendall(pack(hello()))
        received: list[Frame] = []
        while not received:
            received = frames.receive(line.recv(4096))
        (challenge,) = received
        assert isinstance(challenge, Challenge)
        line.sendall(pack(Proof(Exchange(NONCE_OF_OURS, challenge.nonce).prove("client", SECRET))))
        received = []
        while not received:
            received = frames.receive(line.recv(4096))
        assert received == [Refusal("refused")]


class UvloopHub(TcpHubThread):
    """As the interface server runs it."""

    loop_factory = staticmethod(uvloop.new_event_loop)


@pytest.mark.parametrize("kind", [TcpHubThread, UvloopHub], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
def test_many_greet_at_once(
    tmp_path: Path, certificates: Certificates, kind: type[TcpHubThread], *, has_tls: bool
) -> None:
    made = []
    with kind(tmp_path, certificates=certificates if has_tls else None) as hub:

        def greet() -> None:
            made.append(meet(hub.address, VERSIONS)[0])

        threads = [threading.Thread(target=greet) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(hub.hub.peers) == len(made) == 20
        assert (hub.doorway.strangers, hub.doorway.refused) == ({}, 0)
        for link in made:
            link.socket.close()
        wait_until(lambda: not hub.hub.peers)


@pytest.mark.parametrize("kind", [TcpHubThread, UvloopHub], ids=["asyncio", "uvloop"])
def test_strangers_within_the_handshake_go_when_the_hub_stops(
    tmp_path: Path, certificates: Certificates, kind: type[TcpHubThread]
) -> None:
    with kind(tmp_path, certificates=certificates) as hub:
        line = knock(hub)
        line.send(b"\x16\x03\x01")
        wait_until(lambda: hub.doorway.strangers)
    assert line.end() == []
    line.close()


# --- hosts that are gone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
def test_a_line_that_is_half_open_is_ended(tmp_path: Path, certificates: Certificates, *, has_tls: bool) -> None:
    """A client that says no more than that it says no more; what it held is delivered again."""
    with TcpHubThread(tmp_path, certificates=certificates if has_tls else None) as hub:
        link, _ = meet(hub.address, VERSIONS)
        data = pack(Open(1, 1, ["c"], 1))
        link.socket.sendall(link.seal.close(data) if link.seal else data)
        wait_until(lambda: hub.layer.statistics().sessions == 1)
        hub.layer.publish(Send("c", b"x"))
        wait_until(lambda: hub.layer.statistics().channels["c"].leased == 1)
        link.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: hub.layer.statistics().channels["c"].waiting == 1)
        assert hub.layer.statistics().sessions == 0
        link.socket.close()


def test_a_stranger_that_is_half_open_is_ended(hub: TcpHubThread) -> None:
    with knock(hub) as line:
        line.say(hello())
        line.wait_for(Challenge)
        line.socket.shutdown(socket.SHUT_WR)
        assert line.end() == []
    assert hub.doorway.strangers == {}


def test_the_hub_asks_whether_the_other_host_is_there(hub: TcpHubThread) -> None:
    """What has no session need not ping: the system finds that a host is gone, and is as patient as with a server."""
    link, _ = meet(hub.address, VERSIONS)
    (peer,) = hub.hub.peers
    made = peer._transport.get_extra_info("socket")
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    link.socket.close()
