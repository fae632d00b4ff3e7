"""TLS in memory: both sides see the same certificate, tampering is noticed, and threads may read and write at once."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers.hub.tls import Seal, client_context, server_context
from tests.support.redis import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Echo:
    """A server that sends back what comes, in OpenSSL's usual way."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        made, _ = self._listening.accept()
        try:
            with self._context.wrap_socket(made, server_side=True) as line:
                while data := line.recv(65536):
                    line.sendall(data)
        except OSError:
            made.close()

    def close(self) -> None:
        self._listening.close()
        self.thread.join(10)


@pytest.fixture
def line(certificates: Certificates) -> Iterator[tuple[socket.socket, Echo]]:
    echo = Echo(server_context(str(certificates.certificate), str(certificates.key))[0])
    with socket.create_connection(("127.0.0.1", echo.port), 10) as made:
        yield made, echo
    echo.close()


def test_many_bytes_both_ways_at_once(line: tuple[socket.socket, Echo], certificates: Certificates) -> None:
    made, _ = line
    seal = Seal(client_context(str(certificates.ca)), "localhost")
    seal.shake_hands(made)
    assert seal.binding == server_context(str(certificates.certificate), str(certificates.key))[1]
    sent = bytes(range(256)) * 40_000

    def write() -> None:
        for start in range(0, len(sent), 99_999):
            made.sendall(seal.close(sent[start : start + 99_999]))

    writing = threading.Thread(target=write)
    writing.start()
    received = bytearray()
    while len(received) < len(sent):
        received += seal.open(made.recv(65536))
    writing.join()
    assert received == sent


def test_a_certificate_of_somebody_else(line: tuple[socket.socket, Echo], certificates: Certificates) -> None:
    made, _ = line
    with pytest.raises(ssl.SSLCertVerificationError):
        Seal(client_context(str(certificates.ca)), "other.example").shake_hands(made)


def test_an_authority_that_is_not_trusted(line: tuple[socket.socket, Echo]) -> None:
    made, _ = line
    with pytest.raises(ssl.SSLCertVerificationError):
        Seal(client_context(""), "localhost").shake_hands(made)


def test_tampering_is_noticed(line: tuple[socket.socket, Echo], certificates: Certificates) -> None:
    made, _ = line
    seal = Seal(client_context(str(certificates.ca)), "localhost")
    seal.shake_hands(made)
    with pytest.raises(OSError, match="SSL"):
        seal.open(b"\x17\x03\x03\x00\x20" + bytes(32))


def test_a_peer_that_hangs_up_or_speaks_no_tls(certificates: Certificates) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(OSError, match=r"hung up|Broken pipe|reset"):
            Seal(client_context(str(certificates.ca)), "localhost").shake_hands(ours)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            Seal(client_context(str(certificates.ca)), "localhost").shake_hands(ours)


def test_files_that_cannot_be_used(tmp_path: Path, certificates: Certificates) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(InvalidLayerSetting, match=r"ca = '.*broken.pem' cannot be read: .*; it holds the hub's"):
        client_context(str(broken))
    for certificate, key in (
        (str(tmp_path / "none.pem"), ""),
        (str(broken), ""),
        (str(certificates.certificate), ""),
        (str(certificates.certificate), str(tmp_path / "none.key")),
        (str(certificates.ca), str(certificates.key)),
    ):
        with pytest.raises(InvalidLayerSetting, match=f"-certificate {certificate} and --hub-key .* cannot be"):
            server_context(certificate, key)
