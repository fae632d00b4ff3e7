"""Settings of the demo, for one machine. Five environment variables change them.

====================  ========================================================  ==============================
variable              meaning                                                   default
====================  ========================================================  ==============================
PROGRESS_DEBUG        1 or 0: Django's DEBUG                                    1
PROGRESS_SECRET_KEY   Django's SECRET_KEY; needed when PROGRESS_DEBUG is 0      a public one, for demos
PROGRESS_DATABASE     path of the SQLite file                                   progress.sqlite3 beside this folder
PROGRESS_LAYER        URL of the channel layer                                  local://
PROGRESS_PAUSE        seconds that the import of one row takes                  0.03
====================  ========================================================  ==============================
"""

import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("PROGRESS_DEBUG", "1") == "1"
# Anybody can read this key, so it protects nothing. Without DEBUG there is no default, and Django refuses to start.
SECRET_KEY = os.environ.get("PROGRESS_SECRET_KEY", "for-the-demo-only-and-known-to-everybody" if DEBUG else "")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = ["fairway", "fairway.tasks", "django.contrib.staticfiles", "progress"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "demo.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# This is all that Fairway needs to know: where messages travel, and that tasks travel with them.
CHANNEL_LAYERS = {
    "default": {
        "URL": os.environ.get("PROGRESS_LAYER", "local://"),
        "ROUTING": "progress.routing.channel_routing",
    },
}
TASKS = {"default": {"BACKEND": "fairway.tasks.ChannelTaskBackend"}}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("PROGRESS_DATABASE", str(BASE_DIR / "progress.sqlite3")),
        # Consumers run side by side on threads. In WAL mode readers and the one writer do not block each other; a
        # writer takes its lock at the start of a transaction, and waits for it rather than fails.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"

PAUSE = float(os.environ.get("PROGRESS_PAUSE", "0.03"))
