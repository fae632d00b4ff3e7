"""What a browser brings along: headers, cookies, and a session in which somebody may be logged in."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.testing.client import Client

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django.contrib.sessions.backends.base import SessionBase

HOST = "testserver"
"""The host that Django's test runner allows."""


class BrowserClient(Client):
    """A client that tells headers as a browser on a page of this site does.

    Parameters: as for `Client`.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        super().__init__(alias)
        self._headers: dict[str, str] = {"host": HOST, "origin": f"http://{HOST}"}
        self._cookies: dict[str, str] = {}
        self._session: SessionBase | None = None

    # --- headers and cookies -----------------------------------------------------------------------------------------

    def set_header(self, name: str, value: str | None) -> None:
        """Set a header, or leave it out (None), such as the `origin`.

        Raises:
            ValueError: it is `cookie`; use `set_cookie`.
        """
        name = name.lower()
        if name == "cookie":
            raise ValueError("the cookie header is made from the cookies; use set_cookie(name, value)")
        self._headers.pop(name, None)
        if value is not None:
            self._headers[name] = value

    def set_cookie(self, name: str, value: str) -> None:
        """Set a cookie."""
        self._cookies[name] = value

    def get_cookies(self) -> dict[str, str]:
        """Return the cookies: those that were set, and that of the session if it was saved."""
        cookies = dict(self._cookies)
        if self._session is not None and self._session.session_key:
            cookies[settings.SESSION_COOKIE_NAME] = self._session.session_key
        return cookies

    @property
    def headers(self) -> list[list[bytes]]:
        """The headers that the next handshake or request tells, as a server passes them on."""
        if self._session is not None and self._session.modified:
            self._session.save()
        pairs = [[name.encode("latin-1"), value.encode("latin-1")] for name, value in self._headers.items()]
        cookies = SimpleCookie(self.get_cookies())
        if cookies:
            line = "; ".join(morsel.OutputString([]) for morsel in cookies.values())
            pairs.append([b"cookie", line.encode("latin-1")])
        return pairs

    # --- the session -------------------------------------------------------------------------------------------------

    @property
    def session(self) -> "SessionBase":
        """The browser's session, of the engine in `SESSION_ENGINE`; it is saved before it is needed.

        Raises:
            OSError: `django.contrib.sessions` is not installed.
        """
        if self._session is None:
            if not apps.is_installed("django.contrib.sessions"):
                raise OSError("INSTALLED_APPS lacks 'django.contrib.sessions', so there are no sessions")
            self._session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
        return self._session

    def login(self, **credentials: Any) -> bool:
        """Log a user in with credentials, as a login page does; say whether they are right."""
        from django.contrib.auth import authenticate

        user = authenticate(**credentials)
        if user is None:
            return False
        self._log_in(user, None)
        return True

    def force_login(self, user: "AbstractBaseUser", backend: str | None = None) -> None:
        """Log a user in without credentials.

        Parameters:
            user: who.
            backend: dotted path of an authentication backend; the first of `AUTHENTICATION_BACKENDS` when None.
        """
        self._log_in(user, backend or settings.AUTHENTICATION_BACKENDS[0])

    def logout(self) -> None:
        """Log the user out, as a logout page does: the session is gone, and so is its cookie."""
        from django.contrib.auth import logout

        request = self._request()
        logout(request)
        self._session = None

    def _log_in(self, user: Any, backend: str | None) -> None:
        from django.contrib.auth import login

        request = self._request()
        login(request, user, backend)
        request.session.save()

    def _request(self) -> HttpRequest:
        from django.contrib.auth import get_user

        request = HttpRequest()
        request.session = self.session
        request.COOKIES.update(self.get_cookies())
        request.user = get_user(request)
        return request

    # --- what a message tells ----------------------------------------------------------------------------------------

    def request_scope(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the handshake or the request for `path` tells; what stands in `content` wins."""
        path, _, query = path.partition("?")
        scope = {
            "path": path,
            "query_string": query.encode(),
            "headers": self.headers,
            "http_version": "1.1",
            "client": ["127.0.0.1", 50000],
            "server": [HOST, 80],
        }
        return {**scope, **content}
