"""The public names of `fairway.security`: there before Django is set up."""

import subprocess
import sys

from fairway import security

ALONE = """
import fairway.security
from fairway.auth import acting, changes, disconnect_user, logins
from django.conf import settings

assert not settings.configured
settings.configure(INSTALLED_APPS=INSTALLED)
import django

django.setup()
from django.contrib.auth.signals import user_logged_out
from fairway.http.current import observers

print(len(user_logged_out.receivers), len(observers))
"""


def test_the_public_names_are_there():
    assert all(callable(getattr(security, name)) for name in security.__all__)


def run(*installed):
    code = f"INSTALLED = {list(installed)}\n{ALONE}"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_them_needs_no_settings_and_only_accounts_are_watched():
    assert run("fairway") == "0 0"


def test_accounts_are_watched_with_and_without_sessions():
    assert run("fairway", "django.contrib.contenttypes", "django.contrib.auth") == "1 1"
