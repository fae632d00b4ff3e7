"""The public names, and what importing them costs."""

import subprocess
import sys

import fairway.rohrpost


def test_each_name_is_there():
    for name in fairway.rohrpost.__all__:
        assert getattr(fairway.rohrpost, name).__name__ == name
    assert set(fairway.rohrpost.__all__) <= set(dir(fairway.rohrpost))


def test_the_handlers_know_nothing_of_subscriptions_before_somebody_wants_them():
    """So an application may have handlers of its own under these names."""
    script = (
        "import django.conf; django.conf.settings.configure(); import fairway.rohrpost as r\n"
        "r.handle_rohrpost_message, r.send_message, r.rohrpost_handler\n"
        "from fairway.rohrpost.registry import HANDLERS; print(sorted(HANDLERS))\n"
        "r.rohrpost_subscription; print(sorted(HANDLERS))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "['ping']\n['ping', 'subscribe', 'unsubscribe']\n"
