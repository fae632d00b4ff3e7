"""Users that were loaded a moment ago: who gets a copy, and when the database is asked."""

import threading
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from fairway.auth import clear_user_cache, recent
from fairway.auth.recent import RECENT, Kept, Login, RecentUsers, user_max_age
from fairway.database import opened_connections

FOREVER = 1e9


@pytest.fixture
def users():
    """A cache of this test's own."""
    return RecentUsers()


@pytest.fixture
def ada(transactional_db):
    return User.objects.create_user("ada", password="x")


def login_of(user, backend="backend", session_hash="hash"):
    return Login(backend, str(user.pk), session_hash)


def keep(users, user, login=None, max_age=FOREVER):
    users.keep(login or login_of(user), user, users.begin(), max_age)


def test_whoever_was_kept_is_found_by_the_same_login(users, ada):
    keep(users, ada)
    found = users.find(login_of(ada), FOREVER)
    assert (type(found), found.pk, found.username, found._state.db) == (User, ada.pk, "ada", "default")
    assert not found._state.adding
    assert users.find(login_of(ada, backend="another"), FOREVER) is None
    assert users.find(login_of(ada, session_hash="another"), FOREVER) is None
    assert users.find(Login("backend", "0", "hash"), FOREVER) is None


def test_one_user_may_have_several_logins(users, ada):
    keep(users, ada)
    keep(users, ada, login_of(ada, session_hash="another"))
    assert users.find(login_of(ada), FOREVER) == users.find(login_of(ada, session_hash="another"), FOREVER) == ada
    assert len(users) == 1


def test_each_gets_a_copy_of_their_own(users, ada):
    ada.nested = {"list": [1]}
    ada.amount = Decimal(1)
    keep(users, ada)
    ada.nested["list"].append(2)
    ada.username = "changed"
    first = users.find(login_of(ada), FOREVER)
    first.username = "mine"
    first.nested["list"].append(3)
    first._state.adding = True
    second = users.find(login_of(ada), FOREVER)
    assert (second.username, second.nested, second.amount, second._state.adding) == ("ada", {"list": [1]}, 1, False)


class Tracker:
    def __init__(self, user):
        self.user = user


def test_what_refers_to_the_user_refers_to_the_copy(users, ada):
    ada.tracker = Tracker(ada)
    keep(users, ada)
    first, second = users.find(login_of(ada), FOREVER), users.find(login_of(ada), FOREVER)
    assert first.tracker.user is first
    assert second.tracker.user is second


def test_one_on_whom_something_hangs_that_cannot_be_copied_is_not_kept(users, ada):
    ada.lock = threading.Lock()
    keep(users, ada)
    assert len(users) == 0


def test_permissions_that_a_consumer_asked_for_are_not_kept(users, ada):
    keep(users, ada)
    users.find(login_of(ada), FOREVER).get_all_permissions()
    assert not hasattr(users.find(login_of(ada), FOREVER), "_perm_cache")


def test_what_was_loaded_with_the_user_is_not_kept(users, ada):
    ada._state.fields_cache["relation"] = object()
    keep(users, ada)
    assert users.find(login_of(ada), FOREVER)._state.fields_cache == {}


def test_a_copy_can_be_saved(users, ada):
    keep(users, ada)
    found = users.find(login_of(ada), FOREVER)
    found.first_name = "Ada"
    found.save()
    assert User.objects.get().first_name == "Ada"


def test_who_is_too_old_is_not_found(users, ada, monkeypatch):
    keep(users, ada)
    begun = recent.time.monotonic()
    monkeypatch.setattr(recent.time, "monotonic", lambda: begun + 3)
    assert users.find(login_of(ada), 5) is not None
    assert users.find(login_of(ada), 2) is None


def test_logins_that_are_too_old_are_dropped_when_a_new_one_is_kept(users, ada, monkeypatch):
    keep(users, ada)
    begun = recent.time.monotonic()
    monkeypatch.setattr(recent.time, "monotonic", lambda: begun + 10)
    keep(users, ada, login_of(ada, session_hash="another"), max_age=5)
    assert users.find(login_of(ada), FOREVER) is None
    assert users.find(login_of(ada, session_hash="another"), FOREVER) == ada


def test_the_number_of_users_is_bounded(users, ada, monkeypatch):
    monkeypatch.setattr(recent, "MAX_USERS", 2)
    for number in ("1", "2", "1", "3"):
        keep(users, ada, Login("backend", number, "hash"))
    found = [users.find(Login("backend", number, "hash"), FOREVER) for number in ("1", "2", "3")]
    assert found == [ada, None, ada]
    assert len(users) == 2


def test_one_who_was_forgotten_while_being_loaded_is_not_kept(users, ada):
    begun = users.begin()
    users.forget(str(ada.pk))
    users.keep(login_of(ada), ada, begun, FOREVER)
    assert users.find(login_of(ada), FOREVER) is None


def test_clearing_forgets_all(users, ada):
    keep(users, ada)
    begun = users.begin()
    users.clear()
    users.keep(login_of(ada), ada, begun, FOREVER)
    assert len(users) == 0


def test_what_is_no_model_is_not_kept(users):
    keep(users, SimpleNamespace(pk=1))
    keep(users, User(pk=1))
    assert len(users) == 0


def test_inside_a_transaction_nobody_is_kept_or_found(users, ada):
    with transaction.atomic():
        keep(users, ada)
        assert len(users) == 0
    keep(users, ada)
    # As a worker's thread has it, the connection is one that Fairway has seen being opened.
    with transaction.atomic(), seen_connection():
        assert users.find(login_of(ada), FOREVER) is None
    assert users.find(login_of(ada), FOREVER) == ada


@contextmanager
def seen_connection():
    opened_connections()["default"] = connection
    yield
    opened_connections().clear()


@pytest.fixture
def kept(ada):
    """`ada`, kept for the whole process."""
    clear_user_cache()
    keep(RECENT, ada)
    yield lambda: login_of(ada) in RECENT._users.get(str(ada.pk), {})
    clear_user_cache()


def test_a_saved_user_is_forgotten(ada, kept):
    assert kept()
    ada.save()
    assert not kept()


def test_a_deleted_user_is_forgotten(ada, kept):
    User.objects.all().delete()
    assert not kept()


def test_a_user_who_is_saved_as_a_proxy_is_forgotten(ada, kept):
    ada.__class__ = Person
    ada.save()
    assert not kept()


class Person(User):
    class Meta:
        proxy = True
        app_label = "auth"


def test_a_user_saved_in_a_transaction_is_forgotten_again_when_it_commits(ada, kept):
    with transaction.atomic():
        ada.save()
        assert not kept()
        in_another_thread(lambda: keep(RECENT, ada))  # as it was before
        assert kept()
    assert not kept()


def in_another_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_other_models_are_not_watched(kept):
    Group.objects.create(name="a").delete()
    assert kept()
    assert get_user_model() in RECENT._watched


def test_the_greatest_age_is_a_setting(settings):
    assert user_max_age() == 5
    for value in (0, 0.5, 60):
        settings.CHANNEL_USER_MAX_AGE = value
        assert user_max_age() == value


@pytest.mark.parametrize("value", [-1, "5", None, True, float("nan")])
def test_an_age_that_is_none_is_named(settings, value):
    settings.CHANNEL_USER_MAX_AGE = value
    with pytest.raises(ImproperlyConfigured, match="CHANNEL_USER_MAX_AGE is a number of seconds"):
        user_max_age()


def test_keeping_somebody_copies_what_may_change(ada):
    ada.nested = [1]
    kept = Kept(ada, "default", 0.0)
    ada.nested.append(2)
    assert kept.copy().nested == [1]
