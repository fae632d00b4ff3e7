"""The log has time, level, process and message, on one line."""

import subprocess
import sys

LOG = """
import logging, warnings
from fairway.supervisor.logs import configure_logging
configure_logging("warning", "100%-server")
logging.getLogger("fairway.x").info("not shown")
logging.getLogger("fairway.x").warning("closing %d", 3)
warnings.warn("old")
"""


def test_a_line():
    done = subprocess.run([sys.executable, "-c", LOG], capture_output=True, text=True, check=True)
    first, second, *_ = done.stderr.splitlines()
    date, time, level, process, *message = first.split()
    assert (len(date), len(time), level, message) == (10, 12, "WARNING", ["closing", "3"])
    assert process.startswith("100%-server[")
    assert "UserWarning: old" in second
