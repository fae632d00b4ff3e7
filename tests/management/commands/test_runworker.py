"""`manage.py runworker`, as a program beside a hub: what it takes, how it is told to stop, what it leaves behind."""

import json
import os
import re
import signal
import socket
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from fairway.conf import channel_layers
from fairway.http.consumers import ViewConsumer
from fairway.http.static import StaticFilesConsumer
from fairway.layers.codec import decode_message
from fairway.management.commands import runworker
from tests.support.hubs import HubThread
from tests.support.processes import running
from tests.support.waiting import wait_until

SETTINGS = """
SECRET_KEY = "x"
DEBUG = False
INSTALLED_APPS = ["fairway"]
ROOT_URLCONF = "urls"
USE_TZ = True
HUB = __file__.replace("settings.py", "hub.sock")
CHANNEL_LAYERS = {
    "default": {"BACKEND": "fairway.layers.LocalLayer", "CONFIG": {"path": HUB}, "ROUTING": "routing.channel_routing"},
}
"""
WAIT = 30
"""Seconds, for machines that do much else meanwhile."""

FILES = {
    "settings.py": SETTINGS,
    "urls.py": "urlpatterns = []",
    "routing.py": """
        import asyncio, os, pathlib, time
        from fairway import Channel, route

        GO = pathlib.Path(__file__).with_name("go")

        def done(message, what="done"):
            Channel(what).send({"n": message["n"], "pid": os.getpid(), "attempt": message.attempt}, what == "begun")

        def wait(message):
            done(message, "begun")
            while not GO.exists():
                time.sleep(0.01)
            done(message)

        async def await_(message):
            done(message, "begun")
            while not GO.exists():
                await asyncio.sleep(0.01)
            done(message)

        channel_routing = [route("work", done), route("wait", wait), route("await", await_)]
    """,
}


class Project:
    """A Django project whose workers are programs of their own, and the hub that they read from."""

    def __init__(self, directory, hub):
        self.directory = directory
        self.hub = hub
        self.layer = hub.layer
        self.begun, self.done = (self.layer.reader([name]) for name in ("begun", "done"))
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(directory / "notify"))
        self.told.settimeout(WAIT)
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text=""):
        (self.directory / name).write_text(dedent(text))

    def run(self, *arguments, **env):
        flags = ["-W", "error", "-W", "ignore::ResourceWarning"]
        command = [sys.executable, *flags, "-m", "django", "runworker", "--threads=2", *arguments]
        found = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(self.directory), **env}
        return running(command, env={"NOTIFY_SOCKET": str(self.directory / "notify"), **found}, cwd=self.directory)

    def wait_told(self, text):
        """Wait until a worker has told systemd `text`."""
        told = ""
        while text not in told:
            told = self.told.recv(4096).decode()
        return told

    def send(self, channel, *numbers):
        for number in numbers:
            self.layer.send(channel, {"n": number})

    def take(self, reader):
        delivery = reader.receive(WAIT)
        assert delivery is not None
        reader.commit(delivery)
        return decode_message(delivery.body)

    def take_all(self, reader, count):
        return [self.take(reader) for _ in range(count)]


@pytest.fixture
def project():
    # A Unix socket has room for a short path only, and `tmp_path` holds the name of the test.
    with tempfile.TemporaryDirectory(prefix="fairway-") as name, HubThread(Path(name) / "hub.sock") as hub:
        project = Project(Path(name), hub)
        yield project
        project.told.close()


def test_it_says_what_it_does_and_does_it(project):
    with project.run() as worker:
        project.wait_told("READY=1")
        project.send("work", *range(5))
        assert sorted(done["n"] for done in project.take_all(project.done, 5)) == list(range(5))
        assert worker.stop(signal.SIGINT) == 0
        project.wait_told("STOPPING=1")
        output = worker.output()
    assert f"process {worker.pid}: layer 'default' (local://{project.hub.path}), 2 threads, 100 coroutines" in output
    assert "channels: await, http.request, wait, websocket.connect, " in output
    assert "stopping: SIGINT" in output


@pytest.mark.parametrize("channel", ["wait", "await"])
def test_sigterm_under_load_finishes_what_runs_and_gives_the_rest_back(project, channel):
    with project.run("--coroutines=2", "--grace=20") as worker:
        project.send(channel, *range(30))
        project.take_all(project.begun, 2)
        worker.process.send_signal(signal.SIGTERM)
        status = project.wait_told("STATUS=stopping, waiting for ")
        assert wait_until(lambda: project.layer.statistics().channels[channel].waiting == 28)
        project.write("go")
        assert worker.process.wait(WAIT) == 0
        output = worker.output()
    assert f"waiting for channel {channel}, message " in status
    assert re.search(
        rf"waiting for channel {channel}, message \S+, attempt 1, for \d s in (fairway-w|the event)", output
    )
    assert {done["attempt"] for done in project.take_all(project.done, 2)} == {1}
    rest = project.layer.reader([channel])
    assert {rest.receive(5).envelope.attempt for _ in range(28)} == {1}


def test_a_second_signal_leaves_at_once(project):
    with project.run("--grace=60") as worker:
        project.send("wait", 1)
        project.take(project.begun)
        worker.process.send_signal(signal.SIGTERM)
        project.wait_told("STOPPING=1")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(WAIT) == 128 + signal.SIGTERM
        assert "SIGTERM again: leaving at once" in worker.output()
    assert project.layer.reader(["wait"]).receive(5).envelope.attempt == 2


def test_what_outlasts_the_grace_is_delivered_again(project):
    with project.run("--grace=0.1") as worker:
        project.send("wait", 1)
        project.take(project.begun)
        assert worker.stop() == 1
        assert "their messages are delivered again" in worker.output()
    assert project.layer.reader(["wait"]).receive(5).envelope.attempt == 2


def test_a_thread_over_the_time_limit_ends_its_process(project):
    with project.run("--time-limit=0.5") as worker:
        project.send("wait", 1)
        project.take(project.begun)
        assert worker.process.wait(WAIT) == 0
        output = worker.output()
    assert "over the time limit of 0.5 s: channel wait, message " in output
    assert 'routing.py", line ' in output
    assert ", in wait\n" in output
    assert project.layer.reader(["wait"]).receive(5).envelope.attempt == 2


def test_a_coroutine_over_the_time_limit_fails_and_the_process_goes_on(project):
    with project.run("--time-limit=0.5") as worker:
        project.send("await", 1)
        project.take(project.begun)
        worker.wait_for_output("longer than its time limit")
        project.send("work", 2)
        assert project.take(project.done)["n"] == 2
        assert worker.stop() == 0
    assert "await" not in project.layer.statistics().channels, "it was acknowledged"


def test_coroutines_that_wait_do_not_hold_up_blocking_consumers(project):
    with project.run("--coroutines=10") as worker:
        project.send("await", *range(500))
        project.take_all(project.begun, 10)
        project.send("work", *range(20))
        assert sorted(done["n"] for done in project.take_all(project.done, 20)) == list(range(20))
        project.write("go")
        done = project.take_all(project.done, 500)
        assert sorted(each["n"] for each in done) == list(range(500))
        assert {each["attempt"] for each in done} == {1}
        assert worker.stop() == 0


def test_sigterm_while_the_hub_is_away(project):
    project.write("settings.py", SETTINGS.replace("hub.sock", "no.sock"))
    with project.run() as worker:
        project.wait_told("STATUS=waiting for the layer")
        assert worker.stop() == 0
        assert "READY" not in worker.output()


def test_sigterm_while_the_hub_has_gone(project):
    with project.run() as worker:
        project.wait_told("READY=1")
        project.hub.stop()
        assert worker.stop() == 0
        assert "Traceback" not in worker.output()


def test_sigterm_while_the_hub_has_gone_and_a_consumer_runs(project):
    with project.run() as worker:
        project.send("wait", 1)
        project.take(project.begun)
        project.hub.stop()
        worker.process.send_signal(signal.SIGTERM)
        project.wait_told("STOPPING=1")
        project.write("go")
        assert worker.process.wait(WAIT) == 0
        assert "not committed, another worker has it now: channel wait" in worker.output()


def test_it_goes_on_when_the_hub_comes_back(project):
    with project.run() as worker:
        project.wait_told("READY=1")
        project.hub.stop()
        project.hub.start()
        done = project.hub.layer.reader(["done"])
        project.hub.layer.send("work", {"n": 1})
        assert project.take(done)["n"] == 1
        assert worker.stop() == 0


def test_processes_are_replaced_after_messages_enough(project):
    with project.run("--processes=2", "--max-messages=10") as keeper:
        project.wait_told("READY=1")
        pids = set()
        for number in range(200):
            project.send("work", number)
            done = project.take(project.done)
            pids.add(done["pid"])
            assert (done["n"], done["attempt"]) == (number, 1)
        assert keeper.stop() == 0
        assert "2 worker processes, kept running" in keeper.output()
        assert "messages, of at most 10 and up to a tenth more" in keeper.output()
    assert len(pids) > 3
    assert keeper.pid not in pids


def test_a_process_with_memory_enough_is_replaced(project):
    with project.run("--max-memory=1") as worker:
        assert worker.process.wait(WAIT) == 0
        assert "MiB of memory, of at most 1 MiB" in worker.output()


def test_a_killed_worker_is_started_again(project):
    with project.run("--processes=2") as keeper:
        project.wait_told("READY=1")
        project.send("work", 1)
        first = project.take(project.done)["pid"]
        project.send("wait", *range(4))
        held = {begun["pid"] for begun in project.take_all(project.begun, 4)}
        assert len(held) == 2
        os.kill(first, signal.SIGKILL)
        project.write("go")
        attempts = sorted(done["attempt"] for done in project.take_all(project.done, 4))
        assert attempts == [1, 1, 2, 2]
        wait_until(lambda: project.layer.statistics().sessions == 4)
        assert keeper.stop() == 0


def test_the_death_of_the_parent_leaves_no_worker_behind(project):
    with project.run("--processes=2") as keeper:
        project.wait_told("READY=1")
        project.send("wait", 1)
        busy = project.take(project.begun)["pid"]
        assert project.layer.statistics().sessions == 4
        keeper.process.kill()
        wait_until(lambda: project.layer.statistics().sessions == 3)
        os.kill(busy, 0)
        project.write("go")
        assert project.take(project.done)["attempt"] == 1
        wait_until(lambda: project.layer.statistics().sessions == 2)
        wait_until(lambda: "the supervisor is gone" in keeper.output())


def test_a_stop_that_reaches_every_process_is_one_stop(project):
    with project.run("--processes=2") as keeper:
        project.wait_told("READY=1")
        project.send("wait", 1)
        busy = project.take(project.begun)["pid"]
        os.kill(busy, signal.SIGTERM)  # as systemd does, to keeper and workers alike
        keeper.process.send_signal(signal.SIGTERM)
        keeper.wait_for_output("waiting for worker-")
        project.write("go")
        assert keeper.process.wait(WAIT) == 0
        assert "again" not in keeper.output()
    assert project.take(project.done)["attempt"] == 1


def test_a_worker_that_cannot_start_is_no_reason_to_try_for_ever(project):
    project.write("apps.py", "import os\nif 'FAIRWAY_NOTIFY_FD' in os.environ: raise RuntimeError('broken')")
    project.write("settings.py", SETTINGS + "\nimport apps")
    with project.run("--processes=2") as keeper:
        assert keeper.process.wait(WAIT) == 1
        assert "RuntimeError: broken" in keeper.output()


def test_channels_are_chosen(project):
    with project.run("--only-channels=w*,await", "--exclude-channels=websocket.*", "--exclude-channels=wait") as worker:
        project.wait_told("READY=1")
        assert "channels: await, work\n" in worker.output()
        assert worker.stop() == 0


def test_several_layers(project):
    other = project.directory / "other.sock"
    more = f"CHANNEL_LAYERS['other'] = {{'URL': 'local://{other}', 'ROUTING': CHANNEL_LAYERS['default']['ROUTING']}}"
    project.write("settings.py", f"{SETTINGS}\n{more}")
    with HubThread(other) as hub, project.run("--layer=default", "--layer", "other") as worker:
        project.wait_told("READY=1")
        hub.layer.send("work", {"n": 7})
        assert project.take(project.done)["n"] == 7  # a consumer sends to the default layer unless told otherwise
        assert worker.stop() == 0
        assert "layer 'other'" in worker.output()


def test_it_starts_again_when_the_code_changes(project):
    with project.run("--reload") as worker:
        project.wait_told("READY=1")
        project.send("work", 1)
        first = project.take(project.done)["pid"]

        def edit():
            (project.directory / "routing.py").touch()
            return "the code has changed" in worker.output()

        wait_until(edit, "the reload", WAIT)
        project.wait_told("READY=1")
        project.send("work", 2)
        assert project.take(project.done)["pid"] != first
        assert worker.stop() == 0


# --- without a process of its own ------------------------------------------------------------------------------------


@pytest.fixture
def layers(settings):
    local = {"URL": "local:///run/hub.sock", "ROUTING": "tests.support.urls.urlpatterns"}
    settings.CHANNEL_LAYERS = {"default": local, "memory": {"URL": "memory://", "ROUTING": []}}
    yield settings
    channel_layers.clear()


def test_it_tells_which_layer_it_reads(layers, capsys):
    call_command(runworker.Command(), "--print-layer", "--layer=default", "--layer=memory")

    default, memory = map(json.loads, capsys.readouterr().out.splitlines())
    assert default == {
        "alias": "default",
        "backend": "fairway.layers.LocalLayer",
        "url": "local:///run/hub.sock",
        "routing": "tests.support.urls.urlpatterns",
        "delay": apps.is_installed("fairway.delay"),
    }
    assert memory == {
        "alias": "memory",
        "backend": "fairway.layers.MemoryLayer",
        "url": "memory://",
        "routing": None,
        "delay": apps.is_installed("fairway.delay"),
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--layer=memory"], "lives in one process"),
        (["--layer=nowhere"], "CHANNEL_LAYERS has no 'nowhere'"),
        (["--layer=nowhere", "--print-layer"], "CHANNEL_LAYERS has no 'nowhere'"),
        (["--only-channels=thumb*"], "--only-channels 'thumb*' matches no channel; the routing has http.request, webs"),
        (["--processes=2", "--reload"], "--reload is for one process"),
        (["--threads=0"], "'0' must be a whole number"),
    ],
)
def test_what_cannot_be_is_said(layers, arguments, says):
    with pytest.raises(CommandError, match=re.escape(says)):
        call_command(runworker.Command(), *arguments)


def test_without_layers_there_is_nothing_to_do(settings):
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(CommandError, match=r'CHANNEL_LAYERS is not set, .*"local://"'):
        call_command(runworker.Command())


@pytest.mark.parametrize(("debug", "kind"), [(False, ViewConsumer), (True, StaticFilesConsumer)])
def test_static_files_are_served_in_development(settings, debug, kind):
    settings.DEBUG = debug
    assert type(runworker.http_consumer()) is kind
