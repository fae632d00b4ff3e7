"""`manage.py prepare_bench`: fill the database and log a user in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.management.base import BaseCommand

from bench.apps.notes.models import Note
from bench.plan import VARIANTS


class Command(BaseCommand):
    """Prints the session key."""

    help = "Create the user 'bench', their notes and a session; print the session's key."

    def handle(self, *_: Any, **__: Any) -> None:
        """Create everything anew."""
        users = get_user_model().objects
        users.filter(username="bench").delete()
        user = users.create_user("bench")
        Note.objects.bulk_create(Note(owner=user, number=number, title=f"Note {number}") for number in range(VARIANTS))
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        self.stdout.write(session.session_key)
