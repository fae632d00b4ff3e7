"""`manage.py runserver`, as a program: what it prints, serves, and how it ends. `tests/devserver` has the reload."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.dev_project import FILES, SETTINGS, Project

DELAY = """
INSTALLED_APPS += ["fairway.delay"]
NAME = __file__.replace("settings.py", "db.sqlite3")
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": NAME, "OPTIONS": {"timeout": 20}}}
"""
DELAY_ROUTING = """
    from datetime import timedelta
    from django.urls import path
    from fairway import Channel
    def connect(message):
        message.reply_channel.send({"accept": True})
    def receive(message):
        delay = timedelta(milliseconds=int(message["text"]))
        Channel(message.reply_channel.name).send({"text": f"after {message['text']} ms"}, delay=delay)
    def consume(message):
        if message.channel.name in ("websocket.connect", "websocket.receive"):
            (connect if message.channel.name == "websocket.connect" else receive)(message)
    channel_routing = [path("echo/", consume)]
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def delaying(project):
    """A project that answers a number of milliseconds after as many."""
    project.write("settings.py", SETTINGS + DELAY)
    project.write("routing.py", DELAY_ROUTING)
    return project


def migrate(project):
    """Make the tables of a project."""
    command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
    subprocess.run(command, env={**os.environ, **project.environ()}, cwd=project.directory, check=True, timeout=60)


def test_one_process_serves_everything(project):
    with project.run("--noreload") as program:
        program.wait_for_output("Quit the server")
        assert project.get() == (200, "a page")
        assert project.get("/static/style.css") == (200, FILES["assets/style.css"])
        with pytest.raises(InvalidStatus) as refused:
            project.connect("/nowhere/")
        assert refused.value.response.status_code == 404
        with project.connect() as client:
            client.send("hi")
            assert client.recv(30) == "first hi"
            assert program.stop(signal.SIGINT) == 0
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(30)
        assert closed.value.rcvd.code == 1012
        output = program.output()
    assert "Performing system checks" in output
    assert "serves HTTP and WebSocket, with " in output
    assert f"development server at http://127.0.0.1:{project.port}/" in output  # "WSGI" before it since Django 6.1
    assert "HTTP GET / 200 [" in output
    assert "WebSocket CONNECT /echo/ [127.0.0.1:" in output
    assert "Not Found: '/nowhere/'" in output
    assert "Traceback" not in output


def test_sigterm_ends_it_as_gently(project):
    with project.run("--noreload") as program:
        program.wait_for_output("Quit the server")
        with project.connect() as client:
            assert program.stop(signal.SIGTERM) == 0
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(30)
    assert closed.value.rcvd.code == 1012


def test_options(project):
    project.write("settings.py", SETTINGS.replace("DEBUG = True", "DEBUG = False"))
    with project.run("--noreload", "--nothreading", "--multithreaded", "--insecure", "--http_timeout", "5") as program:
        program.wait_for_output("Quit the server")
        assert "with 1 worker thread\n" in program.output()
        assert project.get("/static/style.css")[0] == 200
    with project.run("--noreload", "--nostatic", "--noworker", "--websocket_handshake_timeout", "1") as program:
        program.wait_for_output("Quit the server")
        assert "with no worker threads\n" in program.output()
        assert "nobody will answer" in program.output()
        with pytest.raises(InvalidStatus) as refused:
            project.connect()
        assert refused.value.response.status_code == 504


def test_static_files_only_when_wanted(project):
    with project.run("--noreload", "--nostatic") as program:
        program.wait_for_output("Quit the server")
        assert project.get("/static/style.css")[0] == 404


@pytest.mark.parametrize("way", ["no setting", "no default", "--noasgi", "no extra", "no staticfiles"])
def test_plain_django(project, way):
    if way == "no setting":
        project.write("settings.py", SETTINGS + "\ndel CHANNEL_LAYERS")
    elif way == "no default":
        project.write("settings.py", SETTINGS + "\nCHANNEL_LAYERS['other'] = CHANNEL_LAYERS.pop('default')")
    elif way == "no extra":
        project.write("httptools.py", "raise ImportError('not installed')")
    elif way == "no staticfiles":
        bare = SETTINGS.replace(', "django.contrib.staticfiles"', "")
        project.write("settings.py", bare + "\ndel CHANNEL_LAYERS, STATIC_URL")
    with project.run("--noreload", *([way] if way.startswith("--") else [])) as program:
        program.wait_for_output("Quit the server")
        assert project.get() == (200, "a page")
        if way != "no staticfiles":
            assert project.get("/static/style.css")[0] == 200
        with pytest.raises(InvalidStatus) as refused:
            project.connect()
        assert refused.value.response.status_code == 404
        assert program.stop(signal.SIGINT) == 0
        assert "serves HTTP and WebSocket" not in program.output()
        reason = {
            "--noasgi": None,
            "no extra": "(not installed) needs an extra that is not installed: pip install 'fairway[server]'",
        }
        says = reason.get(way, "CHANNEL_LAYERS has no 'default'")
        assert ("WebSockets are not served" in program.output()) is (says is not None)
        assert says is None or says in program.output()


def test_fairway_without_staticfiles(project):
    bare = SETTINGS.replace(', "django.contrib.staticfiles"', "")
    project.write("settings.py", bare + "\ndel STATIC_URL")
    with project.run("--noreload") as program:
        program.wait_for_output("Quit the server")
        assert project.get() == (200, "a page")
        assert project.get("/static/style.css")[0] == 404


@pytest.mark.parametrize("options", [["--noreload"], []], ids=["one process", "reload"])
def test_delayed_messages_are_delivered(delaying, options):
    migrate(delaying)
    with delaying.run(*options) as program:
        program.wait_for_output("Delayed messages are delivered too")
        with delaying.connect() as client:
            client.send("50")
            assert client.recv(20) == "after 50 ms"
            if not options:
                client.send("1500")
                delaying.edit(program, "urls.py", FILES["urls.py"].replace("a page", "another page"))
                assert client.recv(40) == "after 1500 ms"
        assert program.stop(signal.SIGINT) == 0
        assert "Traceback" not in program.output()


def test_delayed_messages_wait_for_their_tables(delaying):
    with delaying.run("--noreload") as program:
        program.wait_for_output("run `manage.py migrate fairway_delay`, and start runserver again.")
        with delaying.connect() as client:
            client.send("50")


@pytest.mark.parametrize("options", [["--noreload"], []], ids=["one process", "reload"])
def test_a_port_in_use(project, options):
    with socket.create_server(("127.0.0.1", project.port)), project.run(*options) as program:
        program.wait_for_output("Error: That port is already in use.")
        assert program.process.wait(30) == 1


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("CHANNEL_LAYERS = ['default']", "fairway.E001"),
        ("CHANNEL_LAYERS['default']['BACKEND'] = 'no.such.Layer'", "fairway.E002"),
        ("CHANNEL_LAYERS['default']['ROUTING'] = 'no.such.routing'", "fairway.E004"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_served(project, setting, says):
    project.write("settings.py", SETTINGS + "\n" + setting)
    with project.run("--noreload") as program:
        program.wait_for_output(says)
        assert program.process.wait(30) == 1
        assert "Quit the server" not in program.output()
