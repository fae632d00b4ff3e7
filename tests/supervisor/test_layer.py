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
