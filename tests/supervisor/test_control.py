"""The control socket: who may talk, what is answered, and that nobody can make it wait."""

import asyncio
import json
import socket

import pytest

from fairway.errors import LayerUnavailable
from fairway.supervisor import control
from fairway.supervisor.control import ControlServer, ask, control_path

pytestmark = pytest.mark.usefixtures("loop_factory")


async def echo(say):
    say("working")
    return {"ok": True, "answer": 42}


@pytest.fixture
def path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("c") / "x.ctl")


async def asked(path, command="echo"):
    return await asyncio.to_thread(lambda: list(ask(path, command, 5)))


async def raw(path, data):
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def test_it_is_beside_the_hub_or_where_the_projects_hub_would_be(monkeypatch):
    monkeypatch.setattr(control, "default_path", lambda: "/run/own")
    found = [control_path(layer) for layer in ("local:///a/b?mode=0660", "redis://here", None)]
    assert found == ["/a/b.ctl", "/run/own.ctl", "/run/own.ctl"]
    assert control_path("local://").endswith(".sock.ctl")


async def test_an_answer(path):
    server = ControlServer(path, {"echo": echo})
    await server.start()
    assert await asked(path) == [{"log": "working"}, {"ok": True, "answer": 42}]
    await server.stop()
    await server.stop()
    with pytest.raises(FileNotFoundError):
        await asked(path)


@pytest.mark.parametrize("data", [b'{"command": "other"}\n', b"nonsense\n", b"[]\n", b'"x"\n', b"\xff\n"])
async def test_nonsense_is_answered_with_what_there_is(path, data):
    server = ControlServer(path, {"echo": echo})
    await server.start()
    answer = json.loads(await raw(path, data))
    assert answer == {"ok": False, "error": "the commands here are: echo"}
    await server.stop()


async def test_a_server_that_runs_alone_tells_where_its_workers_are(path):
    server = ControlServer(path, {"echo": echo, "reload": control.refuse_reload})
    await server.start()
    (answer,) = await asked(path, "reload")
    assert answer["ok"] is False
    assert "whose workers (`manage.py runworker`) are apart" in answer["error"]
    await server.stop()


async def test_a_line_without_an_end_is_not_kept(path):
    server = ControlServer(path, {"echo": echo})
    await server.start()
    await raw(path, b"x" * 3_000_000)
    assert (await asked(path))[-1]["ok"]
    await server.stop()


async def test_a_caller_who_says_nothing_is_cut_off(path, monkeypatch):
    monkeypatch.setattr(control, "REQUEST_TIMEOUT", 0.05)
    server = ControlServer(path, {"echo": echo})
    await server.start()
    assert await raw(path, b"") == b""
    await server.stop()


async def test_too_many_callers(path, monkeypatch):
    monkeypatch.setattr(control, "CALLERS", 0)
    server = ControlServer(path, {"echo": echo})
    await server.start()
    assert await raw(path, b"") == b""
    await server.stop()


async def test_a_stop_leaves_nobody_waiting(path):
    begun = asyncio.Event()

    async def endless(say):
        begun.set()
        await asyncio.Event().wait()

    server = ControlServer(path, {"endless": endless})
    await server.start()
    waiting = asyncio.create_task(asked(path, "endless"))
    await asyncio.wait_for(begun.wait(), 10)
    await server.stop()
    with pytest.raises(ConnectionError, match="breaks off"):
        await waiting


async def test_the_socket_of_a_dead_process_is_replaced_and_one_of_a_living_is_not(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server = ControlServer(path, {"echo": echo})
    await server.start()
    with pytest.raises(LayerUnavailable, match="another process answers"):
        await ControlServer(path, {}).start()
    assert (await asked(path))[-1]["ok"]
    await server.stop()


async def test_a_socket_that_cannot_be_made():
    with pytest.raises(LayerUnavailable, match="its folder must be writable"):
        await ControlServer("/nonexistent/x.ctl", {}).start()


async def test_a_second_name(path, tmp_path):
    alias = tmp_path / "alias"
    alias.symlink_to("/somewhere/old")
    server = ControlServer(path, {"echo": echo}, str(alias))
    await server.start()
    assert (await asked(str(alias)))[-1]["ok"]
    await server.stop()
    assert not alias.is_symlink()


async def test_a_second_name_that_somebody_has(path, tmp_path):
    alias = tmp_path / "alias"
    alias.touch()
    server = ControlServer(path, {"echo": echo}, str(alias))
    await server.start()
    await server.stop()
    assert alias.exists()


async def test_the_second_name_may_be_the_first(path):
    server = ControlServer(path, {"echo": echo}, path)
    await server.start()
    assert (await asked(path))[-1]["ok"]
    await server.stop()
