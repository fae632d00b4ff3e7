"""The table "What survives what", row by row, with programs: a worker, the hub, or one of several servers is killed."""

import json
import os
import signal
import threading
import time
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.support.site import Site, children, holds, is_alive
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def begun(site: Site, channel: str, attempt: int = 1) -> int:
    """The process that has begun the last message of a channel."""

    def find() -> int:
        return next((r.pid for r in reversed(site.runs()) if (r.channel, r.attempt) == (channel, attempt)), 0)

    return wait_until(find, f"a run on {channel}, attempt {attempt}")


# --- a worker is killed ----------------------------------------------------------------------------------------------


def test_an_application_message_of_a_killed_worker_runs_again(site):
    (site.folder / "hold").touch()
    with site.serve(), site.workers() as workers, site.seen() as seen:
        # One that dies before all are ready is a failed start, and ends the others.
        workers.wait_for_output("all 2 worker processes are ready", 60)
        seen.layer.send("work", {"how": "waits"})
        os.kill(begun(site, "work"), signal.SIGKILL)
        killed = time.monotonic()
        begun(site, "work", attempt=2)
        print(f"\nran again {1000 * (site.runs()[-1].time - killed):.1f} ms after the kill")
        (site.folder / "hold").unlink()
        assert seen.take() == {"work": "waits", "attempt": 2, "retries": 0}
        assert not seen.has_more()


# --- the hub is lost -------------------------------------------------------------------------------------------------


def test_sockets_of_a_killed_server_are_gone_and_workers_go_on_with_the_next_one(site):
    with site.workers() as workers:
        with site.serve() as server:
            before = set(children(workers.pid))
            with connect(site.url("ends/")) as socket:
                server.process.kill()
                with pytest.raises(ConnectionClosedError):
                    socket.recv(timeout=60)
        with site.serve(), connect(site.url("ends/")) as socket:
            socket.send("returns")
            assert json.loads(socket.recv(timeout=60))["pid"] in before
        assert set(children(workers.pid)) == before


def test_what_is_sent_while_the_hub_is_away_waits_for_it(site):
    with site.workers(), site.serve() as server, site.seen() as seen:
        server.process.kill()
        server.process.wait()
        sending = threading.Thread(target=seen.layer.send, args=("work", {"how": "returns"}))
        sending.start()
        with site.serve():
            assert seen.take() == {"work": "returns", "attempt": 1, "retries": 0}
            sending.join()


def test_a_hub_that_is_stopped_names_the_application_messages_that_go_with_it(site):
    with site.serve() as server, site.seen() as seen:
        for _ in range(3):
            seen.layer.send("work", {"how": "returns"})
        seen.close()
        assert server.stop() == 0
        assert "the hub stops, and 3 messages are lost with it (work: 3)" in server.output()


def test_a_hub_that_is_stopped_lets_workers_consume_application_messages_first(site):
    (site.folder / "hold").touch()
    with site.serve() as server, site.workers(), site.seen() as seen:
        for _ in range(3):
            seen.layer.send("work", {"how": "waits"})
        begun(site, "work")
        server.process.terminate()
        server.wait_for_output("SIGTERM: stopping")
        (site.folder / "hold").unlink()
        assert [seen.take()["work"] for _ in range(3)] == ["waits"] * 3
        assert server.process.wait(60) == 0
        assert "lost" not in server.output()


def test_a_message_that_is_consumed_while_the_hub_is_lost_has_no_effect_and_is_sent_again(site):
    """Its server, a process beside the hub's, keeps it: same id, attempt + 1."""
    (site.folder / "hold").touch()
    with site.workers(), site.serve("--processes=2") as first, connect(site.url("ends/")) as socket:
        socket.send("waits")
        begun(site, "websocket.receive")
        first.process.kill()
        first.process.wait()
        with site.serve("--processes=2"), site.seen() as seen:
            begun(site, "websocket.receive", attempt=2)
            (site.folder / "hold").unlink()
            assert json.loads(socket.recv(timeout=60))["attempt"] == 2
            socket.send("returns")
            assert json.loads(socket.recv(timeout=60))["how"] == "returns"
            assert [seen.take() for _ in range(2)] == [
                {"receive": "waits", "attempt": 2},
                {"receive": "returns", "attempt": 1},
            ]
            ids = [run.id for run in site.runs() if run.channel == "websocket.receive"]
            assert len(ids) == 3
            assert len(set(ids)) == 2


def test_a_disconnect_while_the_hub_is_away_is_told_to_the_next_one(site):
    with site.workers(), site.serve("--processes=2") as first:
        with connect(site.url("ends/")):
            first.process.kill()
            first.process.wait()
        with site.serve("--processes=2"), site.seen() as seen:
            assert seen.take()["disconnect"] == 1000


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_that_is_stopped_tells_each_disconnect(site, processes):
    with site.workers(), site.serve(f"--processes={processes}") as server, ExitStack() as sockets:
        for number in range(8):
            sockets.enter_context(connect(site.url(f"talk/{number}")))
        assert server.stop() == 0
        assert [run.channel for run in site.runs()].count("websocket.disconnect") == 8


# --- one of several servers is killed --------------------------------------------------------------------------------


def test_a_server_process_that_is_killed_takes_only_its_own_sockets(site):
    with site.serve("--processes=2") as parent, site.workers(), site.seen() as seen:
        sockets = [connect(site.url(f"talk/{number}")).__enter__() for number in range(8)]
        held = {child: [one for one in sockets if holds(child, one.local_address)] for child in children(parent.pid)}
        victim, survivor = sorted(held, key=lambda child: len(held[child]))
        seen.layer.send("work", {"how": "returns"})
        os.kill(victim, signal.SIGKILL)
        for socket in held[victim]:
            with pytest.raises(ConnectionClosedError):
                socket.recv(timeout=60)
        wait_until(lambda: len(seen.layer.group_channels("room-0")) == len(held[survivor]))
        seen.layer.send_group("room-0", {"text": "here"})
        assert [socket.recv(timeout=60) for socket in held[survivor]] == ["here"] * len(held[survivor])
        assert seen.take()["work"] == "returns"
        wait_until(lambda: len(children(parent.pid)) == 2 and not is_alive(victim), "a new server process")
        with connect(site.url("talk/1")) as socket:
            socket.send("0")
            assert json.loads(socket.recv(timeout=60))["number"] == 0
        for socket in sockets:
            socket.__exit__(None, None, None)
