"""The development server as an object: the address it takes, its configuration, its log, its signals."""

import errno
import socket
import threading
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fairway.channel import Channel
from fairway.conf import channel_layers
from fairway.devserver.beside import make_none
from fairway.devserver.config import server_config
from fairway.devserver.whole import DevOptions, dev_server_class
from fairway.http.consumers import ViewConsumer
from fairway.layers import LocalLayer, MemoryLayer
from fairway.routing import route
from fairway.signals import worker_process_ready, worker_ready
from fairway.worker.loop import Worker
from tests.support.waiting import wait_until


def echo(message, **kwargs):
    message.reply_channel.send({"text": message["text"]})


@pytest.fixture(autouse=True)
def layers(settings):
    settings.ROOT_URLCONF = "tests.http.pages"
    routing = [route("websocket.receive", echo)]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": routing}}
    yield
    channel_layers.clear()


def make_server(address=("127.0.0.1", 0), threads=1, make_beside=make_none, **options):
    server_class = dev_server_class(DevOptions(threads=threads, config=server_config(), make_beside=make_beside))
    return server_class(address, object, **options)


class Bystander:
    """Runs beside the workers."""

    def __init__(self):
        self.seen = []

    def start(self):
        self.seen.append(f"start with a {type(channel_layers['default']).__name__}")

    def stop(self, timeout):
        self.seen.append("stop")


class Running:
    """A development server in a thread, as autoreload has it."""

    def __init__(self, server):
        self.server = server
        server.set_app(ViewConsumer())
        self.thread = threading.Thread(target=server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def stop(self):
        self.server._stop_at_exit()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.mark.parametrize(("threads", "seen"), [(1, ["start with a MemoryLayer", "stop"]), (0, [])])
def test_something_may_run_beside_the_workers(threads, seen):
    bystander = Bystander()
    with Running(make_server(threads=threads, make_beside=lambda: [bystander])):
        pass
    assert bystander.seen == seen


def test_it_serves_until_the_process_ends():
    with Running(make_server()) as running:
        port = running.server.server_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello/") as response:
            assert response.status == 200
        with connect(f"ws://127.0.0.1:{port}/") as client:
            client.send("hi")
            assert client.recv(30) == "hi"
            running.stop()
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(30)
    assert closed.value.rcvd.code == 1012


def test_signals_of_its_worker():
    seen = []

    def receiver(**kwargs):
        seen.append((kwargs["signal"], type(kwargs["sender"])))

    signals = (worker_process_ready, worker_ready)
    for signal in signals:
        signal.connect(receiver)
    try:
        with Running(make_server()):
            pass
    finally:
        for signal in signals:
            signal.disconnect(receiver)
    assert seen == [(signal, Worker) for signal in signals]


def test_without_workers():
    with Running(make_server(threads=0)) as running:
        assert running.server._workers == []


def test_each_layer_has_a_worker(settings):
    routing = [route("work", lambda message: Channel("done", "other").send({"n": message["n"]}))]
    other = {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": routing}
    settings.CHANNEL_LAYERS = {**settings.CHANNEL_LAYERS, "other": other}
    with Running(make_server()):
        Channel("work", "other").send({"n": 1})
        assert channel_layers["other"].reader(["done"]).receive(5) is not None


def test_behind_the_layer_of_a_hub_it_is_the_hub(settings, tmp_path):
    path = str(tmp_path / "hub")
    settings.CHANNEL_LAYERS = {"default": {"URL": f"local://{path}", "ROUTING": []}}
    outside = channel_layers["default"]
    with Running(make_server()):
        assert isinstance(channel_layers["default"], MemoryLayer)
        other = LocalLayer(path)
        wait_until(lambda: other.statistics().sessions == 1, "the worker")
        other.close()
    assert channel_layers["default"] is outside


def test_addresses():
    for address, options in ((("0", 0), {}), (("localhost", 0), {}), (("::1", 0), {"ipv6": True})):
        with Running(make_server(address, **options)) as running:
            assert running.server.server_port


def test_a_port_in_use_is_an_os_error_as_django_expects_it():
    in_use = pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE)
    with socket.create_server(("127.0.0.1", 0)) as taken, in_use:
        make_server(("127.0.0.1", taken.getsockname()[1]))
