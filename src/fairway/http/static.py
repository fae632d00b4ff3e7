"""Static files in development: Django's own views for them, before the URLconf is asked."""

from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from django.conf import settings
from django.contrib.staticfiles import utils
from django.contrib.staticfiles.views import serve
from django.core.handlers.exception import response_for_exception
from django.http import Http404

from fairway.http.consumers import ViewConsumer
from fairway.http.handler import AsgiHandler, Response


class StaticFilesHandler(AsgiHandler):
    """Serves what is below STATIC_URL from the finders of staticfiles, and leaves all else to Django.

    Raises:
        ImproperlyConfigured: the static settings are wrong, or STATIC_URL is missing.
    """

    handles_files = True

    def __init__(self) -> None:
        super().__init__()
        self.base_url = urlsplit(self.get_base_url())

    def get_base_url(self) -> str:
        """Return STATIC_URL, once the settings are checked."""
        utils.check_settings()
        return settings.STATIC_URL

    def file_path(self, url: str) -> str:
        """Return the path of a file below the static directories."""
        return url2pathname(url.removeprefix(self.base_url.path))

    def serve(self, request: Any) -> Response:
        """Return the file that the request names.

        Raises:
            Http404: there is none.
        """
        return serve(request, self.file_path(request.path), insecure=True)

    def get_response(self, request: Any) -> Response:
        """Return the file, or Django's answer. A missing file is explained with DEBUG, and else Django's to answer."""
        if not self._is_static(request.path):
            return super().get_response(request)
        try:
            response = self.serve(request)
        except Exception as error:  # noqa: BLE001  Django makes a response of whatever it is
            if isinstance(error, Http404) and not settings.DEBUG:
                return super().get_response(request)
            response = response_for_exception(request, error)
        response._resource_closers.append(request.close)  # noqa: SLF001  as Django's handler does
        return response

    def _is_static(self, path: str) -> bool:
        """Say whether the path is ours: below STATIC_URL, and STATIC_URL names no other host."""
        return path.startswith(self.base_url.path) and not self.base_url.netloc


class StaticFilesConsumer(ViewConsumer):
    """Answers requests with static files and Django's views; `runserver` uses it."""

    handler_class = StaticFilesHandler
