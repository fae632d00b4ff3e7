"""A server short of descriptors: it says so once, turns the last ones away, and lives on."""

import subprocess
import sys

import pytest

from fairway.server import descriptors
from fairway.server.descriptors import most_connections, open_files, raise_open_files


@pytest.mark.parametrize(
    ("limit", "wanted", "most"),
    [
        (-1, 100_000, 100_000),
        (-1, -1, -1),
        (1024, 100_000, 960),
        (1024, 500, 500),
        (1024, -1, 960),
        (100_000, 100_000, 95_000),
        (1_000_000, 100_000, 100_000),
        (32, 100, 1),
    ],
)
def test_connections_leave_room_for_everything_else(monkeypatch, limit, wanted, most):
    monkeypatch.setattr(descriptors, "open_files", lambda: limit)
    assert most_connections(wanted) == most


def test_fewer_connections_than_wanted_are_told_with_the_remedy(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(descriptors, "open_files", lambda: 1024)
    most_connections(100_000)
    assert caplog.messages == [
        "this process may have 1024 open files, so it takes 960 connections; raise the limit (ulimit -n, LimitNOFILE=)"
    ]


def run(code):
    """The output of a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_program_may_take_all_that_it_may_have():
    out, _ = run(
        "import resource\n"
        "from fairway.server.descriptors import open_files, raise_open_files\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "assert open_files() == 64\n"
        "raise_open_files()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))\n"
    )
    assert out == "True\n"
    assert open_files() != 0
    assert callable(raise_open_files)


CROWD = """
import asyncio, logging, resource, sys
from fairway.layers import MemoryLayer
from fairway.server import Server, ServerConfig, new_event_loop

logging.basicConfig(level=logging.ERROR, format="LOG %(message)s")
MOST = {most}

async def main():
    layer = MemoryLayer()
    async with Server(ServerConfig(binds=["127.0.0.1:0"]), layer) as server:
        program = '''
import socket, sys
from fairway.server.descriptors import raise_open_files
raise_open_files()
crowd = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) for _ in range(150)]
sys.stdin.readline()
gone = 0
for one in crowd:
    one.setblocking(False)
    try:
        gone += one.recv(1) == b""
    except BlockingIOError:
        pass
    except ConnectionResetError:
        gone += 1
    one.close()
print(gone, flush=True)
sys.stdin.readline()
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as late:
    late.sendall(b"NONSENSE\\\\r\\\\n\\\\r\\\\n")
    print(late.recv(12).decode(), flush=True)
'''
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(server.bound[0][1]), stdin=pipe, stdout=pipe
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        while server.connections < {expected}:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        client.stdin.write(b"look\\n")
        print((await client.stdout.readline()).decode().strip())
        while server.connections:
            await asyncio.sleep(0.01)
        client.stdin.write(b"again\\n")
        print((await client.stdout.readline()).decode().strip())
        await client.wait()
    layer.close()

resource.setrlimit(resource.RLIMIT_NOFILE, ({before}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
"""


def test_more_connections_than_descriptors_are_turned_away_with_one_line():
    out, err = run(CROWD.format(before=128, most=128, expected=64))
    assert out.splitlines() == ["86", "HTTP/1.1 400"]
    assert err.splitlines() == ["LOG all 64 connections are taken; new ones are closed at once"]


def test_a_server_that_has_no_descriptor_left_lives_on():
    """The limit falls after the start: even the reserve is gone."""
    out, _ = run(CROWD.format(before=4096, most=40, expected=10))
    gone, late = out.splitlines()
    assert int(gone) > 0
    assert late == "HTTP/1.1 400"
