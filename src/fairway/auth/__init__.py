"""Who is at the other end of a connection: `message.user`, and what becomes of it when somebody logs out.

The names below are the public ones. Each is imported when it is first asked for, because their modules need Django's
models, and importing this package needs none.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.auth.logins import adisconnect_user, disconnect_user
    from fairway.auth.recent import clear_user_cache
    from fairway.auth.users import (
        channel_and_http_session_user_from_http,
        channel_session_user,
        channel_session_user_from_http,
        http_session_user,
        transfer_user,
    )
    from fairway.sessions import channel_and_http_session, channel_session, http_session

_HOMES = {
    "adisconnect_user": "fairway.auth.logins",
    "channel_and_http_session": "fairway.sessions",
    "channel_and_http_session_user_from_http": "fairway.auth.users",
    "channel_session": "fairway.sessions",
    "channel_session_user": "fairway.auth.users",
    "channel_session_user_from_http": "fairway.auth.users",
    "clear_user_cache": "fairway.auth.recent",
    "disconnect_user": "fairway.auth.logins",
    "http_session": "fairway.sessions",
    "http_session_user": "fairway.auth.users",
    "transfer_user": "fairway.auth.users",
}

__all__ = [
    "adisconnect_user",
    "channel_and_http_session",
    "channel_and_http_session_user_from_http",
    "channel_session",
    "channel_session_user",
    "channel_session_user_from_http",
    "clear_user_cache",
    "disconnect_user",
    "http_session",
    "http_session_user",
    "transfer_user",
]

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
