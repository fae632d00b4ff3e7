"""Where a hub listens for other hosts: what may be bound, and files that change while it runs."""

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub import tcp_doorway
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.meeting import meet
from fairway.layers.hub.secret import VARIABLE, SecretSource
from fairway.layers.hub.server import HubServer
from fairway.layers.hub.tcp_address import Access
from fairway.layers.hub.tcp_doorway import TcpDoorway, TcpSettings
from fairway.layers.memory import MemoryLayer
from fairway.wire.hub import VERSIONS
from tests.support.processes import free_port
from tests.support.redis import Certificates, make_certificates
from tests.support.tcp_hubs import SECRET, TcpHubThread
from tests.support.waiting import await_until, wait_until


@pytest.fixture
def secret(tmp_path: Path) -> SecretSource:
    (tmp_path / "secret").write_text(SECRET)
    return SecretSource(str(tmp_path / "secret"), "--hub-secret-file")


@pytest.mark.parametrize("bind", ["0.0.0.0:7400", "[::]:7400", ":7400", "10.0.0.5:7400", "hub.internal:7400"])
def test_no_tls_is_for_this_host_alone(secret: SecretSource, bind: str) -> None:
    message = "--hub-bind .* is open to other hosts, and without TLS .*; give --hub-certificate and --hub-key, or bind"
    with pytest.raises(InvalidLayerSetting, match=message):
        TcpDoorway(TcpSettings(binds=(bind,), secret=secret))


def test_settings_that_cannot_be_used(secret: SecretSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InvalidLayerSetting, match="--hub-bind 7400 is no address: write HOST:PORT"):
        TcpDoorway(TcpSettings(binds=("7400",), secret=secret))
    with pytest.raises(InvalidLayerSetting, match=r"--hub-key k.pem needs the certificate that it belongs to"):
        TcpDoorway(TcpSettings(binds=("127.0.0.1:0",), key="k.pem", secret=secret))
    with pytest.raises(InvalidLayerSetting, match="set FAIRWAY_HUB_SECRET, or name a file with one: --hub-secret-file"):
        TcpDoorway(TcpSettings(binds=("127.0.0.1:0",)))
    with pytest.raises(InvalidLayerSetting, match=r"--hub-certificate none.pem and --hub-key none.pem cannot be used"):
        TcpDoorway(TcpSettings(binds=("0.0.0.0:0",), certificate="none.pem", secret=secret))


async def test_it_listens_at_each_address(tmp_path: Path, secret: SecretSource) -> None:
    doorway = TcpDoorway(TcpSettings(binds=("127.0.0.1:0", "localhost:0"), secret=secret))
    layer = MemoryLayer()
    async with HubServer(layer, HubAddress(path=str(tmp_path / "hub.sock")), tcp=doorway):
        assert len(doorway.bound) >= 2
        assert all(url.startswith("tcp://") and not url.endswith(":0") for url in doorway.bound)
    layer.close()


async def test_an_address_in_use(tmp_path: Path, secret: SecretSource) -> None:
    """The hub does not start by half: its Unix socket is gone, too."""
    layer = MemoryLayer()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        free = free_port()
        doorway = TcpDoorway(TcpSettings(binds=(f"127.0.0.1:{free}", f"127.0.0.1:{port}"), secret=secret))
        hub = HubServer(layer, HubAddress(path=str(tmp_path / "hub.sock")), tcp=doorway)
        with pytest.raises(LayerUnavailable, match=f"no hub can be opened at 127.0.0.1:{port}: .* in use.*--hub-bind"):
            await hub.start()
    assert not (tmp_path / "hub.sock").exists()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", free)
    layer.close()


def test_secrets_are_rotated_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Hubs know both, then clients take the new one, then hubs forget the old one; lines that are open stay."""
    new = "a newer secret, as long as it takes"
    ours = tmp_path / "ours"
    ours.write_text(SECRET)
    with TcpHubThread(tmp_path / "hub", silence=0.2) as hub:
        address = replace(hub.address, access=Access("", SecretSource(str(ours))))
        stays, _ = meet(address, VERSIONS)

        def meets() -> bool:
            try:
                link, _ = meet(address, VERSIONS)
            except LayerUnavailable:
                return False
            link.socket.close()
            return True

        hub.secret_file.write_text(f"{SECRET}\n{new}\n")
        wait_until(lambda: hub.doorway.secrets == (SECRET, new))
        assert meets()
        ours.write_text(f"{new}\n{SECRET}")
        assert meets()
        hub.secret_file.write_text("short")
        wait_until(lambda: "what the hub had before goes on: --hub-secret-file" in caplog.text)
        assert meets()
        hub.secret_file.write_text(new)
        wait_until(lambda: hub.doorway.secrets == (new,))
        assert meets()
        ours.write_text(SECRET)
        assert not meets()
        wait_until(lambda: len(hub.hub.peers) == 1)
        stays.socket.close()
    assert caplog.text.count("what the hub had before goes on") == 1


def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fairway.hub")
    folder = tmp_path / "certificates"
    folder.mkdir()
    (tmp_path / "next").mkdir()
    certificates = make_certificates(folder)
    with TcpHubThread(tmp_path / "hub", certificates=certificates, silence=0.2) as hub:
        before = hub.doorway.bindings
        link, _ = meet(hub.address, VERSIONS)
        link.socket.close()
        later = make_certificates(tmp_path / "next")
        for old, new in zip(_files(certificates), _files(later), strict=True):
            shutil.copyfile(new, f"{old}.new")
            os.replace(f"{old}.new", old)  # noqa: PTH105
        wait_until(lambda: hub.doorway.bindings[0] != before[0])
        link, _ = meet(hub.address, VERSIONS)
        link.socket.close()
        assert hub.doorway.bindings[1:] == before
    assert "the hub has read its certificate and its secret again" in caplog.text


def _files(certificates: Certificates) -> list[Path]:
    return [certificates.ca, certificates.certificate, certificates.key]


def test_an_address_that_this_host_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` may name one of IPv6 where there is none; an address that is nobody's here is an error."""
    there = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))
    missing = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [missing, there])
    (made,) = tcp_doorway.listen("localhost", 0)
    made.close()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [missing])
    with pytest.raises(OSError, match="assign requested address"):
        tcp_doorway.listen("localhost", 0)


async def test_without_descriptors_it_waits(
    tmp_path: Path, secret: SecretSource, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_doorway, "ACCEPT_PAUSE", 0.01)
    doorway = TcpDoorway(TcpSettings(binds=("127.0.0.1:0",), secret=secret))
    layer = MemoryLayer()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with HubServer(layer, HubAddress(path=str(tmp_path / "hub.sock")), tcp=doorway):
        with socket.socket() as client:
            client.setblocking(False)
            highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
            try:
                spare = []
                with contextlib.suppress(OSError):
                    while True:
                        spare.append(socket.socket())
                host, _, port = doorway.bound[0].removeprefix("tcp://").rpartition(":")
                client.connect_ex((host, int(port)))
                await await_until(lambda: "no connection can be taken" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for made in spare:
                    made.close()
            await await_until(lambda: doorway.strangers)
    layer.close()
