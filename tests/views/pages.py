"""Views that own a WebSocket, and a URLconf for them."""
# ruff: noqa: PLW2901, RET503  two of them are examples of a document, and stand as they are there

import threading

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views import View

from fairway.views import accept_websocket, require_websocket

seen = []
released = threading.Event()


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
    for message in request.websocket:
        message = modify_message(message)
        request.websocket.send(message)


@require_websocket
async def alower_case(request):
    async for message in request.websocket:
        await request.websocket.send(modify_message(message))


@require_websocket
def ready(request):
    request.websocket.send("ready")
    released.wait(10)
    seen.append(request.websocket.count_messages())
    request.websocket.send(f"{request.websocket.read()}{request.websocket.read()}{request.websocket.read('none')}")


@require_websocket
def nothing(request):
    pass


@require_websocket
def moved(request):
    return HttpResponseRedirect("/elsewhere/")


@require_websocket
def fails(request):
    request.websocket.accept()
    raise ValueError("boom")


@require_websocket
def fails_before(request):
    raise ValueError("boom")


@require_websocket
def closes(request):
    request.websocket.send("bye")
    request.websocket.close(4001, "enough")
    seen.append((request.websocket.closed, request.websocket.wait()))


@require_websocket
def refuses(request):
    request.websocket.close()


@require_websocket
def notes_end(request):
    request.websocket.send("open")
    seen.append((request.websocket.wait(), request.websocket.closed))


@require_websocket
async def anotes_end(request):
    await request.websocket.send("open")
    seen.append((await request.websocket.wait(), request.websocket.closed))


@require_websocket
def protocol(request):
    request.websocket.accept(subprotocol=request.websocket.subprotocols[0])
    request.websocket.send(24)
    request.websocket.send(request.websocket.wait())


def plain(request):
    return HttpResponse("plain")


class Shouting(View):
    def get(self, request, word):
        request.websocket.send(f"{word} {request.user} {request.GET.get('q')} {request.scheme}".upper())


class AsyncShouting(View):
    async def get(self, request, word):
        user = await request.auser()
        await request.websocket.send(f"{word} {user}".upper())


urlpatterns = [
    path("echo_once/", echo_once),
    path("lower_case/", lower_case),
    path("alower_case/", alower_case),
    path("ready/", ready),
    path("nothing/", nothing),
    path("moved/", moved),
    path("fails/", fails),
    path("fails-before/", fails_before),
    path("closes/", closes),
    path("refuses/", refuses),
    path("notes-end/", notes_end),
    path("anotes-end/", anotes_end),
    path("protocol/", protocol),
    path("plain/", plain),
    path("shout/<word>/", accept_websocket(Shouting.as_view())),
    path("ashout/<word>/", require_websocket(AsyncShouting.as_view())),
]
