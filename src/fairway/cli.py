"""`fairway serve`, `up`, `reload` and `status`: the options, and the way to what does the work.

Nothing is imported before it is needed: a server must start in a blink, and must never import Django.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import fairway
from fairway.errors import FairwayError, MissingExtra
from fairway.supervisor.logs import configure_logging
from fairway.supervisor.options import (
    LAYER_VARIABLE,
    add_child_options,
    add_server_options,
    count,
    duration,
    layer_url,
    positive,
    seconds,
    some,
)

_DESCRIPTION = """\
Fairway, the realtime layer for Django.

The server holds the browsers' sockets and knows no Django; workers run the code. So code is deployed, crashes and
restarts while the sockets stay open. `fairway up` runs both on one host."""

_EPILOG = """\
examples:
  fairway up --workers 4                     server and workers of the project in this folder
  fairway reload                             new code: new workers start, then the old ones finish and go
  fairway serve --bind unix:/run/shop/web.sock --proxy unix     a server for nginx; workers run elsewhere
  fairway status --json                      what runs, for a program"""

_SERVE = """\
The interface server. It holds the sockets and the hub of a local layer, and imports no Django.
Workers are started apart from it, with `manage.py runworker`."""

_SERVE_EPILOG = """\
examples:
  fairway serve
  fairway serve --bind 0.0.0.0:80 --bind '[::]:80' --processes 4 --access-log -
  fairway serve --bind unix:/run/shop/web.sock --proxy unix --trusted-origin https://shop.example
  fairway serve --layer 'local:///run/shop/fairway.sock?mode=0660&group=www-data'

signals:
  SIGTERM, SIGINT  stop gently: listen no more, finish requests, close WebSockets with 1012 over --drain seconds;
                   a second one leaves at once
  SIGHUP           open the access log anew"""

_UP_EPILOG = """\
examples:
  fairway up                                 the project of this folder: manage.py here or above it
  fairway up --workers 4 --threads 8 --bind 0.0.0.0:8000
  fairway up --settings shop.settings.live --manage /srv/shop/manage.py --access-log /var/log/shop.log

signals:
  SIGTERM, SIGINT  stop gently: the server closes first, with the workers still at work; a second one leaves at once
  SIGHUP           deploy, as `fairway reload`: new workers start with the new code, then the old ones finish and go"""

_UP = """\
Server and workers on this host, kept running: what dies is started again. It needs no Django itself; the workers
are `manage.py runworker`, and a project with delayed messages gets a `manage.py rundelay` beside them. All options of
`fairway serve` are taken too."""

_RELOAD_EPILOG = """\
exit codes:
  0  the new code runs, and the old workers are gone
  1  the new code does not start; its last lines are shown, and the old workers go on
  3  nothing runs"""

_STATUS_EPILOG = """\
exit codes:
  0  all is well
  1  something is not ready
  3  nothing runs"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Texts as they are written; options in one column."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code.

    Raises:
        SystemExit: with 2, when the command line is wrong.
    """
    try:
        given = _read(sys.argv[1:] if argv is None else argv)
    except MissingExtra as error:  # addresses are read by the server's own code
        return _complain("fairway", error)
    run: Callable[[argparse.Namespace], int] = given.run
    try:
        return run(given)
    except FairwayError as error:
        return _complain(f"fairway {given.command}", error)


def _complain(who: str, error: FairwayError) -> int:
    print(f"{who}: {error}", file=sys.stderr)  # noqa: T201
    return 1


def _read(argv: Sequence[str]) -> argparse.Namespace:
    given, unknown = make_parser().parse_known_args(normalise(argv))
    if unknown:
        text = f"unrecognized arguments: {' '.join(unknown)}; `fairway {given.command} --help` lists the options"
        given.command_parser.error(text)
    return given


def normalise(argv: Sequence[str]) -> list[str]:
    """Return a command line in which long options are written with hyphens: `--root_path` is `--root-path`."""
    found = []
    for argument in argv:
        name, equals, value = argument.partition("=")
        found.append(name.replace("_", "-") + equals + value if name.startswith("--") else argument)
    return found


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="fairway", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"Fairway {fairway.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    def add(
        name: str, short: str, run: Callable[[argparse.Namespace], int], long: str, epilog: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            usage=f"fairway {name} [options]",
            help=short,
            description=long,
            epilog=epilog,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run, command_parser=command)
        return command

    serve = add("serve", "the interface server alone", _serve, _SERVE, _SERVE_EPILOG)
    add_server_options(serve)
    add_child_options(serve)
    up = add("up", "server and workers, kept running", _up, _UP, _UP_EPILOG)
    add_server_options(up)
    _add_up_options(up)
    reload = add(
        "reload",
        "give a running `up` the new code",
        _reload,
        "Deploy: as SIGHUP, but it waits and tells.",
        _RELOAD_EPILOG,
    )
    _add_layer(reload)
    reload.add_argument("--timeout", type=seconds, default=-1, metavar="SECONDS", help="wait no longer (no limit)")
    status = add(
        "status", "what runs, and how it is", _status, "Server, workers and layer of this project.", _STATUS_EPILOG
    )
    _add_layer(status)
    status.add_argument("--json", action="store_true", help="everything, for a program")
    return parser


def _add_up_options(parser: argparse.ArgumentParser) -> None:
    project = parser.add_argument_group("project")
    project.add_argument("--manage", metavar="PATH", help="its manage.py (the one here, or in a folder above)")
    project.add_argument("--settings", metavar="MODULE", help="as DJANGO_SETTINGS_MODULE (what manage.py says)")
    workers = parser.add_argument_group("workers; see `manage.py runworker --help`")
    workers.add_argument("--workers", type=positive, default=2, metavar="N", help="worker processes (2)")
    workers.add_argument("--threads", type=positive, metavar="N", help="blocking consumers at once in each")
    workers.add_argument("--coroutines", type=positive, metavar="N", help="coroutine consumers at once in each")
    workers.add_argument("--view-threads", type=positive, metavar="N", help="blocking views with a WebSocket in each")
    workers.add_argument("--only-channels", action="append", metavar="PATTERN", help="may be repeated")
    workers.add_argument("--exclude-channels", action="append", metavar="PATTERN", help="may be repeated")
    workers.add_argument("--grace", type=duration, metavar="SECONDS", help="to finish what runs, at a stop (30)")
    workers.add_argument("--time-limit", type=seconds, metavar="SECONDS", help="for one consumer (no limit)")
    workers.add_argument("--max-messages", type=count, metavar="N", help="then a new process takes over (no limit)")
    workers.add_argument("--max-memory", type=count, metavar="MB", help="then a new process takes over (no limit)")
    workers.add_argument(
        "--start-timeout", type=duration, default=60.0, metavar="SECONDS", help="for new code to report ready (60)"
    )
    delay = parser.add_argument_group("delayed messages; see `manage.py rundelay --help`")
    delay.add_argument(
        "--delay-servers",
        type=some,
        default=1,
        metavar="N",
        help="processes that deliver them, where the project has fairway.delay; 0 leaves them to others (1)",
    )


def _add_layer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layer",
        type=layer_url,
        default=os.environ.get(LAYER_VARIABLE) or None,
        metavar="URL",
        help=f"of the server that is meant (default: {LAYER_VARIABLE}, else local://, the project's own)",
    )


def _serve(given: argparse.Namespace) -> int:
    configure_logging(given.log_level, given.name)
    if given.processes > 1 and not given.listen_on:
        from fairway.supervisor.fleet import run_fleet

        return run_fleet(given)
    from fairway.supervisor.serve import run_server

    return run_server(given)


def _up(given: argparse.Namespace) -> int:
    configure_logging(given.log_level, "up")
    from fairway.supervisor.up import run_up

    return run_up(given)


def _reload(given: argparse.Namespace) -> int:
    from fairway.supervisor.status import run_reload

    return run_reload(given.layer, given.timeout)


def _status(given: argparse.Namespace) -> int:
    from fairway.supervisor.status import run_status

    return run_status(given.layer, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
