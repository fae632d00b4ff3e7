"""A server and a worker in this process, with the views of `pages`."""

import asyncio
import socket
import threading

import pytest
from websockets.sync.client import connect

from fairway import channel_layers
from fairway.application import application_for
from fairway.limits import ServerLimits, ViewLimits
from fairway.server import Server
from fairway.server.config import ServerConfig
from fairway.server.ws_record import Record
from fairway.worker.loop import Worker
from tests.support.hubs import HubThread
from tests.views import pages
from tests.views.quay import Quay


class Harbour:
    """A server, a worker, and clients for both."""

    def __init__(self, view_limits, server_limits):
        self.layer = channel_layers["default"]
        self.server = Server(ServerConfig(binds=["127.0.0.1:0"], limits=server_limits), self.layer)
        self.application = application_for(view_limits=view_limits)
        self.worker = Worker(self.layer, self.application, threads=2)
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.server.start())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.worker.start()
        self.port = self.server.bound[0][1]

    def __call__(self, where, **options):
        """Open a client at a path."""
        return connect(f"ws://127.0.0.1:{self.port}/{where}", **options)

    def begin_handshake(self, where):
        """Return a socket that has sent a handshake, and reads nothing."""
        lines = (
            f"GET /{where} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        raw = socket.create_connection(("127.0.0.1", self.port), 10)
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        return raw

    def silent_client(self, where):
        """Return a client that reads nothing, and of which the system takes little."""
        return self.begin_handshake(where)

    def raw_handshake(self, where):
        """Return the head of the answer to a handshake; a client of a library would follow a redirect."""
        with self.begin_handshake(where) as raw:
            head = b""
            while b"\r\n\r\n" not in head and (data := raw.recv(65536)):
                head += data
        return head

    @property
    def streams(self):
        """The connections of the server, by their channels."""
        return self.server._roster.gateway._streams

    def has_clients(self):
        """Say whether a socket's transport is there."""
        return any(not isinstance(stream, Record) for stream in self.streams.values())

    @property
    def sockets(self):
        """What runs the views."""
        return self.application.companions[0]

    def close(self):
        """End all."""
        # In this order: a server waits a little for the last messages of its sockets to be consumed.
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.worker.stop(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def view_limits():
    """What the views may hold; a test may say otherwise."""
    return ViewLimits()


@pytest.fixture
def server_limits():
    """What the server allows."""
    return ServerLimits(drain=0)


@pytest.fixture
def middleware(settings):
    """The middleware of the project."""
    return settings.MIDDLEWARE


@pytest.fixture
def hub(tmp_path):
    """A hub of its own."""
    with HubThread(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture(params=["memory", "hub", "redis"])
def layer_setting(request):
    """How the layer is set."""
    if request.param == "hub":
        return {"URL": f"local://{request.getfixturevalue('hub').path}"}
    if request.param == "redis":
        return {"URL": request.getfixturevalue("shared_redis").url}
    return {"BACKEND": "fairway.layers.MemoryLayer"}


@pytest.fixture
def at(settings, middleware, view_limits, server_limits, layer_setting):
    """Open a client at a path."""
    pages.seen.clear()
    pages.released.clear()
    settings.ROOT_URLCONF = "tests.views.pages"
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.MIDDLEWARE = middleware
    settings.CHANNEL_LAYERS = {"default": {**layer_setting, "ROUTING": []}}
    harbour = Harbour(view_limits, server_limits)
    yield harbour
    harbour.close()
    channel_layers.clear()


@pytest.fixture
def quay():
    """A server's end of a layer."""
    quay = Quay()
    yield quay
    quay.layer.close()
