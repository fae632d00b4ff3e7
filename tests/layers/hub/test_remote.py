"""Layers of processes on other hosts keep the contract of a layer: conformance over TCP, plain and with TLS."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers import remote_layer
from fairway.layers.base import Layer
from fairway.layers.hub.client import HubLayer
from fairway.layers.hub.secret import VARIABLE
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from tests.support.redis import Certificates, make_certificates
from tests.support.tcp_hubs import SECRET, TcpHubThread


@pytest.fixture(scope="module")
def made_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class TestTcpLayer(LayerConformance):
    """The suite that every layer passes, over TCP."""

    pushes_items = True
    has_tls: ClassVar[bool] = False
    _numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _hubs(self, tmp_path: Path, made_certificates: Certificates) -> Iterator[None]:
        self._folder = tmp_path
        self._certificates = made_certificates if self.has_tls else None
        self._hubs: list[TcpHubThread] = []
        yield
        for hub in self._hubs:
            hub.stop()

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Start a hub, and return a client of it."""
        hub = TcpHubThread(self._folder / str(next(self._numbers)), limits, certificates=self._certificates)
        self._hubs.append(hub)
        return HubLayer(hub.address)

    def make_rival(self, layer: Layer) -> Layer:
        """Return another client of the same hub."""
        assert isinstance(layer, HubLayer)
        rival = HubLayer(layer.address)
        self._opened.append(rival)
        return rival


class TestTlsLayer(TestTcpLayer):
    """The same over TLS."""

    has_tls = True


def test_a_layer_is_made_from_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    with TcpHubThread(tmp_path) as hub:
        for hubs in ([hub.doorway.bound[0]], [f"local://{hub.path}"], [hub.doorway.bound[0], f"local://{hub.path}"]):
            layer = remote_layer(hubs)
            assert layer.statistics().sessions == 0
            layer.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hubs": []}, "must name 1 to 16 different hubs"),
        ({"hubs": ["tcp+tls://hub"]}, "write HOST:PORT"),
        ({"hubs": ["tcp://10.0.0.5:7400"]}, r"write tcp\+tls://"),
        ({"hubs": ["tcp://127.0.0.1:7400"]}, "set FAIRWAY_HUB_SECRET, or name a file with one: secret_file"),
        ({"hubs": ["tcp://127.0.0.1:7400"], "secret_file": "/none"}, "secret_file = '/none' cannot be read"),
        ({"hubs": ["local://relative"]}, "is no URL of a hub"),
    ],
    ids=["none", "no port", "plain", "no secret", "no file", "relative"],
)
def test_what_cannot_be_used(options: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InvalidLayerSetting, match=message):
        remote_layer(**options)  # type: ignore[arg-type]
