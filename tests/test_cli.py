"""The command line: its help, its spellings, what a wrong one is told, and what it imports."""

import subprocess
import sys

import pytest

import fairway
from fairway import cli
from fairway.cli import main, make_parser, normalise


def run(capsys, *argv):
    """Run a command line that is refused or answered at once; return exit code, output and complaints."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


def test_the_version(capsys):
    assert run(capsys, "--version") == (0, f"Fairway {fairway.__version__}\n", "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("serve", ["where it listens:", "--bind ADDRESS", "else 127.0.0.1:8000", "--http-timeout SECONDS", "(60)"]),
        ("up", ["--workers N", "worker processes (2)", "--bind ADDRESS", "SIGHUP"]),
        ("reload", ["exit codes:", "--timeout SECONDS"]),
        ("status", ["exit codes:", "--json"]),
    ],
)
def test_help_shows_options_defaults_and_what_follows(capsys, command, words):
    code, text, _ = run(capsys, command, "--help")
    assert code == 0
    assert [word for word in words if word not in text] == []
    # What only our own supervisors say is no one's business.
    assert "--listen-on" not in text


def test_the_commands_are_listed(capsys):
    code, text, _ = run(capsys, "--help")
    assert (code, [name for name in ("serve", "up", "reload", "status") if f"  {name} " not in text]) == (0, [])
    assert "examples:" in text


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "the following arguments are required: command"),
        (["sail"], "invalid choice: 'sail'"),
        (["serve", "--bind", "8000"], "argument -b/--bind: cannot listen on 8000: write HOST:PORT"),
        (["serve", "--layer", "memory://"], "argument --layer: 'memory://': workers in other processes"),
        (["serve", "--http-timeout=0"], "argument --http-timeout: '0' must be above 0, or -1 for no limit"),
        (
            ["serve", "--http-time=5"],
            "fairway serve: error: unrecognized arguments: --http-time=5; `fairway serve --help`",
        ),
        (["up", "--max-memory=1G"], "argument --max-memory: '1G' must be a whole number"),
        (["up", "--workers=none"], "argument --workers: 'none' must be a whole number, 1 or more"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong(capsys, argv, complaint):
    code, _, errors = run(capsys, *argv)
    assert code == 2
    assert complaint in errors


def test_both_spellings():
    assert normalise(["serve", "--root_path=/a_b", "--http_timeout", "-1", "a_b", "-b"]) == [
        "serve",
        "--root-path=/a_b",
        "--http-timeout",
        "-1",
        "a_b",
        "-b",
    ]
    given = make_parser().parse_args(normalise(["serve", "--max_message", "64k", "--drain_http=3"]))
    assert (given.max_message, given.drain_http) == (65536, 3.0)


def test_each_command_reaches_what_does_the_work(monkeypatch):
    from fairway.supervisor import fleet, logs, serve, status, up

    calls = []
    monkeypatch.setattr(cli, "configure_logging", lambda level, name: calls.append((level, name)))
    monkeypatch.setattr(serve, "run_server", lambda given: calls.append(("serve", given.bind)) or 0)
    monkeypatch.setattr(fleet, "run_fleet", lambda given: calls.append(("fleet", given.processes)) or 0)
    monkeypatch.setattr(up, "run_up", lambda given: calls.append(("up", given.workers)) or 0)
    monkeypatch.setattr(status, "run_status", lambda layer, as_json: calls.append(("status", layer, as_json)) or 3)
    monkeypatch.setattr(status, "run_reload", lambda layer, timeout: calls.append(("reload", layer, timeout)) or 1)
    commands = [
        ["serve", "--bind=fd:3", "--log-level=debug"],
        ["serve", "--processes=2"],
        ["serve", "--processes=2", "--listen-on=5", "--name=server-1"],
        ["up", "--workers=4"],
        ["status", "--json"],
        ["reload", "--timeout=5"],
    ]
    assert [main(argv) for argv in commands] == [0, 0, 0, 0, 3, 1]
    assert calls == [
        ("debug", "server"),
        ("serve", ["fd:3"]),
        ("info", "server"),
        ("fleet", 2),
        ("info", "server-1"),
        ("serve", None),
        ("info", "up"),
        ("up", 4),
        ("status", None, True),
        ("reload", None, 5.0),
    ]
    assert logs.LEVELS


def test_what_cannot_start_says_why(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "configure_logging", lambda level, name: None)
    assert main(["up"]) == 1
    assert capsys.readouterr().err.startswith(f"fairway up: there is no manage.py in {tmp_path} or above it")


@pytest.mark.parametrize("options", [[], ["--bind=127.0.0.1:0"]])
def test_an_extra_that_is_missing_is_a_line(options):
    code = "import sys; sys.modules['httptools'] = None; from fairway.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "serve", *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "pip install 'fairway[server]'" in done.stderr


def test_the_command_line_itself_imports_little():
    """`fairway status` is to answer at once."""
    look = "import sys, fairway.cli; fairway.cli.make_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert {"django", "uvloop", "httptools", "asyncio"}.isdisjoint(done.stdout.split())
