"""The interface of a development server: its layer, its hub, its thread, and how a start fails."""

import socket
import tempfile
from pathlib import Path

import pytest

from fairway.devserver.config import server_config
from fairway.devserver.interface import Backing, Interface, InterfaceThread, back, private_address, private_folder
from fairway.errors import CannotListen
from fairway.layers import LocalLayer, MemoryLayer
from fairway.layers.hub.address import HubAddress
from fairway.server.config import ServerConfig
from tests.support.hubs import HubThread

CONFIG = ServerConfig(binds=["127.0.0.1:0"], limits=server_config().limits)


def test_a_layer_of_this_process_is_used_as_it_is():
    layer = MemoryLayer()
    assert back(layer) == Backing(layer=layer, address=None)


def test_behind_a_layer_of_a_hub_is_the_hub(tmp_path):
    layer = LocalLayer(str(tmp_path / "hub"), mode=0o660)
    backing = back(layer)
    assert isinstance(backing.layer, MemoryLayer)
    assert backing.layer.message_limits is layer.message_limits
    assert backing.address == HubAddress(path=str(tmp_path / "hub"), mode=0o660)


def test_a_private_folder_has_room_for_a_socket(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    for where in (tmp_path, long):
        monkeypatch.setattr(tempfile, "tempdir", str(where))
        with private_folder() as folder:
            path = Path(private_address(folder).path)
            assert path.parent.stat().st_mode & 0o777 == 0o700
        assert not path.parent.exists()
    assert list(long.iterdir()) == []


def test_it_serves_and_opens_its_hub(tmp_path):
    path = tmp_path / "hub"
    interface = InterfaceThread(Interface(CONFIG, Backing(layer=MemoryLayer(), address=HubAddress(path=str(path)))))
    port = interface.start()
    client = LocalLayer(str(path))
    assert client.statistics().owners == 1
    client.close()
    interface.stop_serving(0.1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert path.exists()
    interface.close()
    assert not path.exists()


def test_without_a_worker_a_stop_waits_no_longer_than_it_was_told():
    interface = InterfaceThread(Interface(CONFIG, Backing(layer=MemoryLayer())))
    port = interface.start()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        interface.stop_serving(0.1)
        client.settimeout(5)
        assert client.recv(1) == b""
    interface.close()


def test_a_hub_that_lives_is_an_address_that_cannot_be_bound(tmp_path):
    path = tmp_path / "hub"
    backing = Backing(layer=MemoryLayer(), address=HubAddress(path=str(path)))
    with HubThread(path):
        interface = InterfaceThread(Interface(CONFIG, backing))
        with pytest.raises(CannotListen, match=rf"{path}: another hub lives at .*runworker --reload"):
            interface.start()


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = ServerConfig(binds=[f"127.0.0.1:{taken.getsockname()[1]}"])
        with pytest.raises(CannotListen):
            InterfaceThread(Interface(config, Backing(layer=MemoryLayer()))).start()
