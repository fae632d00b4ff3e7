"""HTTP through the whole chain: a socket, the interface server, the layer, a worker's threads, and Django."""

import asyncio
import http.client
import json
import socket
import threading
import time

import pytest

from fairway.application import DjangoApplication
from fairway.layers.memory import MemoryLayer
from fairway.routing import Router
from fairway.server import Server
from fairway.server.config import ServerConfig
from fairway.worker.loop import Worker
from tests.http import pages
from tests.support.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def port(urls):
    layer = MemoryLayer()
    server = Server(ServerConfig(binds=["127.0.0.1:0"]), layer)
    worker = Worker(layer, DjangoApplication(layer, Router([])), threads=2)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    worker.start()
    yield server.bound[0][1]
    worker.stop(2)
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    layer.close()


def ask(port, method, path, body=None, headers=None, **more):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {}, **more)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def open_stream(port, path):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return client


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/hello/?name=Ada", b"hello Ada at /hello/"),
        ("/ahello/", b"async hello"),
        ("/stream/", b"0\n1\n2\n"),
        ("/astream/", b"0\n1\n2\n"),
        ("/file/", b"x" * 10_000),
        ("/large/", b"x" * (MIB + 1)),
    ],
)
def test_pages(port, path, content):
    response, received = ask(port, "GET", path)
    assert (response.status, received) == (200, content)
    response, received = ask(port, "HEAD", path)
    assert (response.status, received) == (200, b"")


def test_an_upload_larger_than_any_window(port, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    _, received = ask(port, "POST", "/raw/", b"x" * (10 * MIB))
    assert received == b"10485760 b'xxxxxxxxxx'"


def test_an_upload_that_does_not_tell_its_length(port):
    head = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    parts = [head, *[b"x" * 100_000] * 40, b"\r\n--xyz--\r\n"]
    headers = {"Content-Type": "multipart/form-data; boundary=xyz", "Transfer-Encoding": "chunked"}
    _, received = ask(port, "POST", "/upload/", iter(parts), headers, encode_chunked=True)
    assert json.loads(received) == {"name": "f", "size": 4_000_000, "kind": "TemporaryUploadedFile", "note": None}


def test_a_client_that_does_not_read_stops_the_view_and_one_that_leaves_ends_it(port):
    with open_stream(port, "/large-stream/"):
        wait_until(is_still, "the view to wait for its client")
        assert 1 < len(pages.events) < 1000
    wait_until(lambda: "closed" in pages.events, "the iterator to be closed")


def is_still():
    """Whether the view has made parts, and made none while we looked twice. That nothing happens takes time to see."""
    before = len(pages.events)
    time.sleep(0.2)
    return before > 1 and len(pages.events) == before


def test_a_client_that_leaves_in_the_middle_of_its_upload_costs_no_thread(port):
    for _ in range(3):  # there are two threads
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /raw/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\r\n" + b"x" * MIB)
    assert ask(port, "GET", "/hello/")[0].status == 200
