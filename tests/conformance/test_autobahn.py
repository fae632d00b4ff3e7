"""The Autobahn WebSocket suite: 517 cases by which most implementations have been measured.

`make conformance` runs them all. ``AUTOBAHN_CASES="5.* 12.1.3"`` picks some, and prints what went over the wire. What
came of each case stays in .cache/autobahn/, one JSON object a line.
"""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.server import echo_server
from tests.support.processes import ROOT

pytestmark = pytest.mark.conformance

HERE = Path(__file__).parent / "autobahn"
VENV = ROOT / ".venvs" / "conformance"
CACHE = ROOT / ".cache" / "autobahn"

CASES = 517
PICKED = os.environ.get("AUTOBAHN_CASES", "").split()
# Most cases wait more than they work, so they run side by side; those of category 9 have deadlines, and run alone.
GROUPS = [
    ("framing to closing", ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"], 8),
    ("limits and performance", ["9.*"], 1),
    ("compression, payloads", ["12.*"], 2),
    ("compression, parameters", ["13.*"], 2),
]
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}


def suite(*arguments: str | Path) -> str:
    """Run a script of autobahn/ in the suite's environment."""
    return subprocess.run(
        [VENV / "bin" / "python", HERE / arguments[0], *arguments[1:]],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


@pytest.fixture(scope="module", autouse=True)
def converted() -> None:
    """The suite in Python 3; made once, and again when the conversion changes."""
    stamp = CACHE / "converted-by"
    script = (HERE / "convert.py").read_text()
    if stamp.exists() and stamp.read_text() == script:
        return
    suite("convert.py", CACHE / "suite")
    stamp.write_text(script)


def drive(patterns: list[str], *, url: str = "", lanes: int = 1, results: Path = CACHE / "unused") -> list[str]:
    """Run the cases that match, or only name them when there is no url. Gives their ids."""
    options: list[str | Path] = ["--suite", CACHE / "suite", "--results", results, "--lanes", str(lanes), "--url", url]
    ids: list[str] = json.loads(suite("driver.py", *options, "--list", *patterns))
    if url:
        suite("driver.py", *options, *patterns)
    return ids


def test_the_suite_is_whole() -> None:
    assert len(drive(["*"])) == CASES
    assert sorted(case for _, patterns, _ in GROUPS for case in drive(patterns)) == sorted(drive(["*"]))


@pytest.mark.parametrize(
    ("name", "patterns", "lanes"),
    [("picked", PICKED, 1)] if PICKED else GROUPS,
    ids=["picked"] if PICKED else [name.replace(" ", "-").replace(",", "") for name, _, _ in GROUPS],
)
def test_no_case_fails(name: str, patterns: list[str], lanes: int) -> None:
    results = CACHE / f"{name.replace(' ', '-').replace(',', '')}.jsonl"
    with echo_server() as url:
        ids = drive(patterns, url=url, lanes=lanes, results=results)
    verdicts = [json.loads(line) for line in results.read_text().splitlines()]
    report(name, verdicts)
    assert sorted(verdict["id"] for verdict in verdicts) == sorted(ids), "a case has no verdict, or two"
    failed = [verdict for verdict in verdicts if not {verdict["behavior"], verdict["behaviorClose"]} <= GOOD]
    assert not failed, "\n".join(describe(verdict) for verdict in failed)


def report(name: str, verdicts: list[dict[str, Any]]) -> None:
    """What a reader of the log wants to know: how many, how strict, how long."""
    counts = collections.Counter(verdict["behavior"] for verdict in verdicts)
    seconds = sum(verdict["seconds"] for verdict in verdicts)
    print(f"\nAutobahn, {name}: {dict(counts)}, {seconds:.0f} s", file=sys.stderr)
    for kind in ("NON-STRICT", "UNIMPLEMENTED"):
        if ids := " ".join(verdict["id"] for verdict in verdicts if verdict["behavior"] == kind):
            print(f"  {kind}: {ids}", file=sys.stderr)
    for verdict in verdicts if PICKED else ():
        print(f"  {verdict['id']} {verdict['behavior']}", *verdict["wirelog"], sep="\n    ", file=sys.stderr)


def describe(verdict: dict[str, Any]) -> str:
    """One failed case in a few lines."""
    return (
        f"{verdict['id']} {verdict['behavior']} (closing: {verdict['behaviorClose']})\n"
        f"    {verdict['description']}\n    expected: {verdict['expectation']}\n"
        f"    got: {verdict['result']} {verdict['resultClose']}, close code {verdict['closeCode']}"
    )
