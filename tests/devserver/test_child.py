"""The reloading half of `runserver`, in this process: where it takes messages, and how it stops."""

import signal
import threading

import pytest

from fairway.channel import Channel
from fairway.conf import channel_layers
from fairway.consumers import background
from fairway.devserver.beside import make_none
from fairway.devserver.child import DevChild, dev_worker_class
from fairway.devserver.orders import Orders, digest_settings
from fairway.errors import InvalidLayerSetting
from fairway.http.consumers import ViewConsumer
from fairway.layers import LocalLayer, MemoryLayer
from fairway.routing import route
from fairway.signals import worker_process_ready, worker_ready
from fairway.worker.loop import Worker
from tests.support.hubs import HubThread
from tests.support.waiting import wait_until


def answer(message, **kwargs):
    Channel("done", message.channel.name.rpartition("-")[2]).send({"n": message["n"]})


def layer(alias):
    return {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": [route(f"work-{alias}", answer)]}


@pytest.fixture(autouse=True)
def layers(settings):
    settings.CHANNEL_LAYERS = {alias: layer(alias) for alias in ("default", "other")}
    yield
    channel_layers.clear()


@pytest.fixture(autouse=True)
def sigterm():
    """A stop takes the signal's handler away; the tests need theirs."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def hub(tmp_path):
    with HubThread(tmp_path / "hub") as hub:
        yield hub


def make_child(hub, make_beside=make_none):
    orders = Orders(port=8123, hub=hub.path if hub else "", folder="", settings=digest_settings())
    return DevChild(orders, 1, make_beside)


def put_in_place(child):
    """Prepare it, and keep the way that Ctrl-C ends the tests."""
    before = signal.getsignal(signal.SIGINT)
    try:
        child.prepare()
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_default_layer_is_the_hub_that_it_was_told_of(hub):
    put_in_place(make_child(hub))
    assert isinstance(channel_layers["default"], LocalLayer)
    assert channel_layers["default"].address.path == hub.path
    assert isinstance(channel_layers["other"], MemoryLayer)


def test_a_layer_elsewhere_stays_as_it_is():
    put_in_place(make_child(None))
    assert isinstance(channel_layers["default"], MemoryLayer)


def test_it_works_for_every_layer_until_it_is_stopped(hub):
    child = make_child(hub)
    put_in_place(child)
    seen = []

    def receiver(**kwargs):
        seen.append((kwargs["signal"], type(kwargs["sender"])))

    signals = (worker_process_ready, worker_ready)
    for each in signals:
        each.connect(receiver)
    server = dev_worker_class(child)(("127.0.0.1", 1), object, ipv6=False)
    assert server.server_port == 8123
    server.set_app(ViewConsumer())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for alias in ("default", "other"):
            Channel(f"work-{alias}", alias).send({"n": 1})
            assert channel_layers[alias].reader(["done"]).receive(5) is not None
        wait_until(lambda: len(seen) == 3, "both workers have said that they are ready")
    finally:
        for each in signals:
            each.disconnect(receiver)
        assert child.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert seen == [(worker_process_ready, Worker), (worker_ready, Worker), (worker_ready, Worker)]


def test_something_may_run_beside_the_workers(hub):
    seen = []

    class Bystander:
        def start(self):
            seen.append(channel_layers["default"].address.path)

        def stop(self, timeout):
            seen.append("stopped")

    child = make_child(hub, lambda: [Bystander()])
    put_in_place(child)
    thread = threading.Thread(target=child.work, args=[ViewConsumer()], daemon=True)
    thread.start()
    wait_until(lambda: seen, "its start")
    assert child.stop()
    assert seen == [hub.path, "stopped"]
    thread.join(30)


def test_a_consumer_that_runs_on_is_told(hub, settings):
    began, end = threading.Event(), threading.Event()

    def stuck(message):
        began.set()
        end.wait(20)

    settings.CHANNEL_LAYERS = {"default": layer("default") | {"ROUTING": [route("work", stuck)]}}
    child = make_child(hub)
    put_in_place(child)
    thread = threading.Thread(target=child.work, args=[ViewConsumer()], daemon=True)
    thread.start()
    wait_until(lambda: child._process is not None, "the worker")
    Channel("work").send({})
    assert began.wait(10)
    assert child.stop() is False
    end.set()
    thread.join(30)


def test_after_a_consumer_over_its_time_limit_the_work_goes_on(hub, settings):
    end, attempts = threading.Event(), []

    @background(time_limit=0.1)
    def stuck_at_first(message):
        attempts.append(message.attempt)
        if message.attempt == 1:
            end.wait(20)

    settings.CHANNEL_LAYERS = {"default": layer("default") | {"ROUTING": [route("work", stuck_at_first)]}}
    child = make_child(hub)
    put_in_place(child)
    thread = threading.Thread(target=child.work, args=[ViewConsumer()], daemon=True)
    thread.start()
    Channel("work").send({})
    wait_until(lambda: attempts == [1, 2], "the second attempt", 20)
    assert child.stop() is False
    end.set()
    wait_until(lambda: child._retired[0].has_ended)
    thread.join(30)


def test_a_stop_before_the_work_keeps_it_from_beginning(hub):
    child = make_child(hub)
    assert child.stop()
    child.work(ViewConsumer())
    assert child._process is None


def test_a_signal_to_end_does_not_interrupt_what_comes_after_the_stop(hub):
    def leave(*_):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    assert make_child(hub).stop()
    signal.raise_signal(signal.SIGTERM)


def test_a_default_layer_that_is_gone_is_told(hub, settings):
    child = make_child(hub)
    settings.CHANNEL_LAYERS = {}
    put_in_place(child)
    with pytest.raises(InvalidLayerSetting, match="CHANNEL_LAYERS has no 'default'"):
        child.work(ViewConsumer())
