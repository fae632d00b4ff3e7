"""Views that own a WebSocket, and what happens to the processes around them: no thread and no connection is left."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.view_site import ViewSite
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ViewSite]:
    """The project, with a server."""
    site = ViewSite(tmp_path)
    with site.serve():
        yield site


@pytest.fixture
def opened() -> Iterator[Callable[[str], ClientConnection]]:
    """Open clients; a server that is gone cannot close them."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(connect(url, open_timeout=20, close_timeout=0.1))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def close_code(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(30)
    return closed.value.rcvd.code if closed.value.rcvd else None


def test_a_killed_worker_closes_its_sockets_with_1012_and_another_takes_the_next(site, opened):
    with site.worker() as doomed:
        clients = [opened(site.url(where)) for where in ("who/", "awho/", "who/")]
        assert {client.recv(10) for client in clients} == {str(doomed.pid)}
        with site.worker() as other:
            os.kill(doomed.pid, signal.SIGKILL)
            assert [close_code(client) for client in clients] == [1012] * 3
            doomed.process.wait(60)
            with connect(site.url("who/")) as client:
                assert client.recv(10) == str(other.pid)


def test_a_worker_that_was_taken_for_dead_ends_the_views_of_sockets_that_are_closed(site, opened):
    with site.worker() as worker:
        clients = [opened(site.url(where)) for where in ("who/", "awho/")]
        assert {client.recv(10) for client in clients} == {str(worker.pid)}
        os.kill(worker.pid, signal.SIGSTOP)
        assert [close_code(client) for client in clients] == [1012] * 2
        os.kill(worker.pid, signal.SIGCONT)
        wait_until(lambda: len(site.ended()) == 2, "both views to end", 60)
        assert opened(site.url("who/")).recv(10) == str(worker.pid)


def test_a_worker_that_stops_tells_its_views_and_ends_well(site, opened):
    with site.worker() as worker:
        clients = [opened(site.url(where)) for where in ("who/", "awho/")]
        assert {client.recv(10) for client in clients} == {str(worker.pid)}
        os.kill(worker.pid, signal.SIGTERM)
        assert [close_code(client) for client in clients] == [1012] * 2
        assert worker.process.wait(60) == 0
        assert site.ended() == [worker.pid] * 2


def test_a_view_that_never_returns_does_not_hold_up_the_stop(site, opened):
    with site.worker("--grace=1") as worker:
        client = opened(site.url("never/"))
        assert client.recv(10) == str(worker.pid)
        os.kill(worker.pid, signal.SIGTERM)
        assert close_code(client) == 1012
        assert worker.process.wait(60) == 1
        assert "path '/never/'" in worker.output()


def test_there_are_so_many_blocking_views_and_no_more(site, opened):
    with site.worker("--view-threads=1"):
        with connect(site.url("who/")) as first:
            assert first.recv(10)
            with pytest.raises(InvalidStatus) as refused:
                opened(site.url("who/"))
            assert refused.value.response.status_code == 503
            assert opened(site.url("awho/")).recv(10)
        wait_until(site.ended, "the first view to end")
        assert opened(site.url("who/")).recv(10)


def test_vanished_clients_leave_no_thread(site, opened):
    with site.worker() as worker:
        with connect(site.url("who/")) as client:
            client.recv(10)
        wait_until(lambda: len(site.ended()) == 1, "the first view to end")
        before = threads(worker.pid)
        for where in ("who/", "awho/") * 5:
            client = opened(site.url(where))
            client.recv(10)
            client.socket.close()
        wait_until(lambda: len(site.ended()) == 11, "all views to end")
        # The event loop of coroutine views, and the threads for their blocking code, stay.
        wait_until(lambda: threads(worker.pid) <= before + 1 + 16, "their threads to end")


def test_a_killed_server_is_told_to_the_views_by_a_layer_that_lives(tmp_path, opened, own_redis):
    site = ViewSite(tmp_path, own_redis.url)
    with site.serve() as server, site.worker() as worker:
        for where in ("who/", "awho/"):
            assert opened(site.url(where)).recv(10) == str(worker.pid)
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(60)
        wait_until(lambda: len(site.ended()) == 2, "both views to end", 60)


def test_a_killed_server_ends_the_views_and_its_successor_is_served(tmp_path, opened):
    site = ViewSite(tmp_path)
    with site.worker() as worker:
        with site.serve() as server:
            for where in ("who/", "awho/"):
                assert opened(site.url(where)).recv(10) == str(worker.pid)
            os.kill(server.pid, signal.SIGKILL)
            server.process.wait(60)
        with site.serve():
            wait_until(lambda: len(site.ended()) == 2, "both views to end", 60)
            with connect(site.url("who/"), open_timeout=20) as client:
                assert client.recv(10) == str(worker.pid)
