import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from fairway.testing.live_processes import LiveProcess
from fairway.testing.live_server import LiveServer, WorkerFailed, check_project
from tests.testing.live_project import PATIENCE, live_project

__all__ = ["live_project"]

pytestmark = pytest.mark.timeout(PATIENCE)

LAYER = {"URL": "local://", "ROUTING": []}

TESTS = """
import urllib.error
import urllib.request

from fairway.testing.live_server import LiveServer


def test_options(transactional_db):
    with LiveServer(host="127.0.0.1", worker_threads=2, serve_static=False, start_method="fork") as server:
        assert (server.url, server.ws_url) == (f"http://127.0.0.1:{server.port}", f"ws://127.0.0.1:{server.port}")
        with urllib.request.urlopen(server.url) as response:
            assert response.read() == b"from the file"
        try:
            urllib.request.urlopen(server.url + "/static/style.css")
        except urllib.error.HTTPError as error:
            with error:
                assert error.code == 404
"""


def test_a_database_in_memory_is_refused_with_the_remedy(settings):
    settings.CHANNEL_LAYERS = {"default": LAYER}
    with pytest.raises(ImproperlyConfigured, match=r"in-memory SQLite database .* name a file"), LiveServer():
        raise AssertionError


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({}, "names none; override it"),
        ({"a": LAYER, "b": LAYER}, "names 'a', 'b'; override it"),
        ({"a": {"URL": "local://"}}, r"CHANNEL_LAYERS\['a'\] has no 'ROUTING'"),
    ],
)
def test_one_layer_with_routing_is_wanted(settings, monkeypatch, layers, words):
    from django.db import connection

    monkeypatch.setattr(connection, "is_in_memory_db", lambda: False)
    settings.CHANNEL_LAYERS = layers
    with pytest.raises(ImproperlyConfigured, match=words):
        check_project()


def test_the_address_of_a_host_with_colons_has_brackets():
    server = LiveServer(host="::1")
    assert server.ws_url == "ws://[::1]:0"


READY = "from fairway.supervisor.notify import Notifier; notifier = Notifier(); notifier.ready(); signal.pause()"


def test_consumers_that_are_cut_off_at_the_end_fail_the_test(tmp_path):
    def start(name, code):
        leave = (
            f"import os, signal; signal.signal(15, lambda *_: (print('{name} leaves', flush=True), os._exit({code})))"
        )
        process = LiveProcess(name, tmp_path).spawn([sys.executable, "-c", f"{leave}; {READY}"])
        process.wait_ready()
        return process

    live = LiveServer()
    live._stop_both(start("server", 0), start("worker", 1))
    with pytest.raises(WorkerFailed, match="consumers were cut off at the end of the test:\nworker leaves"):
        live.__exit__(None, None, None)


def test_its_options(live_project):
    project = live_project(TESTS)
    done = project.run("pytest", "-q", "-p", "no:cacheprovider", "tests.py")
    assert "1 passed" in done.stdout, done.stdout
