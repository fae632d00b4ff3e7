"""How a client meets a hub, on this host and over TCP: one that is not the hub that is meant learns nothing."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.hub import greeting, meeting, turns
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.client import HubLayer
from fairway.layers.hub.meeting import limit_silence, meet
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.tcp_address import Access, TcpAddress
from fairway.wire.hub import (
    VERSIONS,
    Call,
    Challenge,
    FrameReader,
    FromClient,
    Hello,
    Open,
    Pong,
    Refusal,
    Welcome,
    pack,
)
from fairway.wire.hub_secret import NONCE, Exchange, bind_to
from tests.support.hubs import HubThread
from tests.support.processes import free_port
from tests.support.redis import make_certificates
from tests.support.tcp_hubs import SECRET, TcpHubThread
from tests.support.waiting import wait_until


def test_a_hub_of_this_host(tmp_path: Path) -> None:
    with HubThread(tmp_path / "hub.sock") as hub:
        link, welcome = meet(HubAddress(path=hub.path), VERSIONS)
        with link.socket:
            assert (welcome.version, welcome.epoch, welcome.proof) == (2, hub.layer.broker.epoch, b"")
            assert link.socket.gettimeout() is None
            link.socket.sendall(pack(Call(1, "statistics")))
            assert link.receive()


def test_a_hub_that_hangs_up(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)

        def hang_up(said: bytes) -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(4096)
                accepted.sendall(said)

        for said, message in (
            (pack(Welcome(2, "e"))[:-2], f"the hub at {path} hung up instead of greeting"),
            (b"HTTP/1.1 400 Bad Request", f"the hub at {path} did not greet: a frame of .* bytes, above the limit"),
        ):
            thread = threading.Thread(target=hang_up, args=(said,))
            thread.start()
            with pytest.raises(LayerUnavailable, match=message):
                meet(HubAddress(path=path), VERSIONS)
            thread.join()


# --- over TCP --------------------------------------------------------------------------------------------------------


class Impostor:
    """Somebody who listens in the hub's place, and answers each frame as a test likes."""

    def __init__(self, *answers: Callable[[Any], bytes]) -> None:
        self.said: list[Any] = []
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        frames: FrameReader[Any] = FrameReader(FromClient)
        with contextlib.suppress(OSError):
            made, _ = self._listening.accept()
            self._answer(made, frames)

    def _answer(self, made: socket.socket, frames: FrameReader[Any]) -> None:
        made.settimeout(10)
        with made:
            for answer in self._answers:
                received: list[Any] = []
                while not received:
                    data = made.recv(4096)
                    if not data:
                        return
                    received = frames.receive(data)
                self.said += received
                made.sendall(answer(received[0]))
            made.recv(4096)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def access(tmp_path: Path) -> Access:
    (tmp_path / "secret").write_text(SECRET)
    return Access("", SecretSource(str(tmp_path / "secret")))


def at(port: int, access: Access, *, is_tls: bool = False) -> TcpAddress:
    return TcpAddress(host="127.0.0.1", port=port, is_tls=is_tls, access=access)


def challenge(_hello: Hello) -> bytes:
    return pack(Challenge(b"h" * NONCE))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([lambda _: pack(Welcome(2, "e"))], "it does not ask for the secret, so it is not the hub that is meant"),
        ([lambda hello: pack(Challenge(hello.nonce))], "the nonce was sent back"),
        ([lambda _: pack(Challenge(b"short"))], "a nonce has 32 bytes"),
        ([challenge, lambda proof: pack(Welcome(2, "e", [], proof.proof))], "it does not know the secret"),
        ([challenge, lambda _: pack(Welcome(2, "e"))], "it does not know the secret, so it is not the hub"),
        ([challenge, lambda _: pack(Welcome(2, "e", [], b"p" * 32))], "it does not know the secret"),
        ([challenge, lambda _: pack(Refusal("refused"))], "is the secret the same on both sides.* Its log says why"),
        ([lambda _: pack(Refusal("no"))], "refuses this client: no"),
        ([lambda _: pack(Pong())], "refuses this client: it said Pong"),
        ([lambda _: bytes(5000)], "did not greet: .*no frame of this protocol"),
        ([lambda _: (5000).to_bytes(4, "big")], "did not greet: a frame of 5000 bytes, above the limit"),
    ],
    ids=[
        "no challenge",
        "our nonce",
        "short nonce",
        "our proof",
        "no proof",
        "wrong proof",
        "refused",
        "no",
        "pong",
        "zeros",
        "long",
    ],
)
def test_who_is_not_the_hub(access: Access, answers: list[Any], message: str) -> None:
    with Impostor(*answers) as impostor:
        with pytest.raises(LayerUnavailable, match=f"the hub at tcp://127.0.0.1:{impostor.port} .*{message}"):
            meet(at(impostor.port, access), VERSIONS)
        assert all(SECRET not in repr(frame) for frame in impostor.said)


def test_a_greeting_that_is_passed_on_to_the_real_hub(tmp_path: Path, access: Access) -> None:
    """Somebody in between, with another certificate: neither side lets it in, as their bindings differ."""
    ours, theirs = (Exchange(b"c" * NONCE, b"h" * NONCE, [bind_to(one)]) for one in (b"shown", b"the hub's"))
    assert theirs.find("client", ours.prove("client", SECRET), [SECRET]) is None
    assert ours.find("server", theirs.prove("server", SECRET), [SECRET]) is None


def test_a_hub_that_greets_in_drops(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and all of them would take for ever."""
    monkeypatch.setattr(greeting, "HELLO_TIMEOUT", 0.2)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            made, _ = listening.accept()
            with made, contextlib.suppress(OSError):
                for byte in (4000).to_bytes(4, "big") + bytes(4000):
                    made.sendall(bytes([byte]))
                    if ended.wait(0.02):
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(LayerUnavailable, match="did not greet: timed out"):
            meet(at(listening.getsockname()[1], access), VERSIONS)
        ended.set()
        thread.join(10)


def test_nobody_listens(access: Access) -> None:
    port = free_port()
    message = f"no hub answers at tcp://127.0.0.1:{port} .Connection refused.; start `fairway serve --hub-bind` there"
    with pytest.raises(LayerUnavailable, match=message):
        meet(at(port, access), VERSIONS)
    (Path(access.secret.file)).unlink()
    with Impostor() as impostor, pytest.raises(LayerUnavailable, match=r"greeted: secret_file = .* cannot be"):
        meet(at(impostor.port, access), VERSIONS)


def test_tls_to_a_plain_port_and_the_reverse(tmp_path: Path, access: Access) -> None:
    certificates = make_certificates(tmp_path)
    trusting = Access(str(certificates.ca), access.secret)
    with TcpHubThread(tmp_path / "plain") as hub:
        with pytest.raises(LayerUnavailable, match=r"the TLS handshake failed .*; does it speak TLS there"):
            meet(at(hub.place[1], trusting, is_tls=True), VERSIONS)
        wait_until(lambda: hub.doorway.refused)
    with TcpHubThread(tmp_path / "tls", certificates=certificates) as hub:
        with pytest.raises(LayerUnavailable, match=r"did not greet|hung up"):
            meet(at(hub.place[1], access), VERSIONS)
        with pytest.raises(LayerUnavailable, match=r"its certificate is not trusted: .*; name its authority"):
            meet(at(hub.place[1], access, is_tls=True), VERSIONS)
        with pytest.raises(LayerUnavailable, match=r"its certificate is not trusted: .*mismatch"):
            meet(replace(hub.address, host="127.1"), VERSIONS)


def test_its_socket(tmp_path: Path) -> None:
    """Small frames leave at once; a host that is gone, and a hub that is silent, are noticed within 10 s."""
    with TcpHubThread(tmp_path) as hub:
        link, _ = meet(hub.address, VERSIONS)
        made = link.socket
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            idle, pause, count = (
                made.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + pause * count == 10
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        limit_silence(made, 0.05)
        with pytest.raises(BlockingIOError):
            link.receive()
        made.close()


def test_a_hub_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped, or its host is: the connection is open, and nothing comes over it."""
    monkeypatch.setattr(meeting, "SILENCE", 0.2)
    monkeypatch.setattr(turns, "PING_EVERY", 60)
    with TcpHubThread(tmp_path) as hub:
        layer = HubLayer(hub.address)
        reader = layer.reader(["c"], window=1, threads=1)
        first = layer.line.generation
        worker = threading.Thread(target=reader.receive)
        worker.start()
        wait_until(lambda: layer.line.generation > first)
        reader.close()
        worker.join(10)
        assert not worker.is_alive()
        layer.close()


def test_a_client_that_falls_silent_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same from the hub's side, for whoever has a session."""
    with TcpHubThread(tmp_path, silence=0.3) as hub:
        link, _ = meet(hub.address, VERSIONS)
        link.socket.sendall(pack(Open(1, 1, ["c"], 1)))
        while not any(isinstance(frame, Refusal) for frame in link.receive() or [Refusal("")]):
            pass
        link.socket.close()
        wait_until(lambda: not hub.layer.statistics().sessions)
    assert "no sign of life for 0.3 s" in caplog.text
