"""The table "What survives what" where servers and workers meet in Redis. Who dies is a worker, or Redis.

That a server dies is in test_redis_silence.py.
"""

import json
import os
import signal

import pytest
from websockets.sync.client import connect

from fairway.errors import LayerUnavailable
from tests.faults.test_redis_silence import begun
from tests.support.redis import APPEND_ONLY, NO_PERSISTENCE, RedisServer
from tests.support.site import Seen, Site
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, own_redis: RedisServer) -> Site:
    """A project whose processes meet in Redis."""
    return Site(tmp_path_factory.mktemp("s"), own_redis.url)


def send_until_taken(seen: Seen, how: str) -> None:
    """Send an application message to a Redis that may just be coming back."""

    def is_sent() -> bool:
        try:
            seen.layer.send("work", {"how": how})
        except LayerUnavailable:
            return False
        return True

    wait_until(is_sent, "Redis to take a message")


def test_messages_of_a_killed_worker_run_again(site):
    (site.folder / "hold").touch()
    with site.harbour(), site.workers(), site.seen() as seen, connect(site.url("ends/")) as socket:
        seen.layer.send("work", {"how": "waits"})
        begun(site, "work")
        socket.send("waits")
        for pid in {begun(site, "work"), begun(site, "websocket.receive")}:
            os.kill(pid, signal.SIGKILL)
        begun(site, "work", attempt=2)
        begun(site, "websocket.receive", attempt=2)
        (site.folder / "hold").unlink()
        assert json.loads(socket.recv(timeout=60))["attempt"] == 2
        found = sorted((next(iter(one)), one["attempt"]) for one in (seen.take(), seen.take()))
        assert found == [("receive", 2), ("work", 2)]
        assert not seen.has_more()


@pytest.mark.parametrize("options", [NO_PERSISTENCE, APPEND_ONLY])
def test_what_is_under_way_while_redis_restarts(site, own_redis, options):
    """A connection's message runs again. An application message is kept by an append-only file, and lost without."""
    own_redis.restart(options)
    (site.folder / "hold").touch()
    with site.harbour(), site.workers() as workers, connect(site.url("ends/")) as socket:
        with site.seen() as seen:
            socket.send("waits")
            begun(site, "websocket.receive")
            seen.layer.send("work", {"how": "waits"})
            begun(site, "work")
            own_redis.restart(options)
        begun(site, "websocket.receive", attempt=2)
        (site.folder / "hold").unlink()
        with site.seen() as seen:
            assert json.loads(socket.recv(timeout=60))["attempt"] >= 2
            socket.send("returns")
            assert json.loads(socket.recv(timeout=60))["how"] == "returns"
            send_until_taken(seen, "mark")
            found = [seen.take()]
            while found[-1].get("work") != "mark":
                found.append(seen.take())
        assert {one["receive"] for one in found if "receive" in one} == {"waits", "returns"}
        kept = [one["attempt"] for one in found if one.get("work") == "waits"]
        assert len(kept) == (options == APPEND_ONLY)
        assert all(attempt >= 2 for attempt in kept)
        assert len(found) == 3 + (options == APPEND_ONLY)
        assert workers.process.poll() is None
