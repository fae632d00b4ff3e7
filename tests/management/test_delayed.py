"""The delay servers of `runserver`: one for each layer, and why there are none."""

import pytest
from django.core.management import call_command
from django.db import connection

from fairway.conf import channel_layers
from fairway.delay.models import DelayedMessage
from fairway.management.delayed import make_delay_servers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def layers(settings):
    memory = {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}
    settings.CHANNEL_LAYERS = {"default": memory, "other": memory}
    yield
    channel_layers.clear()


@pytest.fixture
def told():
    return {"said": [], "warned": []}


def make(told):
    return make_delay_servers(told["said"].append, told["warned"].append)


def test_one_for_each_layer(told):
    servers = make(told)
    assert told == {"said": ["Delayed messages are delivered too, by a delay server in this process"], "warned": []}
    for server in servers:
        server.start()
    try:
        for alias in ("default", "other"):
            layer = channel_layers[alias]
            layer.send("asgi.delay", {"channel": "reports", "content": {}, "delay": 1})
            assert layer.reader(["reports"]).receive(20) is not None
        wait_until(lambda: not DelayedMessage.objects.exists(), "both rows to go")
    finally:
        assert [server.stop() for server in servers] == [True, True]


def test_none_without_the_app(told, settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "fairway.delay"]
    assert list(make(told)) == []
    assert told == {"said": [], "warned": []}


def test_none_without_its_tables(told):
    call_command("migrate", "fairway_delay", "zero", verbosity=0)
    try:
        assert list(make(told)) == []
        assert DelayedMessage._meta.db_table not in connection.introspection.table_names()
    finally:
        call_command("migrate", "fairway_delay", verbosity=0)
    (warning,) = told["warned"]
    assert warning.startswith("Delayed messages are not delivered: the database 'default' lacks migrations of")
    assert warning.endswith("run `manage.py migrate fairway_delay`, and start runserver again.")
