"""The page about guards: its code runs, and it names what there is."""

import re

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied

from fairway import Message, security
from fairway.errors import DenyConnection
from fairway.security import permissions
from tests.test_docs_application import DOCS, run_page

PAGE = "reference/security.md"


def test_its_consumers_are_guarded():
    page = run_page(PAGE)
    message = Message({"path": "/", "reply_channel": "x", "headers": []}, "websocket.connect", None)
    message.user = AnonymousUser()
    for name in ("connect", "EarlyBirds", "Editor", "Vault"):
        with pytest.raises(DenyConnection):
            page[name](message)


async def test_its_coroutine_is():
    message = Message({}, "work", None)
    message.user = AnonymousUser()
    with pytest.raises(PermissionDenied):
        await run_page(PAGE)["receive"](message)
    message.user = User(username="ada")
    with pytest.raises(AttributeError):  # it was let through, to a message that nobody can answer
        await run_page(PAGE)["receive"](message)


def test_it_names_all_that_is_public_and_what_clients_are_told():
    text = (DOCS / PAGE).read_text()
    named = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", text)) | set(re.findall(r"class \w+\((\w+)\)", text))
    assert set(security.__all__) - named == set()
    reasons = {permissions._LOGIN.reason, "permission denied", "not allowed"}
    assert reasons == set(re.findall(r'"(\w+ \w+)"', text))
