"""Settings of the demo, for one machine. Four environment variables change them.

====================  ========================================================  ==============================
variable              meaning                                                   default
====================  ========================================================  ==============================
LIVEBLOG_DEBUG        1 or 0: Django's DEBUG                                    1
LIVEBLOG_SECRET_KEY   Django's SECRET_KEY; needed when LIVEBLOG_DEBUG is 0      a public one, for demos
LIVEBLOG_DATABASE     path of the SQLite file                                   liveblog.sqlite3 beside this folder
LIVEBLOG_LAYER        URL of the channel layer                                  local://
====================  ========================================================  ==============================
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("LIVEBLOG_DEBUG", "1") == "1"
# Anybody can read this key, so it protects nothing. Without DEBUG there is no default, and Django refuses to start.
SECRET_KEY = os.environ.get("LIVEBLOG_SECRET_KEY", "for-the-demo-only-and-known-to-everybody" if DEBUG else "")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "fairway",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "liveblog",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "demo.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "blog"
LOGOUT_REDIRECT_URL = "login"

# This is all that Fairway needs to know. `local://` reaches every process of this machine: what `manage.py shell`
# saves is seen in the browsers as well.
CHANNEL_LAYERS = {
    "default": {
        "URL": os.environ.get("LIVEBLOG_LAYER", "local://"),
        "ROUTING": "liveblog.routing.channel_routing",
    },
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("LIVEBLOG_DATABASE", str(BASE_DIR / "liveblog.sqlite3")),
        # Consumers run side by side on threads. In WAL mode readers and the one writer do not block each other; a
        # writer takes its lock at the start of a transaction, and waits for it rather than fails.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"  # browsers show their own
STATIC_URL = "/static/"
