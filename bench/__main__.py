"""The command line: ``python -m bench``."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import machine
from bench.contenders import CONTENDERS, Contender, FairwayHub, FairwayJoined, FairwayRedis
from bench.errors import BenchError
from bench.occasions import watch_occasions
from bench.plan import FAMILIES, HTTP, SHAPES, Shape
from bench.processes import affinity, cores
from bench.profile import portray
from bench.report import RESULTS_FILE, Report, replace_section
from bench.runner import Runner

OTHER_FILES = 400  # What is open beside the sockets to the contenders.
OCCASIONS = "occasions"
PROFILE_FILE = Path(__file__).parents[1] / "docs" / "explanation" / "performance.md"
WATCHED = (FairwayHub, FairwayJoined, FairwayRedis)  # To whom things happen once in a while.
PORTRAYED = [kind for kind in CONTENDERS if issubclass(kind, FairwayHub)]
PROFILED = ("rate-100", "http", "http-default")

DESCRIPTION = """\
Measure Fairway (in one process, as server and worker process with the hub between them, with hubs joined through Redis,
and with Redis alone) beside the floor (a bare uvloop loop that only writes frames) and Channels 4 (under uvicorn and
under Daphne, each with a Redis of its own and the pub/sub layer, under uvicorn also with the core layer); for HTTP
beside gunicorn (gthread), granian (WSGI), uvicorn and Daphne. Contenders take turns, half a second each; what is
printed are medians over the rounds with their range.

  fanout   1,000 sockets: one group with 100-byte and with 4 KiB messages, 100 groups of 10, and clients that offer
           permessage-deflate. A member publishes, the consumer sends to the group, the client counts the deliveries.
  echo     closed loop: 1 and 100 sockets on a plain consumer, the same on a JSON class with session user, and one ORM
           query per message, and 100 sockets of which one is on a consumer that takes 200 ms (latency of the other 99).
  rohrpost 100 sockets that send pings to fairway.rohrpost, with and without users, beside a JSON consumer that echoes
           the same frames.
  rate     the echo with 100 sockets where servers and client share all cores: plain, with the slow consumer, and the
           JSON class with session user. Here and in echo the plain one is done by views that own their sockets, too:
           blocking ones and coroutines.
  http     a trivial view without middleware; http-default: the same behind Django's default middleware. wrk asks.
  memory   anonymous memory per idle connection over 2,000 sockets, with and without deflate offered, and over 15,000.
  crowd    fan-out to 15,000 sockets.
  message  through the Redis layer alone, from one process to another, beside both layers of channels_redis.
  delay    messages for later through `manage.py rundelay`, on SQLite and on PostgreSQL: how late they are, and how many
           are scheduled and delivered.
  servers-1, servers-2, servers-4  group sends to members on so many servers.
  occasions  how fast a killed worker's message runs again; how fast `fairway serve` is ready, and its memory then; how
           long group sends miss somebody after Redis has come back empty.

CPU is user plus system time of all server-side processes, Redis included, from the operating system; for delay, of the
delay server and of its database. But for rate and delay, servers are pinned to one core and the client to another,
where it spins (wrk does not). Every message is counted and a sample is compared; a lost, surplus or wrong one makes the
round fail instead of being measured."""

EPILOG = """\
examples:
  python -m bench --quick                                     everything once, in about six minutes
  python -m bench --only echo --contenders fairway,uvicorn    two rounds of one family on two contenders
  python -m bench --shapes fanout-100,echo-100 --rounds 5
  python -m bench --profile                                   where the time of the hub goes, by room and function
  python -m bench --json bench.json --write-results           the full run (about 15 minutes), kept in RESULTS.md

Needs Linux, the packages of the dependency group "bench", redis-server for Channels 4, postgresql for delay, and wrk
for HTTP. What is missing is left out, aloud. Listens and connects on 127.0.0.1 only. Server logs are in the folder that
is named at the start, and stay there when something failed, which the exit status tells too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.quick and options.write_results:
        parser.error("a quick run is not for bench/RESULTS.md")
    # A `kill` must end the servers as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; the servers are ended", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    all_cores = os.sched_getaffinity(0)
    server_cores, client_cores = cores()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    if options.profile:
        return _profile(options, folder)
    contenders, skipped = _contenders(options.contenders, folder)
    shapes = [shape.quick() if options.quick else shape for shape in SHAPES if _chosen(shape, options)]
    shapes = _possible(shapes, contenders, skipped)
    watched = OCCASIONS in options.only and not options.shapes
    if not contenders or not (shapes or watched):
        raise BenchError("nothing left to measure")
    contenders = [each for each in contenders if _is_needed(each, shapes) or (watched and type(each) in WATCHED)]
    rounds = options.rounds or (1 if options.quick else 2)
    _say(f"{len(shapes)} shapes, {len(contenders)} contenders, {rounds} rounds; logs in {folder}")
    started = len(contenders)
    watch, own = machine.Disturbance(), machine.own_cpu()
    os.sched_setaffinity(0, client_cores)
    contenders = _prepared(contenders, skipped)
    results = Runner(contenders, shapes, rounds, server_cores, all_cores, _say).run()
    if watched:
        with affinity(all_cores):
            results.occasions = [
                found
                for contender in contenders
                if isinstance(contender, FairwayHub) and type(contender) in WATCHED
                for found in watch_occasions(contender, _say, quick=options.quick)
            ]
    report = Report(
        results=results,
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        date=_now(),
        rounds=rounds,
        pinning=_pinning(server_cores, client_cores),
        machine=machine.describe(),
        versions={contender.key: contender.versions() for contender in contenders},
        disturbance=watch.share(machine.own_cpu() - own),
        skipped=skipped,
    )
    print(f"\n{report.terminal()}")
    if options.json:
        options.json.write_text(report.json(), encoding="utf-8")
    if options.write_results:
        report.write_results()
        _say(f"written to {RESULTS_FILE}")
    failed = any(row.errors for row in results.rows) or any(each.error for each in results.occasions)
    failed = failed or len(contenders) < started
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


def _profile(options: argparse.Namespace, folder: Path) -> int:
    """Print where the time goes, on all cores; the stacks stay in the folder."""
    shapes = [shape for shape in SHAPES if shape.key in (options.shapes or PROFILED)]
    kind = next((kind for kind in PORTRAYED if options.contenders == [kind.key]), FairwayHub)
    contender = kind(folder / kind.key)
    if reason := contender.missing():
        raise BenchError(reason)
    _say(f"{len(shapes)} shapes; logs and stacks in {folder}")
    tables = portray(contender, shapes, _say)
    if options.write_results:
        circumstances = f"{_now()}; {'; '.join(machine.describe().values())}"
        replace_section(PROFILE_FILE, f"{circumstances}.\n\n{tables}")
        _say(f"\nwritten to {PROFILE_FILE}")
    return 0


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _contenders(keys: list[str], folder: Path) -> tuple[list[Contender], dict[str, str]]:
    """Return who can be measured, and who cannot with the reason."""
    found, skipped = [], {}
    for kind in CONTENDERS:
        if kind.key in keys:
            contender = kind(folder / kind.key)
            if reason := contender.missing():
                skipped[kind.key] = reason
                _say(f"left out, {kind.key}: {reason}")
            else:
                found.append(contender)
    return found, skipped


def _prepared(contenders: list[Contender], skipped: dict[str, str]) -> list[Contender]:
    """Return the contenders whose database could be built."""
    ready = []
    for contender in contenders:
        try:
            contender.prepare()
            ready.append(contender)
        except BenchError as error:
            skipped[contender.key] = str(error).strip().splitlines()[-1]
            _say(f"left out, {contender.key}: {error}")
    if not ready:
        raise BenchError("nothing left to measure")
    return ready


def _chosen(shape: Shape, options: argparse.Namespace) -> bool:
    return shape.family in options.only and (not options.shapes or shape.key in options.shapes)


def _is_needed(contender: Contender, shapes: list[Shape]) -> bool:
    return any(contender.does(shape) for shape in shapes)


def _possible(shapes: list[Shape], contenders: list[Contender], skipped: dict[str, str]) -> list[Shape]:
    """Return the shapes for which this machine has what they need."""
    possible = []
    for shape in shapes:
        takers = sum(contender.does(shape) for contender in contenders)
        # Idle memory is measured on one contender after the other, and each crowd has a client of its own.
        files = shape.sockets * (1 if shape.family in ("memory", "crowd") else takers) + OTHER_FILES
        if shape.family in HTTP and not shutil.which("wrk"):
            skipped[shape.key] = "wrk is not installed (apt-get install wrk)"
        elif _raise_file_limit(files) < files:
            skipped[shape.key] = f"needs {files} open files, more than the hard limit here (ulimit -Hn)"
        elif takers:
            possible.append(shape)
            continue
        if shape.key in skipped:
            _say(f"left out, {shape.key}: {skipped[shape.key]}")
    return possible


def _raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files, which servers inherit, as far as this user may; return what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # only root may raise the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _pinning(server_cores: set[int], client_cores: set[int]) -> str:
    if server_cores == client_cores:
        return "server and client share the only core: rates and latencies are of little use"
    server, client = min(server_cores), min(client_cores)
    return (
        f"all server-side processes of every contender pinned to core {server}, the client to core {client}; "
        "where it says so, both are free to use all cores"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    keys = [kind.key for kind in CONTENDERS]
    families = [*FAMILIES, OCCASIONS]
    parser.add_argument(
        "--only", type=_choices(families), default=families, metavar="FAMILY,…", help="of " + ", ".join(families)
    )
    shapes = [shape.key for shape in SHAPES]
    parser.add_argument(
        "--shapes", type=_choices(shapes), default=[], metavar="SHAPE,…", help="of " + ", ".join(shapes)
    )
    parser.add_argument(
        "--contenders", type=_choices(keys), default=keys, metavar="NAME,…", help="of " + ", ".join(keys)
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="default 2; with --quick 1")
    parser.add_argument(
        "--quick", action="store_true", help="short loops and 500 idle sockets: to see that it works, not to quote"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="measure nothing; show with py-spy where the time of fairway-hub goes, or with --contenders that of "
        "another one with a worker process",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round of every row there")
    parser.add_argument(
        "--write-results",
        action="store_true",
        help="replace what stands in bench/RESULTS.md, or with --profile in docs/explanation/performance.md",
    )
    return parser


def _choices(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [word.strip() for word in text.split(",") if word.strip()]
        if unknown := [word for word in chosen if word not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (choose from {', '.join(allowed)})")
        return chosen

    return parse


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
