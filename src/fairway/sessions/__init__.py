"""Sessions in consumers: the connection's own (`channel_session`), and the browser's (`http_session`).

The public names. None of them imports a model, so they are there without `django.contrib.sessions` installed.
"""

from fairway.sessions.decorators import channel_and_http_session, channel_session, enforce_ordering, http_session
from fairway.sessions.engines import session_for_reply_channel

__all__ = [
    "channel_and_http_session",
    "channel_session",
    "enforce_ordering",
    "http_session",
    "session_for_reply_channel",
]
