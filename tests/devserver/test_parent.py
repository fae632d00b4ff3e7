"""`runserver` with autoreload, as a program: what sockets and requests notice of edits, errors, crashes and the end."""

import logging
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.dev_project import PATIENCE, SETTINGS, Project, is_running
from tests.support.processes import running
from tests.support.waiting import wait_until

READY = "Quit the server"
LOCAL = """
CHANNEL_LAYERS["default"] |= {"BACKEND": "fairway.layers.LocalLayer", "CONFIG": {"path": BASE + "/hub"}}
"""
ROUTING = """
    import os, pathlib, time
    from fairway import Group, route
    def wait_for(name):
        while not pathlib.Path(__file__).with_name(name).exists():
            time.sleep(0.01)
    def connect(message):
        Group("all").add(message.reply_channel)
        message.reply_channel.send({"accept": True})
    def receive(message):
        if message["text"] == "pid":
            message.reply_channel.send({"text": str(os.getpid())})
        elif message["text"] == "wait":
            pathlib.Path(__file__).with_name("began").touch()
            if message.attempt == 1:
                wait_for("never")
            message.reply_channel.send({"text": f"first attempt {message.attempt}"})
        else:
            message.reply_channel.send({"text": "first " + message["text"]})
    channel_routing = [route("websocket.connect", connect), route("websocket.receive", receive)]
"""
SECOND = ROUTING.replace("first", "second")
PID_PAGE = """
    import os
    from django.http import HttpResponse
    from django.urls import path
    urlpatterns = [path("", lambda request: HttpResponse(str(os.getpid())))]
"""
SLOW_EXIT = """
    import atexit
    def linger():
        pathlib.Path(__file__).with_name("exiting").touch()
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            time.sleep(0.01)
    atexit.register(linger)
"""
GATED = SECOND + "    wait_for('gate')\n"


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.write("routing.py", ROUTING)
    return project


@contextmanager
def conversation(project, *arguments):
    """Run it, with a client that has said something; nothing may have cut the socket at the end."""
    with project.run(*arguments) as program:
        program.wait_for_output(READY, PATIENCE)
        with project.connect() as client:
            assert ask(client, "hello") == "first hello"
            yield program, client


def ask(client, text):
    client.send(text)
    return client.recv(PATIENCE)


def children(program):
    return list(map(int, Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()))


def with_models(project, text=""):
    project.write("settings.py", SETTINGS.replace('"fairway",', '"fairway", "things",'))
    project.write("things/__init__.py", "")
    project.write("things/models.py", text)


def touch(project, name):
    (project.directory / name).touch()


def test_a_socket_stays_over_three_edits(project):
    with conversation(project) as (program, client):
        for word in ("second", "third", "fourth"):
            project.edit(program, "routing.py", ROUTING.replace("first", word))
            assert ask(client, "hello") == f"{word} hello"
        reloads = program.output().count("changed, reloading.")
        assert program.output().count("Starting development server") == 1 + reloads
        assert program.stop(signal.SIGINT) == 0
        assert "Traceback" not in program.output()


def test_what_arrives_during_a_reload_waits_and_is_answered_by_the_new_code_in_order(project, caplog):
    caplog.set_level(logging.DEBUG, "websockets.client")
    project.write("urls.py", PID_PAGE)
    with conversation(project) as (program, client), ThreadPoolExecutor() as threads:
        project.edit(program, "routing.py", GATED)
        caplog.clear()
        page = HTTPConnection("127.0.0.1", project.port, timeout=PATIENCE)
        page.request("GET", "/")
        handshake = threads.submit(project.connect)
        wait_until(lambda: "> GET /echo/" in caplog.text, "the handshake", PATIENCE)
        for number in range(20):
            client.send(str(number))
        assert not handshake.done()
        touch(project, "gate")
        assert [client.recv(PATIENCE) for _ in range(20)] == [f"second {number}" for number in range(20)]
        with handshake.result(PATIENCE) as other:
            assert ask(other, "hello") == "second hello"
            assert page.getresponse().read().decode() == ask(other, "pid")
        page.close()


@pytest.mark.parametrize("name", ["routing.py", "urls.py", "settings.py", "things/models.py"])
def test_a_syntax_error_is_shown_and_the_socket_stays(project, name):
    with_models(project)
    good = (project.directory / name).read_text()
    with conversation(project) as (program, client):
        project.edit(program, name, good + "\n)")
        program.wait_for_output("SyntaxError: unmatched ')'", PATIENCE)
        client.send("hello")
        if name == "settings.py":
            program.wait_for_output("it is tried again when a file changes", PATIENCE)
            project.write(name, good)
        else:
            project.edit(program, name, good)
        assert client.recv(PATIENCE) == "first hello"
        assert program.stop(signal.SIGINT) == 0


def test_code_that_is_broken_at_the_start_keeps_no_socket_from_staying_later(project):
    with_models(project, ")")
    with project.run() as program:
        program.wait_for_output("SyntaxError: unmatched ')'", PATIENCE)
        project.edit(program, "things/models.py", "")
        program.wait_for_output(READY, PATIENCE)
        with project.connect() as client:
            project.edit(program, "routing.py", SECOND)
            assert ask(client, "hello") == "second hello"


def test_settings_that_are_wrong_at_the_start_keep_no_socket_from_staying_later(project):
    project.write("settings.py", SETTINGS.replace("MemoryLayer", "NoSuchLayer"))
    with project.run() as program:
        program.wait_for_output("fairway.E002", PATIENCE)
        project.edit(program, "settings.py", SETTINGS)
        program.wait_for_output(READY, PATIENCE)
        with project.connect() as client:
            project.edit(program, "routing.py", SECOND)
            assert ask(client, "hello") == "second hello"
            pid = int(ask(client, "pid"))
            assert interrupt(program) == 0
            wait_until(lambda: not is_running(pid), "the end of the child", PATIENCE)


def test_a_consumer_that_runs_on_is_delivered_again(project):
    with conversation(project) as (program, client):
        client.send("wait")
        wait_until((project.directory / "began").exists, "the consumer", PATIENCE)
        project.edit(program, "routing.py", SECOND)
        assert client.recv(PATIENCE) == "second attempt 2"
        assert "still run; their messages are delivered again: " in program.output()


def test_a_child_that_is_killed_is_replaced(project):
    with conversation(project) as (program, client):
        pid = int(ask(client, "pid"))
        client.send("wait")
        wait_until((project.directory / "began").exists, "the consumer", PATIENCE)
        os.kill(pid, signal.SIGKILL)
        assert client.recv(PATIENCE) == "first attempt 2"
        assert int(ask(client, "pid")) != pid
        assert "died (SIGKILL)" in program.output()


def test_a_child_without_a_parent_ends(project):
    with conversation(project) as (program, client):
        pid = int(ask(client, "pid"))
        program.stop(signal.SIGKILL)
        wait_until(lambda: not is_running(pid), "the end of the child", PATIENCE)


def test_a_child_with_broken_code_ends_without_its_parent_too(project):
    with_models(project)
    with conversation(project) as (program, _):
        project.edit(program, "things/models.py", ")")
        program.wait_for_output("SyntaxError: unmatched ')'", PATIENCE)
        (pid,) = children(program)
        program.stop(signal.SIGKILL)
        wait_until(lambda: not is_running(pid), "the end of the child", PATIENCE)


def interrupt(program):
    """Do what a terminal does at Ctrl-C."""
    os.killpg(program.pid, signal.SIGINT)
    return program.process.wait(PATIENCE)


def terminate(program):
    return program.stop(signal.SIGTERM)


@pytest.mark.parametrize("end", [interrupt, terminate])
@pytest.mark.parametrize("moment", ["at work", "starting", "stopping", "exiting", "broken"])
def test_it_ends_quietly(project, moment, end):
    if moment == "exiting":
        project.write("routing.py", ROUTING + SLOW_EXIT)
    with conversation(project) as (program, client):
        pid = int(ask(client, "pid"))
        if moment == "starting":
            project.edit(program, "routing.py", GATED)
        elif moment == "exiting":
            project.begin_edit(program, "routing.py", GATED)
            wait_until((project.directory / "exiting").exists, "the exit", PATIENCE)
        elif moment == "stopping":
            client.send("wait")
            wait_until((project.directory / "began").exists, "the consumer", PATIENCE)
            project.begin_edit(program, "routing.py", SECOND)
        elif moment == "broken":
            project.edit(program, "settings.py", ")")
            program.wait_for_output("it is tried again when a file changes", PATIENCE)
        before = len(program.output())
        assert end(program) == 0
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
        assert closed.value.rcvd.code == 1012
        wait_until(lambda: not is_running(pid), "the end of the child", PATIENCE)
        assert "Traceback" not in program.output()[before:]


def test_a_second_signal_ends_it_at_once(project):
    with conversation(project) as (program, client):
        client.send("wait")
        wait_until((project.directory / "began").exists, "the consumer", PATIENCE)
        program.process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(PATIENCE) in (0, 128 + signal.SIGTERM)


def with_hub(project):
    project.write("settings.py", f"{SETTINGS}\nBASE = {str(project.directory)!r}\n{LOCAL}")


@pytest.mark.parametrize("options", [[], ["--noreload"]], ids=["reload", "one process"])
def test_other_processes_reach_the_hub(project, options):
    with_hub(project)
    with conversation(project, *options) as (program, client):
        code = "from fairway import Group; Group('all').send({'text': 'from the shell'})"
        command = [sys.executable, "-m", "django", "shell", "-c", code]
        subprocess.run(command, env={**os.environ, **project.environ()}, check=True, timeout=PATIENCE)
        assert client.recv(PATIENCE) == "from the shell"
        assert program.stop(signal.SIGINT) == 0
    assert not (project.directory / "hub").exists()


@pytest.mark.parametrize("options", [[], ["--noreload"]], ids=["reload", "one process"])
def test_a_hub_that_lives_is_left_alone(project, options):
    with_hub(project)
    with conversation(project):
        second = Project(project.directory)
        second.write("routing.py", ROUTING)
        with_hub(second)
        with second.run(*options) as program:
            program.wait_for_output("another hub lives at", PATIENCE)
            assert program.process.wait(PATIENCE) == 1
            assert "runworker --reload" in program.output()
            assert "Traceback" not in program.output()


def test_without_workers_there_is_no_child(project):
    with_hub(project)
    with project.run("--noworker") as program:
        program.wait_for_output(READY, PATIENCE)
        assert children(program) == []
        assert "nobody will answer" not in program.output()


def test_settings_that_the_server_has_read_are_told_of(project):
    with conversation(project) as (program, client):
        project.edit(program, "settings.py", SETTINGS + "\nFORCE_SCRIPT_NAME = '/shop'")
        program.wait_for_output("FORCE_SCRIPT_NAME has changed.", PATIENCE)
        assert ask(client, "hello") == "first hello"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_file_is_left(project, tmp_path, monkeypatch, number):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with conversation(project) as (program, _):
        program.stop(number)
        wait_until(lambda: list(folder.iterdir()) == [], "the end of the folder", PATIENCE)


def test_it_serves_an_ipv6_address(project):
    command = [sys.executable, "-m", "django", "runserver", f"[::1]:{project.port}"]
    with running(command, env=project.environ(), cwd=project.directory) as program:
        program.wait_for_output(f"http://[::1]:{project.port}/", PATIENCE)
        with urlopen(f"http://[::1]:{project.port}/", timeout=PATIENCE) as response:
            assert response.read() == b"a page"
