"""Answers under tokens: whoever waits is given them, whichever came first."""

import pytest

from fairway.layers.redis import answers as answers_module
from fairway.layers.redis.answers import Answers
from fairway.layers.redis.operations import Await


def test_an_answer_goes_to_who_waits_for_it() -> None:
    answers, found = Answers(), []
    assert answers.expect(Await("#0", "me/1"), found.append)
    assert answers.expect(Await("s!", "me/2"), found.append)
    answers.take("#0", [b"2", b"of another shard", b"1", b"one"])
    answers.take("s!", [b"2", b"two"])
    answers.take("s!", [b"2", b"once more"])
    assert found == [b"one", b"two"]


def test_an_answer_may_be_there_before_the_question() -> None:
    answers, found = Answers(), []
    answers.take("#0", [b"1", b""])
    assert not answers.expect(Await("#0", "me/1"), found.append)
    assert found == [b""]


def test_early_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "EARLY", 2)
    answers, found = Answers(), []
    for number in (b"1", b"2", b"3"):
        answers.take("#0", [number, number])
    assert answers.expect(Await("#0", "me/1"), found.append)
    assert not answers.expect(Await("#0", "me/2"), found.append)
    assert not answers.expect(Await("#0", "me/3"), found.append)
    assert found == [b"2", b"3"]


def test_what_is_forgotten_is_given_to_nobody() -> None:
    answers, found = Answers(), []
    answers.expect(Await("#0", "me/1"), found.append)
    answers.expect(Await("#0", "me/2"), found.append)
    answers.forget(Await("#0", "me/1"))
    answers.take("#0", [b"1", b"x"])
    answers.clear()
    answers.take("#0", [b"2", b"x"])
    assert found == []
