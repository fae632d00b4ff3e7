"""The public names of `fairway.sessions`: there before Django is set up, and without its sessions installed."""

import subprocess
import sys

import fairway.sessions

ALONE = """
import fairway.sessions, fairway.auth.users
from django.conf import settings

settings.configure(INSTALLED_APPS=["fairway"])
import django

django.setup()
message = fairway.Message({"reply_channel": "websocket.send.x!y"}, "websocket.receive", None)


@fairway.sessions.channel_session
def consumer(message):
    message.channel_session["n"] = 1


consumer(message)
print(message.state["fairway.session"].decode())
"""


def test_the_public_names_are_there():
    assert all(callable(getattr(fairway.sessions, name)) for name in fairway.sessions.__all__)


def test_channel_sessions_need_neither_settings_at_the_import_nor_installed_apps():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ('{"n":1}\n', "")
