"""The one view of the HTTP shapes, the same for every contender."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench.plan import VIEW_BODY


def ok(_: HttpRequest) -> HttpResponse:
    """Say ok, and do nothing for it."""
    return HttpResponse(VIEW_BODY, content_type="text/plain")


urlpatterns = [path("ok/", ok)]
