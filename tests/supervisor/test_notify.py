"""What a process tells systemd and its supervisor, and that it learns of the supervisor's death."""

import contextlib
import os
import socket
import threading

import pytest

from fairway.supervisor import notify
from fairway.supervisor.notify import Notifier


@contextlib.contextmanager
def systemd(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        yield listener


@pytest.fixture
def line():
    """Our end of a supervisor's line, and the environment that leads to the other."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours:
        yield ours, {"FAIRWAY_NOTIFY_FD": str(theirs.detach())}


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path, abstract):
    address = f"@fairway-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address}
    with systemd(address) as listener:
        notifier = Notifier(environ)
        told = []
        for tell in (notifier.ready, notifier.stopping, notifier.alive):
            tell()
            told.append(listener.recv(1000))
        notifier.status("serving\nmany")
        told.append(listener.recv(5000))
        notifier.reloading()
        reload = listener.recv(1000)
    assert told == [b"READY=1\n", b"STOPPING=1\n", b"WATCHDOG=1\n", b"STATUS=serving many\n"]
    assert reload.startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert environ == {}
    assert not notifier.has_supervisor


def test_nobody_listens(tmp_path):
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "none")}, {"FAIRWAY_NOTIFY_FD": "x"}):
        Notifier(environ).ready()
        Notifier(environ).when_supervisor_dies(pytest.fail)


def test_a_closed_descriptor_is_no_supervisor():
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert not Notifier({"FAIRWAY_NOTIFY_FD": str(writing)}).has_supervisor


def test_a_supervisor_is_told(line):
    ours, environ = line
    notifier = Notifier(environ)
    notifier.ready()
    notifier.status("x" * 2000)
    notifier.report({"connections": 3})
    with ours.makefile("rb") as lines:
        assert [lines.readline() for _ in range(3)] == [
            b"READY=1\n",
            b"STATUS=" + b"x" * notify.LONGEST_VALUE + b"\n",
            b'REPORT={"connections": 3}\n',
        ]
    assert notifier.has_supervisor
    assert environ == {}


def test_a_report_that_is_too_long_is_not_sent(line):
    ours, environ = line
    notifier = Notifier(environ)
    notifier.report({"text": "x" * notify.LONGEST_LINE})
    notifier.ready()
    assert ours.recv(100) == b"READY=1\n"


def test_a_supervisor_that_does_not_read_holds_nobody_up(line, monkeypatch):
    monkeypatch.setattr(notify, "ROOM_TIMEOUT", 0.01)
    ours, environ = line
    notifier = Notifier(environ)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(200):
        notifier.report({"text": "x" * 50_000})


def test_a_line_goes_on_when_there_is_room_again(line):
    ours, environ = line
    notifier = Notifier(environ)
    text = "x" * 60_000
    sender = threading.Thread(target=lambda: [notifier.report({"text": text}) for _ in range(20)])
    sender.start()
    ours.settimeout(0.01)
    said = b""
    while sender.is_alive():
        with contextlib.suppress(TimeoutError):
            said += ours.recv(1000)
    with contextlib.suppress(TimeoutError):
        while True:
            said += ours.recv(100_000)
    lines = said.splitlines(keepends=True)
    assert len(lines) > 2
    assert set(lines) == {b'REPORT={"text": "' + text.encode() + b'"}\n'}


def test_the_death_of_the_supervisor_is_noticed(line):
    ours, environ = line
    notifier = Notifier(environ)
    gone = threading.Event()
    notifier.when_supervisor_dies(gone.set)
    ours.send(b"something else")
    assert not gone.wait(0.05)
    ours.close()
    assert gone.wait(30)
    notifier.ready()


def test_a_supervisor_with_a_plain_pipe():
    reading, writing = os.pipe()
    notifier = Notifier({"FAIRWAY_NOTIFY_FD": str(writing)})
    gone = threading.Event()
    notifier.when_supervisor_dies(gone.set)
    notifier.ready()
    assert os.read(reading, 100) == b"READY=1\n"
    os.close(reading)
    assert gone.wait(30)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog(environ, seconds):
    assert Notifier(environ).watchdog == seconds
    assert environ == {}
