"""What the parent of `runserver` tells its child, and which settings the child finds changed."""

import pytest

from fairway.devserver.orders import VARIABLE, Orders, digest_settings
from fairway.limits import BrokerLimits


def layers(**changes):
    return {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": [], **changes}}


@pytest.fixture(autouse=True)
def setting(settings):
    settings.CHANNEL_LAYERS = layers()


def make_orders():
    return Orders(port=8000, hub="/run/hub", folder="", settings=digest_settings())


def test_they_travel_in_the_environment_once():
    orders = make_orders()
    environ = orders.as_environ()
    assert list(environ) == [VARIABLE]
    assert Orders.take(environ) == orders
    assert Orders.take(environ) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHANNEL_LAYERS", layers(CONFIG={"capacity": {"work": 5}})),
        ("CHANNEL_LAYERS", {}),
        ("CSRF_TRUSTED_ORIGINS", ["https://example.com"]),
        ("FORCE_SCRIPT_NAME", "/shop"),
    ],
)
def test_changed_settings_are_named(settings, name, value):
    orders = make_orders()
    assert orders.changed_settings() == []
    setattr(settings, name, value)
    assert orders.changed_settings() == [name]


def test_the_routing_is_the_childs_own_matter(settings):
    orders = make_orders()
    settings.CHANNEL_LAYERS = layers(ROUTING="another.routing")
    assert orders.changed_settings() == []


def test_objects_that_tell_their_address_have_not_changed(settings):
    class Thing:
        """Without a repr of its own."""

    settings.CHANNEL_LAYERS = layers(CONFIG={"limits": BrokerLimits(), "thing": Thing()})
    orders = make_orders()
    settings.CHANNEL_LAYERS = layers(CONFIG={"limits": BrokerLimits(), "thing": Thing()})
    assert orders.changed_settings() == []
