import signal
import sys
import threading

import pytest

from fairway.errors import StartFailed
from fairway.supervisor.notify import Notifier
from fairway.testing.live_processes import LiveProcess

READY = "from fairway.supervisor.notify import Notifier; notifier = Notifier(); notifier.ready();"
LAST = "notifier.when_supervisor_dies(lambda: __import__('os')._exit(0));"
# A test run may have threads (pytest-xdist has), and newer Pythons warn about a fork of those.
FORK = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def process(tmp_path):
    process = LiveProcess("worker", tmp_path)
    yield process
    process.stop()


def python(text):
    return [sys.executable, "-u", "-c", text]


def test_a_process_that_says_so_is_ready_and_ends_when_told(process):
    process.spawn(python(f"{READY} import time; time.sleep(60)"))
    process.wait_ready()
    assert (process.is_running, process.has_ended) == (True, False)
    process.stop()
    assert (process.is_running, process.has_ended) == (False, True)


def test_one_that_ends_first_has_not_started_and_its_output_tells_why(process):
    process.spawn(python("print('why'); raise SystemExit(3)"))
    with pytest.raises(StartFailed, match=r"worker ended before it was ready \(exit code 3\); .*\n    why"):
        process.wait_ready()


def test_one_that_takes_too_long_has_not_started(process):
    process.spawn(python("import time; time.sleep(60)"))
    with pytest.raises(StartFailed, match=r"was not ready within 0.1 s"):
        process.wait_ready(0.1)


def test_one_that_hangs_up_and_lives_on_has_not_started(process, monkeypatch):
    monkeypatch.setattr("fairway.testing.live_processes.STOP_TIMEOUT", 0.1)
    process.spawn(python("import os; os.close(int(os.environ['FAIRWAY_NOTIFY_FD'])); import time; time.sleep(60)"))
    with pytest.raises(StartFailed, match="it hung up"):
        process.wait_ready()


def test_one_that_does_not_go_is_killed(process):
    process.spawn(python(f"import signal; signal.signal(15, signal.SIG_IGN); {READY} import time; time.sleep(60)"))
    process.wait_ready()
    process.stop(0.1)
    assert process.has_ended


def test_its_end_of_the_line_is_closed_with_ours(process):
    process.spawn(python(f"{READY} {LAST} import time; time.sleep(60)"))
    process.wait_ready()
    process._line.close()
    assert process._wait(20) == 0


def test_one_that_was_never_started_can_be_stopped(process):
    assert (process.is_running, process.has_ended, process.last_lines()) == (False, False, [])
    process.stop()


@FORK
def test_a_copy_works_with_what_this_process_has_and_says_it_into_its_file(process, tmp_path):
    other = LiveProcess("server", tmp_path)
    here = "known only here"

    def work():
        print(here)
        Notifier().ready()
        signal.pause()
        return 0

    process.fork(work, [other])
    process.wait_ready()
    assert process.is_running
    process.stop()
    assert process.has_ended
    assert process.last_lines() == [here]
    other.stop()


@FORK
def test_a_copy_that_fails_has_not_started(process):
    def work():
        raise ZeroDivisionError("in the copy")

    process.fork(work, [])
    with pytest.raises(StartFailed, match=r"exit code 1\)(.|\n)*ZeroDivisionError: in the copy"):
        process.wait_ready()


@FORK
def test_a_copy_hears_when_we_are_gone(process):
    def work():
        gone = threading.Event()
        notifier = Notifier()
        notifier.ready()
        notifier.when_supervisor_dies(gone.set)
        gone.wait(20)
        return 0 if gone.is_set() else 1

    process.fork(work, [])
    process.wait_ready()
    process._line.close()
    assert process._wait(20) == 0
