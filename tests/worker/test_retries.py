"""The terms on which a consumer is tried again."""

import pytest

from fairway.broker.effects import Again
from fairway.errors import ConsumeLater, DenyConnection, WebsocketCloseException
from fairway.worker.retries import LONGEST_REASON, Retry, as_retry, describe_error


def test_pauses_grow_up_to_the_longest():
    retry = Retry(pause=1, factor=2, longest=10)

    assert [retry.pause_after(retries) for retries in range(6)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("retry", "pause"),
    [(Retry(pause=1, factor=1000.0), 600.0), (Retry(pause=0, factor=1000.0), 0.0), (Retry(pause=3, factor=1), 3)],
)
def test_no_pause_is_too_long_to_be_reckoned(retry, pause):
    assert retry.pause_after(999) == pause


@pytest.mark.parametrize("error", [ValueError(), TimeoutError(), ExceptionGroup("several", [ValueError()])])
def test_every_exception_is_covered_unless_some_are_named(error):
    assert Retry().covers(error)


@pytest.mark.parametrize(
    "error", [SystemExit(), KeyboardInterrupt(), ConsumeLater(), DenyConnection(), WebsocketCloseException()]
)
def test_decisions_and_what_is_no_exception_of_the_consumer_are_never_covered(error):
    assert not Retry().covers(error)


@pytest.mark.parametrize("kinds", [OSError, (KeyError, OSError)])
def test_named_exceptions_and_their_subclasses_are_covered(kinds):
    assert Retry(on=kinds).covers(ConnectionResetError())
    assert not Retry(on=kinds).covers(ValueError())


def test_a_message_is_committed_with_the_pause_the_limit_and_why():
    assert Retry(5).again(0, ValueError("no such row")) == Again(1.0, 5, "failed once: ValueError: no such row")
    assert Retry(5).again(5, ValueError("no such row")) == Again(32.0, 5, "failed 6 times: ValueError: no such row")


def test_a_reason_is_one_line_of_bounded_length():
    reason = Retry().again(2, ValueError("ä\n\t\x00" * 10_000)).reason

    assert reason.startswith("failed 3 times: ValueError: ä ä ä")
    assert len(reason) <= LONGEST_REASON


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError(), "KeyError"),
        (OSError(2, "No such file"), "OSError: [Errno 2] No such file"),
        (ValueError("half \ud800 a pair"), "ValueError: half a pair"),
    ],
)
def test_an_error_is_described_in_text_that_can_be_written_anywhere(error, text):
    described = describe_error(error)

    assert described.replace("FileNotFoundError", "OSError") == text
    assert described.encode()


def test_an_error_that_cannot_be_shown_is_named():
    class Broken(Exception):
        def __str__(self):
            raise LookupError

    assert describe_error(Broken()).endswith("Broken: (its text cannot be had)")


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        ({"times": -1}, ValueError, r"Retry\(times=-1\): give a whole number from 0 to 1000"),
        ({"times": 1001}, ValueError, "times=1001"),
        ({"times": 2.5}, TypeError, "times=2.5"),
        ({"times": True}, TypeError, "times=True"),
        ({"pause": -1}, ValueError, r"Retry\(pause=-1\): give a number from 0 to 86400"),
        ({"pause": "1"}, TypeError, "pause='1'"),
        ({"pause": float("nan")}, ValueError, "pause=nan"),
        ({"pause": False}, TypeError, "pause=False"),
        ({"factor": 0.5}, ValueError, r"Retry\(factor=0.5\): give a number from 1 to 1000"),
        ({"longest": float("inf")}, ValueError, r"Retry\(longest=inf\): give a number from 0 to 86400"),
        ({"on": ()}, TypeError, r"Retry\(on=\(\)\): give an exception class, or a tuple of them"),
        ({"on": BaseException}, TypeError, "BaseException"),
        ({"on": [ValueError]}, TypeError, "ValueError"),
        ({"on": (ValueError, "TypeError")}, TypeError, "'TypeError'"),
    ],
)
def test_what_is_wrong_is_refused_where_it_is_written(wrong, kind, says):
    with pytest.raises(kind, match=says):
        Retry(**wrong)


def test_a_number_stands_for_the_times():
    retry = Retry(2, pause=3)

    assert as_retry(retry) is retry
    assert as_retry(2) == Retry(times=2)


@pytest.mark.parametrize(("value", "kind"), [("2", TypeError), (True, TypeError), (None, TypeError), (-1, ValueError)])
def test_anything_else_does_not(value, kind):
    with pytest.raises(kind):
        as_retry(value)
