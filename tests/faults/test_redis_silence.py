"""Who gives Redis no sign is dead: another takes over, and what the dead does when it goes on has no effect."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.support.processes import free_port
from tests.support.redis import RedisServer
from tests.support.site import Site
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, own_redis: RedisServer) -> Site:
    """A project whose processes meet in Redis."""
    return Site(tmp_path_factory.mktemp("s"), own_redis.url)


@pytest.fixture
def stop() -> Iterator[Callable[[int], None]]:
    """Stops processes, and lets them go on in the end."""
    stopped: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    yield stop
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def begun(site: Site, channel: str, attempt: int = 1) -> int:
    """The process that has begun the last message of a channel, in that attempt or a later one.

    A busy machine may lose the line a second time, before a message that came back has been begun.
    """

    def find() -> int:
        return next((r.pid for r in reversed(site.runs()) if r.channel == channel and r.attempt >= attempt), 0)

    return wait_until(find, f"a run on {channel}, attempt {attempt}")


def test_a_worker_that_was_taken_for_dead_has_no_effect_and_goes_on(site, stop):
    (site.folder / "hold").touch()
    with site.harbour(), site.workers() as workers, site.seen() as seen, connect(site.url("ends/")) as socket:
        socket.send("waits")
        first = begun(site, "websocket.receive")
        stop(first)
        second = begun(site, "websocket.receive", attempt=2)
        assert second != first
        (site.folder / "hold").unlink()
        assert json.loads(socket.recv(timeout=60))["attempt"] == 2
        os.kill(first, signal.SIGCONT)
        wait_until(lambda: refusals(workers.output()), "the refusal in the log")
        stop(second)
        socket.send("returns")
        answer = json.loads(socket.recv(timeout=60))
        assert (answer["how"], answer["pid"]) == ("returns", first)
        seen.layer.send("work", {"how": "mark"})
        found = [seen.take() for _ in range(3)]
        assert [one.get("receive") or one["work"] for one in found] == ["waits", "returns", "mark"]
        assert refusals(workers.output()) == 1


def refusals(output: str) -> int:
    """How often the log tells of a commit that was refused."""
    return sum("came too late" in line or "not committed" in line for line in output.splitlines())


def test_the_end_of_every_socket_of_a_server_that_was_killed_is_told_once(site, own_redis):
    """Its members are gone, application messages are not, and rooms find their members on the other server."""
    port = free_port()
    with site.harbour() as victim, site.harbour(port), site.workers(), site.seen() as seen:
        room = [connect(site.url(f"talk/{number}", port=port * (number % 2))).__enter__() for number in range(8)]
        lost, kept = room[::2], room[1::2]
        wait_until(lambda: len(seen.layer.group_channels("room-0")) == 8, "everybody in the room")
        seen.layer.send("work", {"how": "returns"})
        victim.process.kill()
        for socket in lost:
            with pytest.raises(ConnectionClosedError):
                socket.recv(timeout=60)
        assert seen.take()["work"] == "returns"
        wait_until(lambda: len(ends(site)) >= len(lost), "the ends of its sockets")
        wait_until(lambda: len(seen.layer.group_channels("room-0")) == len(kept), "its members gone")
        seen.layer.send_group("room-0", {"text": "here"})
        assert [socket.recv(timeout=60) for socket in kept] == ["here"] * len(kept)
        assert not seen.has_more()
        found = ends(site)
        assert len(found) == len(set(found)) == len(lost)
        for socket in room:
            socket.__exit__(None, None, None)


def ends(site: Site) -> list[str]:
    """The messages that told the end of a socket."""
    return [run.id for run in site.runs() if run.channel == "websocket.disconnect"]
