"""Settings of the demo, for one machine. Three environment variables change them.

=================  ============================================================  ==========================
variable           meaning                                                       default
=================  ============================================================  ==========================
CHAT_DEBUG         1 or 0: Django's DEBUG                                        1
CHAT_SECRET_KEY    Django's SECRET_KEY; needed as soon as CHAT_DEBUG is 0        a public one, for demos
CHAT_DATABASE      path of the SQLite file                                       chat.sqlite3 beside manage.py
=================  ============================================================  ==========================
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("CHAT_DEBUG", "1") == "1"
# Anybody can read this key, so it protects nothing. Without DEBUG there is no default, and Django refuses to start.
SECRET_KEY = os.environ.get("CHAT_SECRET_KEY", "for-the-demo-only-and-known-to-everybody" if DEBUG else "")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = ["fairway", "django.contrib.staticfiles", "chat"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "demo.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# This is all that Fairway needs to know.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "fairway.layers.MemoryLayer",
        "ROUTING": "chat.routing.channel_routing",
    },
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("CHAT_DATABASE", str(BASE_DIR / "chat.sqlite3")),
        # Consumers run side by side on threads. In WAL mode readers and the one writer do not block each other; a
        # writer takes its lock at the start of a transaction, and waits for it rather than fails.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"  # browsers show their own

# Two levels deep, so that no room's name (`/static/`) is hidden by it.
STATIC_URL = "/static/files/"
