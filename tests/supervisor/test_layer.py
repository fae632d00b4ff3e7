"""Which layer a server gets: the one it hosts, or the way to another's."""

import argparse

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers.hub.address import default_path
from fairway.layers.hub.client import LocalLayer
from fairway.layers.hub.joined.layer import JoinedLayer
from fairway.layers.memory import MemoryLayer
from fairway.limits import UNGATED, UNLIMITED
from fairway.supervisor.layer import (
    broker_limits,
    host_layer,
    hub_address,
    is_local,
    layer_name,
    reach_layer,
)
from fairway.supervisor.options import add_server_options


def read(*argv):
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    return parser.parse_args(argv)


def rule(limits, channel):
    return dict(limits.rules)[channel]


def test_a_local_layer_is_hosted(tmp_path):
    given = read("--layer", f"local://{tmp_path}/hub.sock?mode=0660", "--layer-memory=1M", "--capacity=work=5")
    backing = host_layer(given)
    assert isinstance(backing.layer, MemoryLayer)
    assert (backing.address.path, backing.address.mode) == (f"{tmp_path}/hub.sock", 0o660)
    assert backing.hub.address is backing.address
    limits = backing.layer.broker.limits
    assert (limits.total, rule(limits, "work").capacity) == (1 << 20, 5)
    backing.layer.close()


def test_a_hub_can_be_joined_with_others(tmp_path):
    given = read(f"--layer=local://{tmp_path}/hub.sock?upstream=local://{tmp_path}/shared.sock", "--layer-memory=1M")
    backing = host_layer(given)
    assert isinstance(backing.layer, JoinedLayer)
    assert backing.layer.broker.limits.total == 1 << 20
    assert backing.layer.joined.layer.address.path == f"{tmp_path}/shared.sock"
    backing.layer.close()


def test_an_upstream_of_one_process_joins_nobody(tmp_path):
    for url, reason in (("memory://", "of one process alone"), ("gopher://h", "no URL of a layer")):
        with pytest.raises(InvalidLayerSetting, match=reason):
            host_layer(read(f"--layer=local://{tmp_path}/hub.sock?upstream={url}"))


def test_the_password_of_an_upstream_is_not_shown(tmp_path):
    given = read(f"--layer=local://{tmp_path}/hub.sock?upstream=redis://shop:secret@host/0")
    assert layer_name(given) == f"local://{tmp_path}/hub.sock?upstream=redis://***@host/0"


def test_capacity_and_expiry_of_channels(tmp_path):
    given = read(f"--layer=local://{tmp_path}/h", "--capacity=a=-1", "--expiry=a=2.5", "--expiry=b=7")
    layer = host_layer(given).layer
    limits = layer.broker.limits
    assert (rule(limits, "a").capacity, rule(limits, "a").expiry, rule(limits, "b").expiry) == (UNGATED, 2.5, 7)
    layer.close()


def test_a_message_that_no_server_waits_for_is_not_begun():
    limits = broker_limits(read("--http-timeout=7", "--handshake-timeout=-1"))
    assert rule(limits, "http.request").expiry == 7
    assert rule(limits, "websocket.connect").expiry == UNLIMITED
    assert rule(limits, "websocket.*") == rule(broker_limits(read()), "websocket.*")


def test_where_things_are(tmp_path):
    given = read(f"--layer=local://{tmp_path}/hub.sock")
    assert (is_local(given), hub_address(given).path) == (True, f"{tmp_path}/hub.sock")
    other = read("--layer=redis://localhost")
    assert (is_local(other), hub_address(other)) == (False, None)
    shown = [layer_name(one) for one in (given, other, read())]
    assert shown == [given.layer, other.layer, f"local://{default_path()}"]


def test_the_way_to_a_layer(tmp_path):
    layer = reach_layer(read(f"--layer=local://{tmp_path}/hub.sock"))
    assert isinstance(layer, LocalLayer)
    assert layer.address.path == f"{tmp_path}/hub.sock"
    layer.close()


def test_a_layer_that_there_is_not():
    for make in (host_layer, reach_layer):
        with pytest.raises(InvalidLayerSetting, match="carrierpigeon"):
            make(read("--layer=carrierpigeon://coop"))
    with pytest.raises(InvalidLayerSetting, match="absolute"):
        host_layer(read("--layer=local://here/hub.sock"))


def test_a_hub_that_workers_on_other_hosts_reach(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple")
    options = [f"--layer=local://{tmp_path}/hub.sock", "--hub-bind=127.0.0.1:0", "--hub-bind=[::1]:0"]
    backing = host_layer(read(*options, f"--hub-secret-file={secret}"))
    assert backing.hub.tcp.secrets == ("correct horse battery staple",)
    assert backing.report() == {"hub": {"listening": [], "lines": 0, "refused": 0}}
    backing.layer.close()
    alone = host_layer(read(f"--layer=local://{tmp_path}/hub.sock"))
    assert (alone.hub.tcp, alone.report(), alone.name) == (None, {}, "")
    alone.layer.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hub-key=k.pem"], "--hub-key k.pem is for workers on other hosts; say where with --hub-bind"),
        (["--hub-secret-file=s"], "--hub-secret-file s is for workers on other hosts"),
        (["--layer=redis://h", "--hub-bind=127.0.0.1:0"], "opens the hub of a local layer, and --layer is redis://h"),
        (["--hub-bind=0.0.0.0:7400"], "give --hub-certificate and --hub-key"),
        (["--hub-bind=7400"], "--hub-bind 7400 is no address: write HOST:PORT"),
        (["--hub-bind=127.0.0.1:0"], "set FAIRWAY_HUB_SECRET, or name a file with one: --hub-secret-file"),
    ],
)
def test_options_of_a_hub_that_cannot_be_used(monkeypatch, options, message):
    monkeypatch.delenv("FAIRWAY_HUB_SECRET", raising=False)
    with pytest.raises(InvalidLayerSetting, match=message):
        host_layer(read(*options))
