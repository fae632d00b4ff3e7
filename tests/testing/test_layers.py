import pytest

from fairway import channel_layers
from fairway.errors import InvalidLayerSetting
from fairway.layers.memory import MemoryLayer
from fairway.routing import route
from fairway.testing.layers import PlacedLayers, application_of, memory_layer, routing_replaced


def consume(message):
    """A consumer."""


ROUTING = [route("one", consume)]
LOCAL = {"BACKEND": "fairway.layers.LocalLayer", "ROUTING": "tests.testing.test_layers.ROUTING"}


def test_inner_layers_go_and_the_outer_ones_are_back():
    channel_layers.set("default", None)
    with PlacedLayers(["default"]):
        outer = channel_layers["default"]
        with PlacedLayers(["default"]):
            inner = channel_layers["default"]
        assert (inner.closed, outer.closed) == (True, False)
        assert channel_layers["default"] is outer
    assert outer.closed
    assert "default" not in channel_layers


def test_a_changed_setting_puts_fresh_layers_in_again(settings):
    with PlacedLayers(["default"]):
        with PlacedLayers(["default"]):
            settings.CHANNEL_LAYERS = {"default": LOCAL}
            assert type(channel_layers["default"]) is MemoryLayer
        assert type(channel_layers["default"]) is MemoryLayer
        assert not channel_layers["default"].closed


def test_the_application_is_kept_until_layer_or_routing_change(settings):
    settings.CHANNEL_LAYERS = {"default": LOCAL}
    with PlacedLayers(["default"]):
        first = application_of("default")
        assert application_of("default") is first
        assert first.router.channels == {"one"}
        with routing_replaced("default", []):
            assert application_of("default").router.channels == set()
    with PlacedLayers(["default"]):
        assert application_of("default") is not first


def test_a_router_has_a_copy_of_the_routing(settings):
    settings.CHANNEL_LAYERS = {"default": LOCAL}
    with PlacedLayers(["default"]):
        application_of("default").router.add_route(route("two", consume))
    assert len(ROUTING) == 1


def test_a_layer_without_routing_has_no_consumers(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    with PlacedLayers(["default"]):
        assert application_of("default").router.channels == set()


def test_a_memory_layer_of_the_settings_will_do(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    assert memory_layer("default") is channel_layers["default"]


def test_an_alias_that_is_not_configured_is_an_error_unless_told_otherwise(settings):
    settings.CHANNEL_LAYERS = {"default": LOCAL}
    with pytest.raises(InvalidLayerSetting, match="test_channel_aliases names 'other'"), PlacedLayers(["other"]):
        raise AssertionError
    with PlacedLayers(["other"], strict=False):
        assert type(channel_layers["other"]) is MemoryLayer
