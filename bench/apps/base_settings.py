"""Settings that all contenders share, so that Django's part of the work is the same for each."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ["BENCH_FOLDER"])

SECRET_KEY = "for the benchmark on this machine only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "bench.apps.notes",
]
ROOT_URLCONF = "bench.apps.urls"
MIDDLEWARE: list[str] = []
if os.environ.get("BENCH_MIDDLEWARE") == "default":
    # What `startproject` writes.
    MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "db.sqlite3",
        # Connections are kept between messages, as a busy site would set it.
        "CONN_MAX_AGE": 60,
    },
}
