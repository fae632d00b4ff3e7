"""`make deploy-demo`, as a program without a terminal: it tells what happens, sums up, and leaves nothing behind."""

import re
import signal
import sys

import pytest

from tests.support.processes import ROOT, running
from tests.support.site import children, is_alive
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

DEMO = [sys.executable, ROOT / "examples" / "deploy" / "demo.py", "--sockets=50"]


def test_it_tells_what_happens_and_sums_up():
    with running([*DEMO, "--seconds=6"]) as demo:
        assert demo.process.wait(150) == 0
        output = demo.output()
    assert "50 sockets are open" in output
    assert "fairway reload: release 2 starts; then release 1 goes" in output
    assert "kill -9" in output
    assert re.search(r"3 deploys and \d kills later: 50 sockets, 0 of them closed; [\d,]+ messages answered", output)
    assert "0 lost, 0 out of order, 0 consumed twice" in output


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(sig):
    with running(DEMO) as demo:
        demo.wait_for_output("sockets are open", 60)
        supervisor = children(demo.pid)
        everything = [*supervisor, *(child for parent in supervisor for child in children(parent))]
        assert len(everything) >= 4
        assert demo.stop(sig) == 130
        assert demo.output().endswith("stopped\n")
        assert "Traceback" not in demo.output()
        wait_until(lambda: not any(map(is_alive, everything)), "the end of server and workers")
