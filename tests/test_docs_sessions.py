"""The pages about sessions and users: their code runs as it stands."""

from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from fairway import Channel, route
from tests.support.chain import CLIENT, Chain
from tests.support.connection import Connection
from tests.support.pages import run_page
from tests.support.waiting import wait_until


def test_sessions(transactional_db):
    page = run_page("reference/sessions.md")
    routing = [
        route("websocket.connect", page["connect"]),
        route("websocket.receive", page["receive"]),
        route("rename", page["rename"]),
    ]
    session = SessionStore()
    session["cart"] = [1]
    session.save()
    with Chain(routing) as chain:
        assert Connection(chain).connect() == [{"close": True}]
        connection = Connection(chain, headers=[(b"cookie", b"sessionid=" + session.session_key.encode())])
        assert connection.connect() == [{"accept": True}]
        assert [connection.receive(), connection.receive()] == [[{"text": "1"}], [{"text": "2"}]]
        Channel("rename", channel_layer=chain.layer).send({"who": CLIENT, "name": "Ada"})
        ask = wait_until(lambda: [item for item in chain.look() if hasattr(item, "question")])[0]
        chain.inbox.answer(ask.token, connection.state)
        connection.state.update(wait_until(lambda: chain.states()[2:])[0])
        assert connection.session == {"frames": 2, "name": "Ada"}


def test_users(transactional_db):
    page = run_page("reference/users.md")
    routing = [
        route("websocket.connect", page["connect"]),
        route("websocket.receive", page["areceive"], text="a"),
        route("websocket.receive", page["receive"]),
    ]
    request = HttpRequest()
    request.session = SessionStore()
    auth.login(request, User.objects.create_user("ada", password="x"))
    request.session.save()
    with Chain(routing) as chain:
        assert Connection(chain).connect() == [{"reject": {"status": 403}}]
        connection = Connection(chain, headers=[(b"cookie", b"sessionid=" + request.session.session_key.encode())])
        assert connection.connect() == [{"accept": True}]
        assert connection.receive("hi") == [{"text": "ada: hi"}]
        assert connection.receive("async") == [{"text": "ada: async"}]
