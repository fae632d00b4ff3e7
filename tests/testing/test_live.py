import re
import signal
import subprocess

import pytest

from tests.support.dev_project import descendants, is_running
from tests.support.waiting import wait_until
from tests.testing.live_project import PATIENCE, live_project

__all__ = ["live_project"]

# Each test of the project starts two processes, one of which loads Django; a busy machine takes its time for that.
pytestmark = pytest.mark.timeout(PATIENCE)

BEGIN = """
import urllib.request
from datetime import timedelta

from django.contrib.auth.models import Group as UserGroup
from django.test import override_settings
from websockets.sync.client import connect

from fairway import Channel, Group, route
from fairway.testing import ChannelLiveServerTestCase
"""

WORKING = (
    BEGIN
    + """
@override_settings(GREETING="overridden")
class Tests(ChannelLiveServerTestCase):
    worker_start_method = "METHOD"

    def setUp(self):
        UserGroup.objects.create(name="by the test")

    def test_sockets_and_pages(self):
        with connect(self.live_server_ws_url) as socket:
            self.assertEqual(socket.recv(), "overridden")
            socket.send("by the worker")
            self.assertEqual(socket.recv(), "by the test,by the worker")
            self.assertTrue(UserGroup.objects.filter(name="by the worker").exists())
            Group("all").send({"text": "to all"})
            self.assertEqual(socket.recv(), "to all")
            Channel("later").send({"text": "a moment later"}, delay=timedelta(milliseconds=20))
            self.assertEqual(socket.recv(), "a moment later")
        self.assertRegex(self.live_server_url, "^http://localhost:[0-9]+$")
        with urllib.request.urlopen(self.live_server_url) as response:
            self.assertEqual(response.read(), b"overridden")
        with urllib.request.urlopen(self.live_server_url + "/static/style.css") as response:
            self.assertEqual(response.read(), b"body { color: navy }")
        self.enterContext(connect(self.live_server_ws_url))

    async def test_nothing_is_left_of_another_test(self):
        self.assertEqual([group.name async for group in UserGroup.objects.all()], ["by the test"])
        self.assertEqual(await Group("all").achannels(), [])

    def test_errors_can_be_taken(self):
        with connect(self.live_server_ws_url) as socket:
            socket.send("fail")
            socket.send("go on")
            self.assertEqual([socket.recv(), socket.recv()], ["overridden", "by the test,go on"])
        (error,) = self.take_worker_errors()
        self.assertIn("channel websocket.receive, path '/'", error)
        self.assertIn('raise ZeroDivisionError("on purpose")', error)
        self.assertEqual(self.take_worker_errors(), [])
"""
)

FAILING = (
    BEGIN
    + """
class Tests(ChannelLiveServerTestCase):
    def test_error(self):
        with connect(self.live_server_ws_url) as socket:
            socket.send("fail")
            socket.send("go on")
            self.assertEqual([socket.recv(), socket.recv()], ["from the file", "go on"])

    def test_death(self):
        with connect(self.live_server_ws_url) as socket:
            socket.send("die")
            worker = self.live_server._worker
            while worker.is_running:
                pass
"""
)

REFUSED = (
    BEGIN
    + """
@override_settings(CHANNEL_LAYERS={"default": {"URL": "local://", "ROUTING": "nowhere.routing"}})
class Broken(ChannelLiveServerTestCase):
    def test_never_begins(self):
        raise AssertionError


@override_settings(CHANNEL_LAYERS={"a": {"URL": "local://"}, "b": {"URL": "local:///tmp/b"}})
class TwoLayers(ChannelLiveServerTestCase):
    def test_never_begins(self):
        raise AssertionError


@override_settings(GREETING=lambda: 1)
class Unpicklable(ChannelLiveServerTestCase):
    def test_never_begins(self):
        raise AssertionError


class Unknown(ChannelLiveServerTestCase):
    worker_start_method = "teleport"

    def test_never_begins(self):
        raise AssertionError
"""
)

HANGING = (
    BEGIN
    + """
import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have it ignored


class Tests(ChannelLiveServerTestCase):
    def test_hangs(self):
        Path("begun").write_text("")
        with connect(self.live_server_ws_url) as socket:
            for _ in socket:
                pass
"""
)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_server_and_worker_use_the_database_and_the_settings_of_the_test(live_project, method):
    project = live_project(WORKING.replace("METHOD", method))
    done = project.run("django", "test")
    assert "Ran 3 tests" in done.stdout
    assert re.search("^OK$", done.stdout, re.MULTILINE), done.stdout
    assert project.left() == []


def test_what_goes_wrong_in_the_worker_fails_the_test_and_says_what_it_is(live_project):
    project = live_project(FAILING)
    output = project.run("django", "test").stdout
    for words in (
        "FAIL: test_error (tests.Tests",
        "WorkerFailed: a consumer failed in the worker process:",
        'raise ZeroDivisionError("on purpose")',
        "FAIL: test_death (tests.Tests",
        "the worker process ended during the test:\n",
        "\nlast words\n",
        "FAILED (failures=2)",
    ):
        assert words in output
    assert project.left() == []


def test_what_cannot_begin_is_an_error_of_the_test_and_says_why(live_project):
    project = live_project(REFUSED)
    output = project.run("django", "test").stdout
    for words in (
        "ERROR: test_never_begins (tests.Broken",
        "StartFailed: worker ended before it was ready",
        "ModuleNotFoundError: No module named 'nowhere'",
        "a live server has one channel layer, and CHANNEL_LAYERS names 'a', 'b'; override it for this test",
        "the setting GREETING of this test cannot be handed to a worker process that is spawned",
        "worker_start_method is 'spawn' or 'fork', not 'teleport'",
        "FAILED (errors=4)",
    ):
        assert words in output
    assert project.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_test_that_is_interrupted(live_project, tmp_path, number):
    project = live_project(HANGING)
    with (tmp_path / "output").open("w") as sink:
        program = subprocess.Popen(
            project.command("django", "test"), cwd=tmp_path, env=dict(project.environ()), stdout=sink, stderr=sink
        )
    try:
        wait_until((tmp_path / "begun").exists, (tmp_path / "output").read_text, 40)
        children = descendants(program.pid)
        assert len(children) == 2
        program.send_signal(number)
        wait_until(lambda: not any(map(is_running, children)), f"the end of {children}", 20)
        wait_until(lambda: project.left() == [], "an empty folder", 20)
    finally:
        program.kill()
        program.wait()
