"""Consumers that are tried again, on each layer: alone in this process, and as a project with a server and workers."""

import asyncio
import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fairway import route
from fairway.application import DjangoApplication
from fairway.channel import Channel
from fairway.consumers import Retry, background
from fairway.layers.base import Layer
from fairway.layers.hub.client import LocalLayer
from fairway.layers.memory import MemoryLayer
from fairway.layers.redis.layer import RedisLayer
from fairway.message import Message
from fairway.routing import Router
from fairway.worker.loop import Worker
from tests.faults.test_how_a_consumer_ends import hear
from tests.support.chain import answer_nothing
from tests.support.hubs import HubThread
from tests.support.redis import redis_server
from tests.support.site import Seen, Site
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

PAUSE = 0.1
CLOCK = 0.01
"""Two clocks may differ by so much over a pause."""


# --- workers of this process -----------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "hub", "redis"])
def layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layer]:
    """An empty layer of each kind."""
    with contextlib.ExitStack() as stack:
        made: Layer
        if request.param == "memory":
            made = MemoryLayer()
        elif request.param == "hub":
            hub = stack.enter_context(HubThread(tmp_path_factory.mktemp("h") / "hub"))
            made = LocalLayer(hub.path)
        else:
            made = RedisLayer(request.getfixturevalue("shared_redis").url)
        stack.callback(made.close)
        yield made


@contextlib.contextmanager
def working(layer: Layer, **consumers: Callable[[Message], Any]) -> Iterator[Worker]:
    """A worker with one thread, and a consumer for each channel."""
    routing = [route(channel, consumer) for channel, consumer in consumers.items()]
    application = DjangoApplication(layer, Router(routing), http_consumer=answer_nothing)
    worker = Worker(layer, application, threads=1)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop(10)


@pytest.fixture
def seen(layer: Layer) -> Iterator[Seen]:
    """What the consumers publish."""
    seen = Seen(layer)
    yield seen
    seen.close()


class Failing:
    """A consumer that fails as often as it, or the message, is told, after it has sent something; it notes when."""

    def __init__(self, layer: Layer, times: int, retry: Retry) -> None:
        self.retry = retry
        self.times = times
        self.layer = layer
        self.began: list[float] = []

    def __call__(self, message: Message) -> None:
        self.began.append(time.monotonic())
        Channel("seen", channel_layer=self.layer).send({"n": message["n"], "retries": message.retries})
        if message.retries < message.get("fails", self.times):
            raise OSError(f"no. {message.retries}")


def test_the_run_that_succeeds_alone_is_published_and_none_begins_before_its_pause_is_over(layer, seen):
    failing = Failing(layer, 2, Retry(5, pause=PAUSE))
    with working(layer, work=failing):
        layer.send("work", {"n": 1})
        assert seen.take() == {"n": 1, "retries": 2}
        layer.send("work", {"n": 2})
        assert seen.take() == {"n": 2, "retries": 2}
    first, second, third = failing.began[:3]
    assert second - first >= PAUSE - CLOCK
    assert third - second >= 2 * PAUSE - CLOCK
    assert layer.dead_letters() == []


def test_retries_used_up_are_a_dead_letter_that_says_why_and_can_begin_anew(layer, seen):
    failing = Failing(layer, 99, Retry(1, pause=0))
    with working(layer, work=failing):
        layer.send("work", {"n": 1})
        (letter,) = wait_until(layer.dead_letters, "a dead letter")
        assert (letter.channel, letter.reason) == ("work", "failed 2 times: OSError: no. 1")
        assert len(failing.began) == 2
        failing.times = 1
        assert layer.requeue_dead([letter.id]) == 1
        assert seen.take() == {"n": 1, "retries": 1}
    assert layer.dead_letters() == []


def test_no_retry_at_all_is_a_dead_letter_at_once(layer):
    failing = Failing(layer, 99, Retry(0))
    with working(layer, work=failing):
        layer.send("work", {"n": 1})
        (letter,) = wait_until(layer.dead_letters, "a dead letter")
    assert letter.reason == "failed once: OSError: no. 0"
    assert len(failing.began) == 1


def test_a_message_that_waits_for_its_retry_holds_nobody_up_and_outlives_its_worker(layer, seen):
    failing = Failing(layer, 0, Retry(1, pause=1))
    with working(layer, work=failing):
        layer.send("work", {"n": 1, "fails": 1})
        layer.send("work", {"n": 2})
        assert seen.take() == {"n": 2, "retries": 0}
    with working(layer, work=failing):
        assert seen.take() == {"n": 1, "retries": 1}


def test_a_coroutine_over_its_limit_is_tried_again(layer, seen):
    @background(retry=Retry(99, pause=0, on=TimeoutError), time_limit=0.05)
    async def slow(message):
        if not message.retries:
            await asyncio.Event().wait()
        await Channel("seen", channel_layer=layer).asend({"retries": message.retries})

    with working(layer, work=slow) as worker, looked_after(worker):
        layer.send("work", {})
        assert seen.take()["retries"] >= 1  # on a busy machine a run that does nothing takes long, too


@contextlib.contextmanager
def looked_after(worker: Worker) -> Iterator[None]:
    """Look for what is over its time limit, as a worker process does."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            worker.end_overdue()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- a project -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["hub", "redis"])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A running site."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server()).url if request.param == "redis" else ""
        site = Site(tmp_path_factory.mktemp("r"), url)
        stack.enter_context(site.harbour() if url else site.serve())
        workers = stack.enter_context(site.workers(2))
        yield SimpleNamespace(site=site, workers=workers, seen=stack.enter_context(site.seen()))


def get(town: SimpleNamespace, word: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(town.site.url(f"again/{word}", "http"), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def take_dead(town: SimpleNamespace) -> list[tuple[str, str]]:
    """The dead letters, which are dropped."""
    letters = town.seen.layer.dead_letters()
    town.seen.layer.drop_dead([letter.id for letter in letters])
    return [(letter.channel, letter.reason) for letter in letters]


def test_a_socket_hears_of_the_run_that_succeeds_and_what_came_after_waits_for_it(town):
    with connect(town.site.url("again/never"), open_timeout=60) as socket:
        assert town.seen.take() == {"again": "never", "retries": 0}
        socket.send("twice")
        socket.send("never")
        assert hear(socket) == {"how": "twice", "attempt": 1, "retries": 2}
        assert hear(socket) == {"how": "never", "attempt": 1, "retries": 0}
        assert [town.seen.take()["again"] for _ in range(2)] == ["twice", "never"]
    assert town.seen.take()["disconnect"] == 1000
    assert "consumer failed, retry 2 of 2 follows in 0.1 s: channel websocket.receive" in town.workers.output()


def test_a_socket_whose_message_cannot_be_consumed_is_closed(town):
    with connect(town.site.url("again/never"), open_timeout=60) as socket:
        assert town.seen.take() == {"again": "never", "retries": 0}
        socket.send("always")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert town.seen.take()["disconnect"] == 1011
    assert not town.seen.has_more()
    assert take_dead(town) == [("websocket.receive", "failed 3 times: RuntimeError: always")]


def test_a_connect_is_accepted_by_the_run_that_succeeds(town):
    with connect(town.site.url("again/once"), open_timeout=60):
        assert town.seen.take() == {"again": "once", "retries": 1}
    assert town.seen.take()["disconnect"] == 1000


def test_a_connect_that_fails_for_good_is_refused_as_without_retries(town):
    with pytest.raises(InvalidStatus) as refused:
        connect(town.site.url("again/always"), open_timeout=60)
    assert refused.value.response.status_code == 500
    assert refused.value.response.body == b"Internal Server Error\n"
    assert town.seen.take() == {"disconnect": 1006, "attempt": 1}
    assert not town.seen.has_more()
    assert take_dead(town) == [("websocket.connect", "failed 3 times: RuntimeError: always")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_is_answered_by_the_run_that_succeeds(town, method):
    assert get(town, "twice", method) == (200, "run 3")
    assert town.seen.take() == {"again": "twice", "retries": 2}


def test_a_request_that_fails_for_good_is_answered_as_without_retries(town):
    assert get(town, "always") == (500, "Internal Server Error\n")
    assert not town.seen.has_more()
    assert take_dead(town) == [("http.request", "failed 3 times: RuntimeError: always")]


def test_a_coroutine_over_its_time_limit_counts_as_a_retry(town):
    town.seen.layer.send("slow", {})
    assert town.seen.take() == {"slow": "coroutine", "attempt": 1, "retries": 1}


def test_a_thread_over_its_time_limit_counts_as_an_attempt_of_another_worker(town):
    (town.site.folder / "hold").touch()
    town.seen.layer.send("stuck", {})
    assert town.seen.take() == {"slow": "thread", "attempt": 2, "retries": 0}
    (town.site.folder / "hold").unlink()
    assert "over the time limit of 1 s: channel stuck" in town.workers.output()
