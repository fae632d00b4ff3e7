"""What `fairway status` and `fairway reload` show, and their exit codes, against a control socket that answers so."""

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest

from fairway.supervisor import status
from fairway.supervisor.control import ControlServer
from fairway.supervisor.status import FAILED, NOT_RUNNING, OK, format_time, render, run_reload, run_status

LAYER = {"delivered": 12, "committed": 10, "dead_letters": 0, "waiting": {"http.request": 2, "work": 0}}
STATUS = {
    "ok": True,
    "program": "up",
    "version": "1.0",
    "pid": 7,
    "ready": True,
    "uptime": 3700.0,
    "layer": "local:///run/a.sock",
    "server": {"connections": {"http": 1, "websocket": 40}, "layer": LAYER},
    "processes": [
        {"name": "server", "pid": 8, "state": "ready", "restarts": 0, "uptime": 3699.0, "status": "", "connections": 41}
    ],
    "workers": [
        {"name": "worker-1", "pid": None, "state": "pausing", "restarts": 3, "uptime": 0.5, "status": "working"}
    ],
}


@pytest.fixture
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("s") / "a.sock"


@contextmanager
def answering(path, answer, *lines):
    """A control socket that answers everything with this."""
    started, ended = threading.Event(), threading.Event()

    async def command(say):
        for line in lines:
            say(line)
        return answer

    async def main():
        server = ControlServer(f"{path}.ctl", {"status": command, "reload": command})
        await server.start()
        started.set()
        await asyncio.to_thread(ended.wait)
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert started.wait(10)
    yield f"local://{path}"
    ended.set()
    thread.join()


def test_the_table():
    assert render(STATUS).splitlines() == [
        "fairway up 1.0, process 7, up 1h 1m: ready",
        "layer    local:///run/a.sock",
        "open     1 http, 40 websocket",
        "messages 12 delivered, 10 done; waiting: 2 in http.request",
        "",
        "name      process  state    restarts  up     connections  doing",
        "server    8        ready    0         1h 1m  41",
        "worker-1  -        pausing  3         0s                  working",
    ]


def test_a_hub_that_other_hosts_reach_is_shown():
    hub = {"listening": ["tcp+tls://0.0.0.0:7400"], "lines": 3, "refused": 2}
    text = render({**STATUS, "server": {**STATUS["server"], "hub": hub}})
    assert "hub      open to other hosts at tcp+tls://0.0.0.0:7400; 3 lines, 2 refused" in text


@pytest.mark.parametrize(("up", "state"), [(True, "there"), (False, "AWAY")])
def test_an_upstream_is_shown(up, state):
    upstream = {"up": up, "forwarded": 7, "waiting_bytes": 0, "dropped": 2}
    text = render({**STATUS, "server": {**STATUS["server"], "layer": {**LAYER, "upstream": upstream}}})
    assert f"upstream {state}; 7 forwarded, 2 dropped" in text


def test_trouble_is_seen():
    layer = {**LAYER, "waiting": {}, "dead_letters": 4}
    text = render({**STATUS, "ready": False, "server": {"layer": layer}})
    assert "NOT READY" in text
    assert "waiting: nothing" in text
    assert "dead     4 letters; see `manage.py deadletters`" in text
    assert "open" not in render({**STATUS, "server": {}})
    assert "workers" not in text
    assert "workers  none is connected" in render({**STATUS, "server": {"layer": {**LAYER, "sessions": 0}}})


@pytest.mark.parametrize(("ready", "code"), [(True, OK), (False, FAILED)])
def test_its_exit_code_says_whether_all_is_ready(path, capsys, ready, code):
    with answering(path, {**STATUS, "ready": ready}) as layer:
        assert run_status(layer, as_json=False) == code
        assert capsys.readouterr().out.startswith("fairway up 1.0")
        assert run_status(layer, as_json=True) == code
        assert json.loads(capsys.readouterr().out)["workers"] == STATUS["workers"]


def test_a_reload_tells_what_happens(path, capsys):
    with answering(path, {"ok": True}, "starting", "done") as layer:
        assert run_reload(layer, -1) == OK
    assert capsys.readouterr().out == "starting\ndone\n"


def test_a_reload_that_fails(path, capsys):
    with answering(path, {"ok": False, "error": "broken"}) as layer:
        assert run_reload(layer, 10) == FAILED
    assert capsys.readouterr().err == "fairway reload: broken\n"


def test_nothing_runs(path, capsys):
    layer = f"local://{path}"
    assert run_status(layer, as_json=False) == run_reload(layer, -1) == NOT_RUNNING
    assert capsys.readouterr().err.count(f"nobody answers at {path}.ctl") == 2
    assert run_status(layer, as_json=True) == NOT_RUNNING
    assert json.loads(capsys.readouterr().out) == {"ok": False, "error": "nothing runs", "path": f"{path}.ctl"}


def test_no_answer(path, capsys):
    with answering(path, {"ok": True, "nonsense": "x" * 2_000_000}) as layer:
        assert run_status(layer, as_json=False) == run_reload(layer, -1) == FAILED
    assert capsys.readouterr().err.count(f"no answer from {path}.ctl: ") == 2


def test_another_user_is_told_what_to_do(monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    # For root, nothing is refused.
    monkeypatch.setattr(status, "ask", refuse)
    assert run_status("local:///run/a.sock", as_json=False) == FAILED
    complaint = "no answer from /run/a.sock.ctl: Permission denied; run this as the user that runs the server\n"
    assert capsys.readouterr().err == complaint


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0s"), (61, "1m 1s"), (3600, "1h 0m"), (90061, "1d 1h")])
def test_times(seconds, text):
    assert format_time(seconds) == text
