"""The views: the two examples of the django-websocket document, as they stand there, and some that last."""
# ruff: noqa: PLW2901, RET503  the examples

import contextlib
import os
import time
from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from django.urls import path

from fairway.views import accept_websocket, require_websocket


@require_websocket
def echo_once(request):
    message = request.websocket.wait()
    request.websocket.send(message)


def modify_message(message):
    return message.lower()


@accept_websocket
def lower_case(request):
    if not request.is_websocket():
        message = request.GET["message"]
        message = modify_message(message)
        return HttpResponse(message)
    else:  # noqa: RET505
        for message in request.websocket:
            message = modify_message(message)
            request.websocket.send(message)


@require_websocket
async def alower_case(request):
    async for message in request.websocket:
        await request.websocket.send(modify_message(message))


@contextlib.contextmanager
def noted():
    """Note the end of a view, also of one whose layer went away while it sent."""
    try:
        yield
    finally:
        with (Path(settings.FOLDER) / "ended").open("a") as ended:
            ended.write(f"{os.getpid()}\n")


@require_websocket
def who(request):
    """Tell the process, and note the end."""
    with noted():
        request.websocket.send(os.getpid())
        for _ in request.websocket:
            pass


@require_websocket
async def awho(request):
    with noted():
        await request.websocket.send(os.getpid())
        while await request.websocket.wait() is not None:
            pass


@require_websocket
def never_returns(request):
    request.websocket.send(os.getpid())
    while True:
        time.sleep(0.1)


def page(request):
    return HttpResponse("<!doctype html><title>Views</title>")


urlpatterns = [
    path("", page),
    path("echo_once/", echo_once),
    path("lower_case/", lower_case),
    path("alower_case/", alower_case),
    path("who/", who),
    path("awho/", awho),
    path("never/", never_returns),
]
