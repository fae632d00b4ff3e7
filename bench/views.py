"""The HTTP shapes: `wrk` asks a Django view over connections that it keeps alive.

`wrk` runs on the client's core and sleeps when it has nothing to do. It counts what came back; that it was the right
thing is asked by hand, before and after each slice.
"""

from __future__ import annotations

import http.client
import json
import resource
import statistics
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from bench.errors import BenchError
from bench.exercise import Sample
from bench.plan import VIEW_BODY, Shape
from bench.processes import Accounts

SCRIPT = Path(__file__).with_name("wrk.lua")
SLICE = 1  # wrk knows whole seconds.
TIMEOUT = 10.0


class HttpExercise:
    """One HTTP shape put on one running contender: warmed up, then driven slice by slice."""

    def __init__(self, shape: Shape, port: int, accounts: Accounts) -> None:
        """Warm the contender up."""
        self._shape = shape
        self._port = port
        self._accounts = accounts
        self._sample = Sample(units=0)
        self._p50: list[float] = []
        self._p99: list[float] = []
        self._wrk()
        accounts.settle()

    def slice(self) -> None:
        """Drive the load for a slice of the shape's time, from rest to rest."""
        check_view(self._port, self._shape.path)
        cpu, own, started = self._accounts.cpu(), _children_cpu(), time.perf_counter()
        found = self._wrk()
        self._sample.client_seconds += time.perf_counter() - started
        self._sample.client_cpu += _children_cpu() - own
        cpu = self._accounts.settle() - cpu
        check_view(self._port, self._shape.path)
        self._accounts.check()
        self._sample.units += found["requests"]
        self._sample.seconds += found["duration"] / 1e6
        self._sample.cpu += cpu
        self._sample.slices.append(cpu / found["requests"])
        self._p50.append(found["p50"] / 1e6)
        self._p99.append(found["p99"] / 1e6)

    @property
    def units(self) -> int:
        """Requests so far, without the warm-up."""
        return self._sample.units

    def sample(self) -> Sample:
        """Return what all slices together came to; wrk keeps its latencies to itself, so theirs is the median."""
        return replace(self._sample, p50=statistics.median(self._p50), p99=statistics.median(self._p99))

    def close(self) -> None:
        """Wait for the server to notice that the connections are gone, or that falls into another's time."""
        self._accounts.settle()

    def _wrk(self) -> dict[str, int]:
        count, url = str(self._shape.sockets), f"http://127.0.0.1:{self._port}{self._shape.path}"
        argv = ["wrk", "--threads", "1", "--connections", count, "--duration", str(SLICE), "--script", str(SCRIPT), url]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT + SLICE, check=False)
        if done.returncode:
            raise BenchError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
        found: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
        if found["failed"] or found["bad"] or not found["requests"]:
            raise BenchError(f"of {found['requests']} requests {found['failed']} failed, {found['bad']} got an error")
        return found


def check_view(port: int, path: str) -> None:
    """Raise when the view does not say what it should."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if (response.status, body) != (200, VIEW_BODY):
            raise BenchError(f"{path} was answered with {response.status} and {body[:80]!r}")
    except http.client.HTTPException as error:
        raise BenchError(f"{path} was not answered as HTTP: {error!r}") from error
    finally:
        connection.close()


def _children_cpu() -> float:
    """Return the CPU time of children that have ended: of wrk, then, as the servers live on."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
