"""`fairway.http.body`: chunks under a credit, a file for what is large, and two ways to end without one."""

import threading

import pytest

from fairway.broker.effects import Credit
from fairway.errors import RequestAborted, RequestTimeout
from fairway.http.request import AsgiRequest
from fairway.layers.memory import MemoryLayer
from fairway.names import new_channel
from tests.http.exchange import PREFIX, make_message


@pytest.fixture
def layer():
    made = MemoryLayer()
    yield made
    made.close()


@pytest.fixture
def body_channel():
    return new_channel("http.request.body?")


@pytest.fixture
def make(layer, body_channel):
    """Make a request with a body that follows; the tests leave it open."""
    made = []

    def make_request(kind=AsgiRequest, layer=layer, **content):
        made.append(kind(make_message({"method": "POST", "body_channel": body_channel, **content}, layer)))
        return made[-1]

    yield make_request
    for request in made:
        request.close()


def send_chunks(layer, channel, *chunks):
    for chunk in chunks:
        layer.send(channel, chunk)


def test_the_parts_become_one_body(make, layer, body_channel):
    parts = [{"content": b"two ", "more_content": True}, {"content": b"three"}]
    send_chunks(layer, body_channel, *parts)
    request = make(body=b"one ")
    assert request.META["CONTENT_LENGTH"] == "13"
    assert request.body == b"one two three"
    assert layer.statistics().sessions == 0


def test_meta_keeps_its_file_when_django_has_read_the_body(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": b"abc"})
    request = make()
    assert request.body == b"abc"
    file = request.META["wsgi.input"]
    file.seek(0)
    assert file.read() == b"abc"
    request.close()
    assert file.closed


def test_lines_can_be_read_from_it(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": b"a\nb\n"})
    assert make().readlines() == [b"a\n", b"b\n"]


def test_each_chunk_grants_its_size_until_the_last(make, layer, body_channel):
    inbox = layer.inbox([PREFIX], lambda: None)
    send_chunks(
        layer,
        body_channel,
        {"content": b"x" * 100, "more_content": True},
        {"content": b"", "more_content": True},
        {"content": b"x" * 7, "more_content": True},
        {"content": b"x"},
    )
    make(body=b"first")
    assert inbox.drain() == [Credit(f"{PREFIX}c1", 100), Credit(f"{PREFIX}c1", 7)]


def test_a_large_body_goes_to_a_file(make, layer, body_channel, settings, tmp_path):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    send_chunks(layer, body_channel, *[{"content": b"x" * 600, "more_content": more} for more in (True, True, False)])
    request = make()
    assert request.META["wsgi.input"]._rolled
    assert request.body == b"x" * 1800


def test_a_small_one_stays_in_memory(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": b"x"})
    assert not make().META["wsgi.input"]._rolled


def test_a_client_that_goes_away_aborts_the_request(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": b"x", "more_content": True}, {"closed": True})
    with pytest.raises(RequestAborted):
        make()
    assert layer.statistics().sessions == 0


class Impatient(AsgiRequest):
    body_receive_timeout = 0


class Eager(AsgiRequest):
    body_receive_timeout = 0.02


class Patient(AsgiRequest):
    body_receive_timeout = -1


def test_a_limit_of_zero_is_over_at_once(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": b"x"})
    with pytest.raises(RequestTimeout):
        make(Impatient)


def test_a_body_that_does_not_come_times_out(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": b"x", "more_content": True})
    with pytest.raises(RequestTimeout):
        make(Eager)
    assert layer.statistics().sessions == 0


def test_without_a_limit_the_body_may_come_later(make, layer, body_channel):
    sender = threading.Timer(0.02, send_chunks, (layer, body_channel, {"content": b"late"}))
    sender.start()
    assert make(Patient).body == b"late"
    sender.join()


def test_a_chunk_that_is_no_bytes_is_the_servers_fault(make, layer, body_channel):
    send_chunks(layer, body_channel, {"content": "text"})
    with pytest.raises(AssertionError, match="bytes, not str"):
        make()


def test_a_message_from_no_layer_cannot_have_more_body(make):
    with pytest.raises(ValueError, match="came through no layer"):
        make(layer=None)
