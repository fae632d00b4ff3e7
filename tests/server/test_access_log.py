"""The access log: what is written arrives, and nothing that goes wrong there is felt by a request."""

import asyncio
import fcntl
import os
import struct
import subprocess
import sys
import termios

import pytest

from fairway.errors import UsageError
from fairway.server import access_log
from fairway.server.access_log import open_access_log
from fairway.server.config import Access
from tests.server.support import await_until, request, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("loop_factory")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(access_log, "FLUSH", 0.005)


def access(path="/", **changes):
    told = {"client": "192.0.2.1:5000", "method": "GET", "http_version": "1.1", "status": 200, "size": 0, "seconds": 0}
    return Access(action="http", path=path, **{**told, **changes})


def open_log(target, form="common"):
    return open_access_log(form, str(target), asyncio.get_running_loop())


def paths(file):
    """The paths of all lines, in order."""
    return [line.split()[6] for line in file.read_text().splitlines()]


async def test_lines_are_appended_in_order(tmp_path):
    file = tmp_path / "access.log"
    file.write_text("192.0.2.1 - - [d z] x /before y\n")
    log = open_log(file)
    for number in range(3):
        log(access(f"/{number}"))
    assert file.stat().st_size < 40, "a line was written before its turn of the loop was over"
    await await_until(lambda: len(paths(file)) == 4)
    log(access("/3"))
    log.close()
    assert paths(file) == ["/before", "/0", "/1", "/2", "/3"]
    assert log.dropped == 0


async def test_what_is_left_is_written_at_the_end(tmp_path):
    log = open_log(tmp_path / "access.log", "json")
    log(access("/last"))
    log.close()
    assert '"path":"/last"' in (tmp_path / "access.log").read_text()


async def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    file, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = open_log(file)
    log(access("/1"))
    await await_until(lambda: paths(file) == ["/1"])
    file.rename(old)
    log(access("/2"))
    log.reopen()
    log(access("/3"))
    log.close()
    assert (paths(old), paths(file)) == (["/1", "/2"], ["/3"])


async def test_a_file_that_cannot_be_made_anew_is_kept(tmp_path, caplog):
    folder = tmp_path / "logs"
    folder.mkdir()
    log = open_log(folder / "access.log")
    folder.rename(tmp_path / "old")
    log.reopen()
    log.reopen()
    log(access("/1"))
    log.close()
    assert paths(tmp_path / "old" / "access.log") == ["/1"]
    name = folder / "access.log"
    assert caplog.messages == [
        f"access log: {name} cannot be opened again: No such file or directory; the old file is kept"
    ]


@pytest.mark.parametrize("name", ["none/access.log", "."])
async def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    with pytest.raises(UsageError, match=r"access log '.*' cannot be opened: .*; name another file, or -"):
        open_log(tmp_path / name)


async def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be opened"):
        open_log(tmp_path / "pipe")


class Pipe:
    """A named pipe with a reader that may be slow, or go."""

    def __init__(self, folder):
        self.path = folder / "pipe"
        os.mkfifo(self.path)
        self.reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self):
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self):
        os.close(self.reader)


async def test_a_slow_reader_costs_lines_and_is_told_of_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(access_log, "BUFFER", 100_000)
    pipe = Pipe(tmp_path)
    log = open_log(pipe.path)
    path = "/" + "a" * 900
    for _ in range(400):
        log(access(path))
        await asyncio.sleep(0)
    dropped = log.dropped
    assert dropped > 0
    assert caplog.messages == [f"access log: {pipe.path} takes lines too slowly; some are dropped"]
    taken = b""

    def is_recovered():
        nonlocal taken
        taken += pipe.read()
        log(access("/again"))
        return len(caplog.messages) > 1

    await await_until(is_recovered)
    assert "takes lines again" in caplog.messages[1]
    await await_until(lambda: pipe.read() == b"")
    log.close()
    assert taken.count(b"\n") >= 400 - dropped
    pipe.close()


async def test_a_reader_that_is_gone_costs_lines_and_is_told_of_once(tmp_path, caplog):
    pipe = Pipe(tmp_path)
    log = open_log(pipe.path)
    pipe.close()
    for number in range(1, 4):
        log(access())
        await await_until(lambda number=number: log.dropped == number)
    log.close()
    assert caplog.messages == [f"access log: {pipe.path} cannot be written: Broken pipe; lines are dropped"]


async def test_a_hanging_reader_holds_nobody_up_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(access_log, "CLOSE_TIMEOUT", 0.05)
    pipe = Pipe(tmp_path)
    log = open_log(pipe.path)
    for _ in range(200):
        log(access("/" + "a" * 900))
    log.close()
    pipe.close()  # and now the thread ends too
    await await_until(lambda: not log._thread.is_alive())


async def test_requests_do_not_feel_a_log_that_is_gone(tmp_path):
    pipe = Pipe(tmp_path)
    log = open_log(pipe.path)
    pipe.close()
    async with serving(access_log=log) as house:
        house.work(lambda work: work.commit({"status": 200}))
        for _ in range(3):
            assert (await (await house.peer(request())).response()).status == 200
    log.close()
    assert log.dropped == 3


def test_standard_output_even_if_it_does_not_wait():
    """Somebody else may have made it non-blocking; lines are written whole all the same."""
    code = """
import asyncio, os
from fairway.server.access_log import open_access_log
from fairway.server.config import Access

async def main():
    os.set_blocking(1, False)
    log = open_access_log("json", "-", asyncio.get_running_loop())
    for number in range(500):
        log(Access(action="http", client="", method="GET", path="/" + "a" * 500, http_version="1.1", status=200,
                   size=number, seconds=0.0))
    log.reopen()
    log.close()

asyncio.run(main())
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    wait_until(lambda: is_full(program.stdout.fileno()), "the pipe to be full")
    out, _ = program.communicate(timeout=20)
    assert program.returncode == 0
    assert out.count(b"\n") == 500


def is_full(fd):
    """Whether a pipe holds all that it can, or nearly."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0] > 60_000


async def test_the_lines_of_one_turn_are_one_batch(tmp_path):
    log = open_log(tmp_path / "access.log")
    for _ in range(1000):
        log(access())
    assert log._queue.empty()
    log._hand_over()
    assert log._queue.qsize() <= 1
    log.close()
    assert len(paths(tmp_path / "access.log")) == 1000
