"""Settings of the demo, for one machine. Four environment variables change them.

====================  ========================================================  ==============================
variable              meaning                                                   default
====================  ========================================================  ==============================
BOARD_DEBUG           1 or 0: Django's DEBUG                                    1
BOARD_SECRET_KEY      Django's SECRET_KEY; needed when BOARD_DEBUG is 0         a public one, for demos
BOARD_DATABASE        path of the SQLite file                                   board.sqlite3 beside this folder
BOARD_LAYER           URL of the channel layer                                  local://
====================  ========================================================  ==============================
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("BOARD_DEBUG", "1") == "1"
# Anybody can read this key, so it protects nothing. Without DEBUG there is no default, and Django refuses to start.
SECRET_KEY = os.environ.get("BOARD_SECRET_KEY", "for-the-demo-only-and-known-to-everybody" if DEBUG else "")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

# `fairway` is here for its browser client, too: staticfiles serves it as fairway/fairway.js.
INSTALLED_APPS = ["fairway", "django.contrib.staticfiles", "board"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "demo.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# This is all that Fairway needs to know. `local://` reaches every process of this machine: what `manage.py shell`
# saves is seen in the browsers as well.
CHANNEL_LAYERS = {
    "default": {
        "URL": os.environ.get("BOARD_LAYER", "local://"),
        "ROUTING": "board.routing.channel_routing",
    },
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BOARD_DATABASE", str(BASE_DIR / "board.sqlite3")),
        # Handlers run side by side on threads. In WAL mode readers and the one writer do not block each other; a
        # writer takes its lock at the start of a transaction, and waits for it rather than fails.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
