"""Sockets that systemd hands over, and sockets that several processes share."""

import os
import socket

import pytest

from fairway.errors import CannotListen
from fairway.supervisor.sockets import SharedSockets, take_systemd_sockets


@pytest.mark.parametrize(
    ("environ", "binds"),
    [
        ({}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "a:b"}, ["fd:3", "fd:4"]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, []),
        ({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}, []),
    ],
)
def test_sockets_of_systemd(environ, binds):
    assert take_systemd_sockets(environ) == binds
    assert environ == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_each_process_has_a_socket_of_its_own_on_one_port(host):
    try:
        shared = SharedSockets([f"{host}:0"], 2)
    except CannotListen:
        pytest.skip("this machine has no IPv6 loopback")
    first, second = shared.descriptors(0), shared.descriptors(1)
    assert set(first).isdisjoint(second)
    names = []
    for number in (*first, *second):
        with socket.socket(fileno=os.dup(number)) as bound:
            names.append(bound.getsockname()[1])
    assert len(set(names[: len(first)])) == len(set(names)) or host == "localhost"
    assert all(bind.startswith(("127.0.0.1:", "[::1]:")) for bind in shared.bound)
    shared.close()


def test_a_connection_waits_until_somebody_takes_it():
    shared = SharedSockets(["127.0.0.1:0"], 2)
    host, _, port = shared.bound[0].partition(":")
    with socket.create_connection((host, int(port)), 5):
        pass
    shared.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)


def test_a_unix_socket_is_shared(tmp_path):
    path = tmp_path / "web.sock"
    shared = SharedSockets([f"unix:{path}"], 2)
    assert shared.descriptors(0) == shared.descriptors(1)
    assert shared.bound == [f"unix:{path}"]
    shared.close()
    assert not path.exists()


def test_the_name_of_another_is_left_alone(tmp_path):
    path = tmp_path / "web.sock"
    shared = SharedSockets([f"unix:{path}"], 1)
    path.unlink()
    path.touch()
    shared.close()
    assert path.exists()


def test_an_inherited_socket_stays_its_owners():
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        shared = SharedSockets([f"fd:{inherited.fileno()}"], 2)
        assert shared.descriptors(0) == shared.descriptors(1) != [inherited.fileno()]
        shared.close()
        os.fstat(inherited.fileno())


def test_what_cannot_be_bound():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=f"cannot listen on {bind}: address in use"):
            SharedSockets(["127.0.0.1:0", bind], 2)
    with pytest.raises(CannotListen, match=r"cannot listen on host\.invalid:1"):
        SharedSockets(["host.invalid:1"], 1)
    with pytest.raises(CannotListen, match="fd:999"):
        SharedSockets(["fd:999"], 1)
