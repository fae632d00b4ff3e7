"""Views that own a WebSocket, and a URLconf for them."""
# ruff: noqa: PLW2901, RET503  two of them are examples of a document, and stand as they are there

import asyncio
import threading

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path
from django.views import View

from fairway import Channel, Group
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


@require_websocket
def vanishes(request):
    request.websocket.subprotocols.clear()
    seen.append("begun")
    released.wait(10)
    seen.append(request.websocket.wait())


@require_websocket
async def avanishes(request):
    seen.append("begun")
    await asyncio.to_thread(released.wait, 10)
    seen.append(await request.websocket.wait())


@require_websocket
def pushes(request):
    """Reads nothing, sends for ever."""
    while True:
        request.websocket.send("tick")
        released.wait(0.01)


@require_websocket
async def apushes(request):
    while True:
        await request.websocket.send("tick")
        await asyncio.sleep(0.01)


@require_websocket
def floods(request):
    """Sends more than a client that does not read can hold."""
    try:
        while True:
            request.websocket.send("x" * 100_000)
    finally:
        seen.append("ended")


@require_websocket
async def afloods(request):
    try:
        while True:
            await request.websocket.send("x" * 100_000)
    finally:
        seen.append("ended")


@require_websocket
def stubborn(request):
    """Returns for nobody's sake."""
    request.websocket.send("ready")
    released.wait(10)
    seen.append("returned")


@require_websocket
async def astubborn(request):
    await request.websocket.send("ready")
    await asyncio.sleep(30)


@require_websocket
def loops(request):
    """Does not look at what it is told."""
    while True:
        request.websocket.wait()


@require_websocket
async def aloops(request):
    while True:
        await request.websocket.wait()


@require_websocket
def joins(request):
    Group("told").add(request.websocket.reply_channel)
    request.websocket.send("joined")
    for _ in request.websocket:
        Group("told").send({"text": "to all"})


@require_websocket
def saves(request):
    request.session["count"] = request.session.get("count", 0) + 1
    request.websocket.send(str(request.session["count"]))


@require_websocket
def forbidden(request):
    request.websocket.send("so far")
    raise PermissionDenied


@require_websocket
def streams(request):
    return StreamingHttpResponse(iter([b"a", b"b"]), status=418)


@require_websocket
def too_long(request):
    return HttpResponse(b"x" * 2_000_000)


def plain(request):
    return HttpResponse("plain")


class Shouting(View):
    def get(self, request, word):
        request.websocket.send(f"{word} {request.user} {request.GET.get('q')} {request.scheme}".upper())


class AsyncShouting(View):
    async def get(self, request, word):
        user = await request.auser()
        await request.websocket.send(f"{word} {user}".upper())


def blocking_middleware(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


def by_hand(request):
    request.websocket.send("by hand")


by_hand.accept_websocket = True

urlpatterns = [
    path("vanishes/", vanishes),
    path("avanishes/", avanishes),
    path("pushes/", pushes),
    path("apushes/", apushes),
    path("floods/", floods),
    path("afloods/", afloods),
    path("stubborn/", stubborn),
    path("astubborn/", astubborn),
    path("loops/", loops),
    path("aloops/", aloops),
    path("joins/", joins),
    path("saves/", saves),
    path("forbidden/", forbidden),
    path("streams/", streams),
    path("too-long/", too_long),
    path("by-hand/", by_hand),
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


@require_websocket
def accepted_from_elsewhere(request):
    Channel(request.websocket.reply_channel).send({"text": "from elsewhere"})
    released.wait(10)
    for message in request.websocket:
        request.websocket.send(message)


urlpatterns += [path("accepted-from-elsewhere/", accepted_from_elsewhere)]
