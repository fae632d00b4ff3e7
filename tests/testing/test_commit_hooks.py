import logging

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, transaction

from fairway.testing.commit_hooks import drop_commit_hooks, run_commit_hooks


@pytest.mark.django_db
def test_hooks_run_once_and_in_their_order():
    runs = []
    transaction.on_commit(lambda: runs.append(1))
    transaction.on_commit(lambda: runs.append(2))
    run_commit_hooks()
    run_commit_hooks()
    assert runs == [1, 2]


@pytest.mark.django_db
def test_a_hook_that_adds_one_has_it_run_too():
    runs = []
    transaction.on_commit(lambda: transaction.on_commit(lambda: runs.append(1)))
    run_commit_hooks()
    assert runs == [1]


@pytest.mark.django_db
def test_inside_a_transaction_of_the_code_they_wait():
    runs = []
    with transaction.atomic():
        transaction.on_commit(lambda: runs.append(1))
        run_commit_hooks()
        assert runs == []
    run_commit_hooks()
    assert runs == [1]


@pytest.mark.django_db(transaction=True)
def test_a_real_transaction_is_left_alone():
    runs = []
    with transaction.atomic():
        transaction.on_commit(lambda: runs.append(1))
        run_commit_hooks()
        assert runs == []
    assert runs == [1]


@pytest.mark.django_db
def test_a_hook_that_fails_raises_and_a_robust_one_is_logged(caplog):
    def fail():
        raise ZeroDivisionError

    transaction.on_commit(fail)
    with pytest.raises(ZeroDivisionError):
        run_commit_hooks()
    transaction.on_commit(fail, robust=True)
    run_commit_hooks()
    assert caplog.record_tuples == [("fairway.testing", logging.ERROR, "error in on_commit(..., robust=True)")]


@pytest.mark.django_db
def test_what_somebody_else_took_care_of_is_forgotten():
    runs = []
    transaction.on_commit(lambda: runs.append(1))
    seen = len(connection.run_on_commit)
    transaction.on_commit(lambda: runs.append(2))
    drop_commit_hooks(DEFAULT_DB_ALIAS, seen)
    run_commit_hooks()
    assert runs == [1]
