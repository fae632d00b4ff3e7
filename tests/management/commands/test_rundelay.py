"""`manage.py rundelay`, as a program beside a hub: how it starts, what it refuses, how it is told to stop."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from fairway.conf import channel_layers
from fairway.delay.limits import DelayLimits
from fairway.layers.codec import decode_message
from fairway.management.commands import rundelay
from tests.support.hubs import HubThread
from tests.support.processes import running
from tests.support.waiting import wait_until

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["fairway", "fairway.delay"]
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": __file__.replace("settings.py", "db")}}
CHANNEL_LAYERS = {
    "default": {"URL": "local://" + __file__.replace("settings.py", "h"), "ROUTING": []},
    "memory": {"URL": "memory://", "ROUTING": []},
}
"""
SLOW_ROUTER = """
import pathlib, time

HERE = pathlib.Path(__file__).parent

class Router:
    def db_for_write(self, model, **hints):
        while (HERE / "hold").exists():
            (HERE / "held").touch()
            time.sleep(0.01)
"""
WAIT = 60


class Project:
    """A Django project whose delay servers are programs of their own, and the hub that they read from."""

    def __init__(self, directory, hub):
        self.directory = directory
        self.layer = hub.layer
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(directory / "notify"))
        self.told.settimeout(WAIT)
        (directory / "settings.py").write_text(SETTINGS)

    def run(self, *arguments, **env):
        flags = ["-W", "error", "-W", "ignore::ResourceWarning"]
        command = [sys.executable, *flags, "-m", "django", *arguments]
        found = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(self.directory), **env}
        return running(command, env={"NOTIFY_SOCKET": str(self.directory / "notify"), **found}, cwd=self.directory)

    def migrate(self):
        with self.run("migrate", "--verbosity=0") as program:
            assert program.process.wait(WAIT) == 0, program.output()

    def wait_told(self, text):
        """Wait until a delay server has told systemd `text`."""
        told = ""
        while text not in told:
            told = self.told.recv(4096).decode()
        return told

    def ask(self, n, delay):
        self.layer.send("asgi.delay", {"channel": "reports", "content": {"n": n}, "delay": delay})


@pytest.fixture
def project():
    """In a folder with a short name: the path of a Unix socket may not be long."""
    with tempfile.TemporaryDirectory(prefix="fairway-") as name, HubThread(Path(name) / "h") as hub:
        project = Project(Path(name), hub)
        yield project
        project.told.close()


def test_a_message_survives_the_death_of_its_server_and_is_delivered_by_the_next(project):
    project.migrate()
    reader = project.layer.reader(["reports"])
    with project.run("rundelay") as program:
        project.wait_told("READY=1")
        project.ask(1, 1000)
        wait_until(lambda: project.layer.statistics().committed, "the acknowledgement")
        program.process.send_signal(signal.SIGKILL)
        assert program.process.wait(WAIT) == -signal.SIGKILL
    with project.run("rundelay"):
        delivery = reader.receive(WAIT)
        assert delivery is not None
        assert decode_message(delivery.body) == {"n": 1}


def test_it_stops_at_a_signal_and_says_what_it_does(project):
    project.migrate()
    with project.run("rundelay") as program:
        project.wait_told("READY=1")
        assert program.stop() == 0
        output = program.output()
    assert f"delay server, process {program.pid}: layer 'default' (local://{project.directory}/h)" in output
    assert f"delay[{program.pid}]: messages that wait for their time: 0" in output
    assert "stopping: SIGTERM" in output
    assert output.endswith("stopped\n")


def test_a_second_signal_ends_it_at_once(project):
    project.migrate()
    (project.directory / "slow.py").write_text(SLOW_ROUTER)
    with (project.directory / "settings.py").open("a") as settings:
        settings.write('DATABASE_ROUTERS = ["slow.Router"]')
    with project.run("rundelay") as program:
        project.wait_told("READY=1")
        (project.directory / "hold").touch()
        project.ask(1, 1)
        wait_until((project.directory / "held").exists, "the request")
        program.process.send_signal(signal.SIGTERM)
        program.wait_for_output("stopping: SIGTERM")
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(WAIT) == 128 + signal.SIGTERM
        assert "SIGTERM again" in program.output()


def test_it_ends_with_its_supervisor(project):
    project.migrate()
    ours, theirs = socket.socketpair()
    environ = {"FAIRWAY_NOTIFY_FD": str(theirs.fileno()), "DJANGO_SETTINGS_MODULE": "settings"}
    command = [sys.executable, "-m", "django", "rundelay"]
    environ = {**os.environ, **environ, "PYTHONPATH": str(project.directory)}
    with ours, subprocess.Popen(command, env=environ, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as process:
        theirs.close()
        ours.settimeout(WAIT)
        told = b""
        while b"READY=1" not in told:
            told += ours.recv(4096)
        ours.close()
        assert process.wait(WAIT) == 0
        assert process.stderr is not None
        assert b"stopping: the supervisor is gone" in process.stderr.read()


def test_it_refuses_a_database_without_the_table(project):
    with project.run("rundelay") as program:
        assert program.process.wait(WAIT) == 1
        assert "run `manage.py migrate fairway_delay`" in program.output()


def test_it_refuses_a_layer_of_one_process(project):
    with project.run("rundelay", "--layer=memory") as program:
        assert program.process.wait(WAIT) == 1
        assert "lives in one process" in program.output()


def test_it_refuses_a_project_without_the_app(settings):
    settings.INSTALLED_APPS = ["fairway"]
    with pytest.raises(CommandError, match=r"INSTALLED_APPS has no 'fairway\.delay'; add it, and run"):
        call_command(rundelay.Command())


@pytest.mark.parametrize(("text", "reason"), [("0", "must be a whole number"), ("10001", "is too large a batch")])
def test_a_batch_has_bounds(text, reason):
    with pytest.raises(CommandError, match=reason):
        call_command(rundelay.Command(), f"--batch={text}")


def test_the_options_reach_the_server(project, settings, monkeypatch):
    """A process that dies at once tells with which limits."""
    found = []

    class Server:
        def __init__(self, layer, alias, limits):
            found.append((alias, limits))
            raise KeyboardInterrupt

    settings.CHANNEL_LAYERS = {"other": {"URL": f"local://{project.directory}/h", "ROUTING": []}}
    monkeypatch.setattr("fairway.delay.server.DelayServer", Server)
    monkeypatch.setattr(rundelay, "_why_not_migrated", str)
    with pytest.raises(KeyboardInterrupt):
        call_command(rundelay.Command(), "--layer=other", "--batch=7", verbosity=0)
    channel_layers.clear()
    assert found == [("other", DelayLimits(batch=7))]
