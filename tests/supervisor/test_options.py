"""How each option is written, what a wrong one is told, and how a command line is made again."""

import argparse

import pytest

from fairway.limits import UNLIMITED, ServerLimits
from fairway.supervisor import options
from fairway.supervisor.options import LIMITS, add_child_options, add_server_options, arguments, server_limits


def make_parser():
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_server_options(parser)
    add_child_options(parser)
    return parser


def read(*argv):
    return make_parser().parse_args(argv)


def test_nothing_given_means_the_defaults():
    given = read()
    assert server_limits(given) == ServerLimits()
    assert (given.bind, given.layer, given.processes, given.access_log) == (None, None, 1, "off")
    assert arguments(make_parser(), given) == []


def test_every_limit_reaches_its_record():
    values = {"seconds": "7.5", "duration": "0", "count": "9", "size": "3k"}
    wanted = {"seconds": 7.5, "duration": 0.0, "count": 9, "size": 3072}
    for limit in LIMITS:
        limits = server_limits(read(limit.flag, values[limit.read.__name__]))
        record = getattr(limits, limit.record) if limit.record else limits
        assert getattr(record, limit.name) == wanted[limit.read.__name__]
        assert limits != ServerLimits()


def test_unlimited():
    limits = server_limits(read("--http-timeout", "-1", "--max-body=-1", "--max-connections", "-1"))
    assert limits.http.answer_timeout == limits.http.body_total == limits.rates.connections == UNLIMITED


@pytest.mark.parametrize(("text", "number"), [("65536", 65536), ("64k", 65536), ("1M", 1 << 20), ("2g", 2 << 30)])
def test_sizes(text, number):
    assert options.size(text) == number


def test_a_number_of_things_that_there_may_be_none_of():
    assert (options.some("0"), options.some("12")) == (0, 12)
    for text in ("-1", "some", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number, 0 or more"):
            options.some(text)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--http-timeout", "0"], "'0' must be above 0, or -1 for no limit"),
        (["--http-timeout", "soon"], "'soon' is no number"),
        (["--http-timeout", "nan"], "'nan' is no number"),
        (["--drain", "-1"], "'-1' must be 0 or more seconds"),
        (["--processes", "0"], "'0' must be a whole number, 1 or more"),
        (["--max-connections", "many"], "1 or more, or -1 for no limit"),
        (["--max-message", "1x"], "'1x' is no size; write bytes"),
        (["--max-message", ""], "'' is no size"),
        (["--bind", "8000"], "write HOST:PORT"),
        (["--admin-bind", "fd:3"], "write HOST:PORT or unix:PATH"),
        (["--proxy", "nginx"], "'nginx' is no address of a proxy; write 10.0.0.5"),
        (["--root-path", "shop"], "'shop' must begin with a slash"),
        (["--trusted-origin", "example.com"], "write https://example.com"),
        (["--capacity", "work"], "write CHANNEL=NUMBER"),
        (["--expiry", "work=0"], "write CHANNEL=NUMBER"),
        (["--layer", "fairway.sock"], "'fairway.sock' is no URL; write local://"),
        (["--layer", "memory://"], "workers in other processes could not reach it; use local://"),
    ],
)
def test_what_is_wrong_is_told_with_the_remedy(argv, words):
    with pytest.raises(argparse.ArgumentError) as raised:
        read(*argv)
    assert raised.value.argument_name.endswith(argv[0])
    assert words in str(raised.value)


def test_a_command_line_is_made_again():
    argv = [
        "--bind=127.0.0.1:1",
        "--bind=unix:/run/x",
        "--root-path=/shop",
        "--proxy=10.0.0.0/8",
        "--proxy=unix",
        "--trusted-origin=https://example.com",
        "--capacity=work=5",
        "--expiry=work=-1",
        "--http-timeout=-1.0",
        "--max-message=65536",
        "--admin-bind=[::1]:9000",
        "--hub-bind=0.0.0.0:7400",
        "--hub-bind=[::]:7400",
        "--hub-certificate=/etc/hub.pem",
        "--hub-key=/etc/hub.key",
        "--hub-secret-file=/etc/secret",
        "--listen-on=5",
    ]
    given = read(*argv)
    again = arguments(make_parser(), given)
    assert read(*again) == given
    assert sorted(again) == sorted(argv)
    assert "--root-path=/shop" not in arguments(make_parser(), given, leave_out=["root_path"])


def test_what_only_another_parser_knows_is_left_out():
    given = argparse.Namespace(workers=3, **vars(read("--root-path", "/")))
    assert arguments(make_parser(), given) == []
