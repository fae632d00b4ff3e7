"""docs/transport.md is enough to write a client: this one knows nothing else of frames or of our own client."""

import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.hubs import HubThread
from tests.support.processes import ROOT
from tests.support.redis import make_certificates
from tests.support.tcp_hubs import TcpHubThread

PAGE = ROOT / "docs" / "transport.md"

CHALLENGE, PROOF = 4, 5
HELLO, WELCOME, REFUSAL, OPEN, COMMIT, RELEASE, DEMAND, PAUSE, SHUT = 1, 2, 3, 10, 11, 12, 13, 15, 16
PUBLISH, CALL, PING, OWN, SUBMIT, LEAVE, REPLY, ANNOUNCE = 20, 22, 23, 30, 31, 32, 33, 35
DELIVERED, ANSWER, ITEMS, READERS, PONG = 50, 52, 53, 54, 55


class Client:
    """A second client, written from the page."""

    def __init__(self, path: str, oldest: int = 1, newest: int = 2) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.buffer = b""
        self.say(HELLO, "fairway", oldest, newest, "second")
        self.welcome = self.hear()

    def say(self, *frame: Any) -> None:
        payload = msgspec.msgpack.encode(frame)
        self.socket.sendall(struct.pack(">I", len(payload)) + payload)

    def hear(self) -> list[Any]:
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack(">I", self.buffer[:4])[0]:
            data = self.socket.recv(4096)
            assert data
            self.buffer += data
        end = 4 + struct.unpack(">I", self.buffer[:4])[0]
        frame, self.buffer = msgspec.msgpack.decode(self.buffer[4:end]), self.buffer[end:]
        return frame  # type: ignore[no-any-return]

    def expect(self, number: int) -> list[Any]:
        """Return the fields of the next frame with that number."""
        while (frame := self.hear())[0] != number:
            pass
        return frame[1:]

    def items(self, count: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < count:
            found += self.expect(ITEMS)[0]
        return found


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock") as hub:
        yield hub


@pytest.fixture
def clients(hub: HubThread) -> Iterator[tuple[Client, Client]]:
    worker, server = Client(hub.path), Client(hub.path)
    yield worker, server
    worker.socket.close()
    server.socket.close()


def test_the_hello(hub: HubThread, clients: tuple[Client, Client]) -> None:
    assert clients[0].welcome == [WELCOME, 2, hub.layer.broker.epoch, [], b""]
    stranger = Client(hub.path, 8, 9)
    assert stranger.welcome[0] == REFUSAL
    assert "8 to 9" in stranger.welcome[1]
    stranger.socket.close()


def test_a_worker_and_a_server(clients: tuple[Client, Client]) -> None:
    worker, server = clients
    server.say(OWN, 1, ["s!"])
    assert server.expect(ANSWER) == [1, None, None]
    worker.say(OPEN, 1, 1, ["talk"], 2, 1)
    assert worker.expect(ANSWER) == [1, None, None]
    while server.expect(READERS) != [["talk"]]:
        pass
    for order in range(3):
        server.say(SUBMIT, [f"m{order}", "talk", "s!1", order], b"question")
        reader, (envelope, body, receipt) = worker.expect(DELIVERED)
        assert (reader, envelope[:5], body) == (1, [f"m{order}", "talk", "s!1", order, 1], b"question")
        worker.say(COMMIT, 1, receipt, 0, [["send", "s!1", b"answer"], ["state", "s!1", {"k": b"v"}]])
        assert server.items(3) == [["frame", "s!1", b"answer"], ["state", "s!1", {"k": b"v"}], ["done", "s!1", order]]
    worker.say(PING)
    assert worker.expect(PONG) == []


def test_groups_and_questions(clients: tuple[Client, Client]) -> None:
    worker, server = clients
    server.say(OWN, 1, ["s!"])
    server.expect(ANSWER)
    worker.say(CALL, 1, "group_add", ["g", "s!1"])
    assert worker.expect(ANSWER) == [1, None, None]
    ((kind, group, channel, generation),) = server.items(1)
    assert (kind, group, channel) == ("add", "g", "s!1")
    worker.say(PUBLISH, 2, ["group", "g", b"all"])
    assert server.items(1)[0][:4] == ["group", "g", b"all", False]
    worker.say(CALL, 3, "group_channels", ["g"])
    ((_, token, question, about),) = server.items(1)
    assert (question, about) == ("members", "g")
    server.say(REPLY, token, ["s!1"])
    assert worker.expect(ANSWER)[0] == 2
    assert worker.expect(ANSWER) == [3, ["s!1"], None]
    server.say(LEAVE, "g", generation)
    server.say(ANNOUNCE, ["h"])
    assert server.items(1)[0][:2] == ["announced", "h"]
    worker.say(CALL, 4, "group_channels", ["g"])
    assert worker.expect(ANSWER) == [4, [], None]


def test_release_demand_and_the_end(clients: tuple[Client, Client]) -> None:
    worker, other = clients
    worker.say(OPEN, 1, 1, ["c"], 1)
    worker.say(PUBLISH, 2, ["send", "c", b"x"])
    receipt = worker.expect(DELIVERED)[1][2]
    worker.say(RELEASE, 1, [receipt])
    worker.say(DEMAND, 1, 1)
    assert worker.expect(DELIVERED)[1][0][4] == 1
    worker.say(PAUSE, 1, 9)
    while worker.expect(ANSWER)[0] != 9:
        pass
    worker.say(SHUT, 1)
    other.say(OPEN, 5, 1, ["c"], 1)
    reader, (envelope, _, receipt) = other.expect(DELIVERED)
    assert (reader, envelope[4]) == (5, 2)
    worker.say(COMMIT, 1, receipt, 0, [["send", "stolen", b"x"]])
    worker.say(CALL, 10, "statistics", [])
    assert "stolen" not in worker.expect(ANSWER)[1]["channels"]


def test_the_example_is_what_is_said(hub: HubThread) -> None:
    """The bytes of the page, played to a hub: its answers differ in the epoch and the numbers of its own alone."""
    said = re.findall(r"^    ([<>]) ([0-9a-f ]+)$", PAGE.read_text(), re.MULTILINE)
    assert [direction for direction, _ in said] == [">", "<", ">", "<", "<", ">"]
    frames = [bytes.fromhex(text) for _, text in said]
    for frame in frames:
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    client = Client(hub.path)
    client.socket.close()
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(hub.path)
        line.sendall(frames[0])
        assert line.recv(4096)[4:7] == frames[1][4:7]
        line.sendall(frames[2])
        assert line.recv(4096) == frames[3]


def test_the_page_names_every_frame() -> None:
    from fairway.wire import hub as frames

    page = PAGE.read_text()
    for kind in (*frames.FromClient.__args__, *frames.FromHub.__args__):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {kind.__struct_config__.tag} |")]
        assert row.split("|")[2].split()[0] == kind.__name__
        for field in kind.__struct_fields__:
            assert field in row


def test_the_greeting_over_tcp_is_what_is_computed() -> None:
    """The four frames of the page, made from its secret and its nonces with nothing but the page's formula."""
    said = re.findall(r"^    (?:client|hub)  +([0-9a-f ]+)\n +([0-9a-f ]+)$", PAGE.read_text(), re.MULTILINE)
    frames = [bytes.fromhex(first + second) for first, second in said]
    assert [int.from_bytes(frame[:4], "big") for frame in frames] == [len(frame) - 4 for frame in frames]
    hello, challenge, proof, welcome = (msgspec.msgpack.decode(frame[4:]) for frame in frames)
    assert [fields[0] for fields in (hello, challenge, proof, welcome)] == [HELLO, CHALLENGE, PROOF, WELCOME]
    about = hello[6] + challenge[1] + bytes(32)
    secret = b"correct horse battery staple"
    assert proof[1] == hmac.digest(secret, b"fairway hub client" + about, "sha256")
    assert welcome[4] == hmac.digest(secret, b"fairway hub server" + about, "sha256")


def test_a_client_of_another_host(tmp_path: Path) -> None:
    """TLS, the greeting, and then everything as before."""
    certificates = make_certificates(tmp_path)
    with TcpHubThread(tmp_path / "hub", certificates=certificates) as hub:
        context = ssl.create_default_context(cafile=certificates.ca)
        client = Client.__new__(Client)
        client.buffer = b""
        plain = socket.create_connection(hub.place, 10)
        client.socket = context.wrap_socket(plain, server_hostname="localhost")
        nonce = os.urandom(32)
        client.say(HELLO, "fairway", 1, 2, "third", [], nonce)
        (theirs,) = client.expect(CHALLENGE)
        binding = hashlib.sha256(client.socket.getpeercert(binary_form=True)).digest()
        about, secret = nonce + theirs + binding, hub.secret_file.read_bytes().strip()
        client.say(PROOF, hmac.digest(secret, b"fairway hub client" + about, "sha256"))
        version, _, _, proof = client.expect(WELCOME)
        assert (version, proof) == (2, hmac.digest(secret, b"fairway hub server" + about, "sha256"))
        client.say(PING)
        assert client.expect(PONG) == []
        client.socket.close()
