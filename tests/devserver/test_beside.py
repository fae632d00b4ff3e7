"""What runs beside the workers of a development server: begun, and ended whatever happens."""

import pytest

from fairway.devserver.beside import STOP_WAIT, make_none, running


class Recorder:
    def __init__(self, log, name, *, fails=False):
        self.log, self.name, self.fails = log, name, fails

    def start(self):
        self.log.append(f"start {self.name}")
        if self.fails:
            raise OSError("no thread left")

    def stop(self, timeout):
        self.log.append((f"stop {self.name}", timeout))


def test_each_runs_as_long_as_the_context():
    log = []
    with running(lambda: [Recorder(log, "a"), Recorder(log, "b")]):
        assert log == ["start a", "start b"]
    assert log[2:] == [("stop a", STOP_WAIT), ("stop b", STOP_WAIT)]


def test_one_that_does_not_start_leaves_none():
    log = []
    with (
        pytest.raises(OSError, match="no thread left"),
        running(lambda: [Recorder(log, "a"), Recorder(log, "b", fails=True), Recorder(log, "c")]),
    ):
        pytest.fail("not reached")
    assert log == ["start a", "start b", ("stop a", STOP_WAIT), ("stop b", STOP_WAIT)]


def test_there_may_be_none():
    with running(make_none):
        pass
