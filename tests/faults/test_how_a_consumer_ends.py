"""The table "How a consumer ends", row by row, with a server, its hub, and workers that are programs of their own."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from fairway.limits import BrokerLimits
from tests.support.hubs import HubThread
from tests.support.site import Site
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A running site. Its workers die often, so there are some."""
    site = Site(tmp_path_factory.mktemp("e"))
    with site.serve() as server, site.workers(3) as workers, site.seen() as seen:
        yield SimpleNamespace(site=site, server=server, workers=workers, seen=seen)


def open_socket(town: SimpleNamespace, path: str = "ends/") -> ClientConnection:
    return connect(town.site.url(path), open_timeout=60)


def hear(socket: ClientConnection) -> dict[str, Any]:
    """An answer, without the process that gave it."""
    answer = json.loads(socket.recv(timeout=60))
    return {key: answer[key] for key in ("how", "attempt", "retries")}


def get(town: SimpleNamespace, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(town.site.url(path, "http"), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_what_a_run_sent_is_published_once_whether_it_returns_or_raises(town, how):
    with open_socket(town) as socket:
        socket.send(how)
        assert hear(socket) == {"how": how, "attempt": 1, "retries": 0}
        assert town.seen.take() == {"receive": how, "attempt": 1}
        socket.send("returns")
        assert hear(socket)["how"] == "returns"  # the gate is open, and the socket too
        assert town.seen.take()["receive"] == "returns"
    assert town.seen.take()["disconnect"] == 1000
    assert not town.seen.has_more()
    assert how == "returns" or "RuntimeError: raises" in town.workers.output()


def test_a_disconnect_that_raises_is_published_and_acknowledged(town):
    with open_socket(town, "ends/raises"):
        pass
    assert town.seen.take() == {"disconnect": 1000, "attempt": 1}
    assert not town.seen.has_more()


def test_an_application_message_whose_consumer_raises_is_published_and_acknowledged(town):
    town.seen.layer.send("work", {"how": "raises"})
    assert town.seen.take() == {"work": "raises", "attempt": 1, "retries": 0}
    assert not town.seen.has_more()


@pytest.mark.parametrize(("how", "status"), [("raises", 500), ("denies", 403)])
def test_a_connect_that_fails_publishes_all_but_what_goes_to_its_own_socket(town, how, status):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(town, f"connect/{how}")
    assert refused.value.response.status_code == status
    assert b"never seen" not in refused.value.response.body
    assert town.seen.take() == {"connect": how}
    assert not town.seen.has_more()


def test_consume_later_publishes_and_the_next_message_waits(town):
    with open_socket(town) as socket:
        socket.send("later-once")
        socket.send("returns")
        heard = [hear(socket) for _ in range(3)]
    assert [(one["how"], one["retries"]) for one in heard] == [("later-once", 0), ("later-once", 1), ("returns", 0)]
    assert [town.seen.take().get("receive") for _ in range(4)] == ["later-once", "later-once", "returns", None]


def test_consume_later_without_end_becomes_a_dead_letter(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("l"))
    limits = BrokerLimits(requeues=2, requeue_pause=0.01)
    with HubThread(site.hub, limits) as hub, site.workers(1), site.seen() as seen:
        hub.layer.send("work", {"how": "later-always"})
        assert [seen.take()["retries"] for _ in range(3)] == [0, 1, 2]
        letters = wait_until(hub.layer.dead_letters, "a dead letter")
        assert [(letter.channel, letter.reason, letter.attempts) for letter in letters] == [("work", "retries", 1)]


def test_a_worker_that_dies_has_published_nothing_and_another_runs_the_message(town):
    with open_socket(town) as socket:
        socket.send("dies-once")
        socket.send("returns")
        assert hear(socket) == {"how": "dies-once", "attempt": 2, "retries": 0}
        assert hear(socket) == {"how": "returns", "attempt": 1, "retries": 0}
        assert town.seen.take() == {"receive": "dies-once", "attempt": 2}
        assert town.seen.take() == {"receive": "returns", "attempt": 1}
    assert town.seen.take()["disconnect"] == 1000


def test_a_message_that_kills_each_worker_becomes_a_dead_letter_and_closes_its_socket(town):
    with open_socket(town) as socket:
        socket.send("dies-always")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert town.seen.take()["disconnect"] == 1011  # the gate is open
    letter = next(one for one in town.seen.layer.dead_letters() if one.channel == "websocket.receive")
    assert (letter.reason, letter.attempts) == ("attempts", 5)
    runs = [run for run in town.site.runs() if run.channel == "websocket.receive" and run.attempt == 5]
    assert [run.id for run in runs] == [letter.id]
    town.seen.layer.drop_dead([letter.id])


def test_a_connect_that_kills_each_worker_is_refused(town):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(town, "connect/dies")
    assert refused.value.response.status_code == 500
    assert not town.seen.has_more()


def test_an_application_message_is_run_again(town):
    town.seen.layer.send("work", {"how": "dies-once"})
    assert town.seen.take() == {"work": "dies-once", "attempt": 2, "retries": 0}
    assert not town.seen.has_more()


def test_a_get_is_run_again_and_a_post_is_not(town):
    assert get(town, "dies", "GET") == (200, "run 2")
    assert get(town, "dies", "POST") == (502, "")
    assert (town.site.folder / "dies-POST").stat().st_size == 1
    assert "its worker is gone and it may not run twice" in town.server.output()


def test_a_get_that_kills_each_worker_is_answered_with_500_after_the_second(town):
    before = (town.site.folder / "dies-HEAD").stat().st_size if (town.site.folder / "dies-HEAD").exists() else 0
    assert get(town, "dies?always", "HEAD")[0] == 500
    assert (town.site.folder / "dies-HEAD").stat().st_size == before + 2


def test_a_response_that_has_begun_is_cut_visibly(town):
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(town, "begins")
    assert cut.value.partial in (b"", b"a" * 1000)


def test_a_view_that_raises_is_answered_with_500(town):
    assert get(town, "raises") == (500, "")
