"""How a client meets a hub, on this host."""

import socket
import threading
from pathlib import Path

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.meeting import meet
from fairway.wire.hub import VERSIONS, Call, Welcome, pack
from tests.support.hubs import HubThread


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
