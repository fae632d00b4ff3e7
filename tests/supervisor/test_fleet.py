"""`fairway serve --processes 2`: shared ports, restarts, a drain, and a parent that is killed."""

import os
import signal
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fairway.supervisor.fleet import sum_up
from tests.supervisor.running import get, is_alive, wait_gone
from tests.support.processes import free_port
from tests.support.waiting import wait_until

READY = "in 2 processes"


def talk(client, text):
    client.send(text)
    return client.recv(20)


def children(project):
    return {one["name"]: one for one in project.status()["processes"]}


def test_two_processes_serve_and_drain(project):
    with project.serve("--processes=2", ready=READY) as server, project.worker(), ExitStack() as stack:
        clients = [stack.enter_context(connect(project.ws)) for _ in range(8)]
        assert [talk(client, "hi") for client in clients] == ["one hi"] * 8
        wait_until(lambda: project.status()["server"]["connections"]["websocket"] == 8, "their reports")
        each = children(project)
        assert list(each) == ["server-1", "server-2"]
        assert sum(one["connections"] for one in each.values()) == 8
        assert project.status()["ready"]
        server.process.terminate()
        codes = []
        for client in clients:
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(20)
            codes.append(closed.value.rcvd.code)
        assert codes == [1012] * 8
        assert server.process.wait(60) == 0
    assert not any(is_alive(one["pid"]) for one in each.values())


def test_a_child_that_dies_is_started_again(project):
    with project.serve("--processes=2", ready=READY) as server, project.worker():
        victim = children(project)["server-1"]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: children(project)["server-1"]["restarts"] == 1 and project.status()["ready"], "a new child")
        # Some of these reach the socket of the one that died.
        assert [project.get() for _ in range(10)] == [(200, "one")] * 10
        assert "server-1 ended" in server.output()


def test_the_admin_endpoint_sums_up(project):
    port = free_port()
    with project.serve("--processes=2", f"--admin-bind=127.0.0.1:{port}", ready=READY), project.worker():
        assert get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        for _ in range(3):
            project.get()
        wait_until(lambda: "fairway_requests_total 3" in get(f"http://127.0.0.1:{port}/metrics")[1], "a sum of three")


def test_the_access_logs_of_children_are_opened_anew(project):
    log = project.folder / "access.log"
    with project.serve("--processes=2", f"--access-log={log}", ready=READY) as server, project.worker():
        project.get()
        wait_until(log.read_text, "a line")
        log.rename(log.with_suffix(".1"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "a new file")


def test_a_killed_parent_closes_no_socket_and_its_children_leave_to_the_next(project):
    web = f"--bind=unix:{project.folder}/web.sock"
    with project.serve("--processes=2", web, ready=READY) as first, project.worker(), ExitStack() as stack:
        clients = [stack.enter_context(connect(project.ws)) for _ in range(6)]
        pids = [one["pid"] for one in children(project).values()]
        first.process.kill()
        first.process.wait()
        wait_until(lambda: first.output().count("the parent process is gone") == 2, "a line of each child")
        with project.serve("--processes=2", web, ready=READY):
            wait_until(lambda: first.output().count("a new server has taken over") == 2, "both to leave", 20)
            assert [talk(client, "hi") for client in clients] == ["one hi"] * 6
            with connect(project.ws) as fresh:
                assert talk(fresh, "new") == "one new"
            assert all(is_alive(pid) for pid in pids)
            for client in clients:
                client.close()
            for pid in pids:
                wait_gone(pid)


def test_a_second_signal_kills_the_children(project):
    options = ("--processes=2", "--drain=60")
    with project.serve(*options, ready=READY) as server, project.worker(), ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connect(project.ws))
        pids = [one["pid"] for one in children(project).values()]
        server.process.terminate()
        server.wait_for_output("closing")
        server.process.terminate()
        assert server.process.wait(60) == 128 + signal.SIGTERM
        for pid in pids:
            wait_gone(pid)


def test_sums():
    reports = [{"a": 1, "b": {"x": 1}, "c": "words", "d": True}, {"a": 2.5, "b": {"x": 1, "y": 2}}]
    assert sum_up(reports) == {"a": 3.5, "b": {"x": 2, "y": 2}}
    assert sum_up([]) == {}
