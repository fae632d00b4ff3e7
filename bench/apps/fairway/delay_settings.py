"""The same with the delay app, on SQLite or on the PostgreSQL that the harness names.

In an environment of its own: with the app installed `runserver` runs a delay server, too.
"""

from __future__ import annotations

import os

from bench.apps.fairway.settings import *  # noqa: F403 - a settings module is read by name
from bench.apps.fairway.settings import DATABASES, INSTALLED_APPS
from bench.plan import POSTGRES

INSTALLED_APPS = [*INSTALLED_APPS, "fairway.delay"]

if folder := os.environ.get(POSTGRES):
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": folder,
        "NAME": "postgres",
        "USER": "bench",
        "CONN_MAX_AGE": 60,
    }
