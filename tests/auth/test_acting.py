"""Whose session acts here. What becomes of its sockets is seen in test_changes."""

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from fairway import route
from fairway.auth.acting import Login, acting_session, cookie_of, http_keys
from fairway.auth.logins import STATE_KEY
from fairway.http.current import current_request
from fairway.layers.codec import pack_value
from tests.support.chain import CLIENT, REQUESTS, Chain


def test_a_login_as_groups_and_sessions_know_it():
    user = User(pk=5, password="x")
    assert Login.of(user) == ("fairway.user.5", "5", user.get_session_auth_hash())


def test_outside_of_requests_and_consumers_nobody_is_known():
    assert acting_session() is None


@pytest.mark.parametrize(
    ("session", "cookies", "expected"),
    [
        (SessionStore("new-session"), {"sessionid": "old"}, {"new-session", "old"}),
        (SessionStore(), {"sessionid": "old"}, {"old"}),
        (SessionStore(), {}, set()),
        (CookieStore("signed"), {"sessionid": "old"}, set()),
        (None, {"sessionid": "old"}, set()),
    ],
)
def test_keys_of_a_request(session, cookies, expected):
    request = SimpleNamespace(session=session, COOKIES=cookies)
    assert http_keys(request) == expected


def test_a_stand_in_for_a_request_has_no_keys():
    assert http_keys(SimpleNamespace()) == set()
    assert cookie_of(None) is None


def test_a_consumer_acts_for_its_connection_and_the_session_of_it():
    seen = []

    def consumer(message):
        with_state = message.content.get("text")
        if with_state:
            message.state["x"] = 1
        seen.append(acting_session().channels(chain.layer))

    def nobody(message):
        seen.append(acting_session())

    with Chain([route("websocket.receive", consumer), route("work", nobody)]) as chain:
        chain.layer.group_add("fairway.session.x", "other")
        state = {STATE_KEY: pack_value("fairway.session.x", STATE_KEY)}
        chain.run("websocket.receive", {"path": "/", "text": ""}, state=state)
        chain.run("websocket.receive", {"path": "/", "text": "looks at the state"}, order=1, state=state)
        chain.run("websocket.receive", {"path": "/", "text": ""}, order=2, state={})
        chain.layer.send("work", {})
        chain.run("websocket.receive", {"path": "/", "text": ""}, order=3, state={})
    assert seen[:3] == [{CLIENT, "other"}, {CLIENT, "other"}, {CLIENT}]
    assert None in seen


def test_a_request_comes_before_the_consumer_that_runs_it(db):
    seen = []

    def consumer(message):
        token = current_request.set(SimpleNamespace(session=SessionStore("key"), COOKIES={}))
        seen.append(acting_session().channels(chain.layer))
        current_request.reset(token)

    with Chain([route("http.request", consumer)]) as chain:
        chain.run("http.request", {"path": "/"}, reply=f"{REQUESTS}c1")
    assert seen == [set()]
