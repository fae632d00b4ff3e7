"""A process of `runserver` ends with its parent; others are left alone. `test_parent` has it with the real command."""

import socket
import subprocess
import sys
import threading

import pytest

from fairway.devserver.lifeline import end_with_parent
from fairway.devserver.orders import Orders
from fairway.supervisor.notify import FD_VARIABLE

CODE = """
import os, signal, sys, threading
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
from fairway.devserver import lifeline
lifeline.LEAVE_WAIT = 0.1
lifeline.end_with_parent(os.environ)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize(("words", "code"), [([], -15), (["deaf"], 0)])
def test_it_ends_and_takes_the_folder_along(tmp_path, words, code):
    folder = tmp_path / "private"
    folder.mkdir()
    ours, theirs = socket.socketpair()
    orders = Orders(port=1, hub="", folder=str(folder), settings={})
    environ = {**orders.as_environ(), FD_VARIABLE: str(theirs.fileno())}
    command = [sys.executable, "-c", CODE, *words]
    with subprocess.Popen(command, env=environ, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE) as process:
        theirs.close()
        assert process.stdout.readline() == b"ready\n"
        assert process.poll() is None
        ours.close()
        assert process.wait(60) == code
    assert not folder.exists()


def test_who_is_nobodys_child_is_left_alone():
    before = threading.active_count()
    end_with_parent({FD_VARIABLE: "1"})
    assert threading.active_count() == before
