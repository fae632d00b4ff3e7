"""The views and URLs of the HTTP tests: a small site with one page for each thing that Django does."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import condition

from fairway.errors import ResponseLater

events: list[str] = []
"""What the views did that no response shows."""


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.GET.get('name', 'you')} at {reverse('hello')}")


def echo(request: HttpRequest) -> HttpResponse:
    return JsonResponse({key: str(value) for key, value in request.META.items()})


def count(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def form(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return HttpResponse(f"posted {request.POST['text']}")
    return HttpResponse(get_token(request))


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    kind = type(file).__name__
    return JsonResponse({"name": file.name, "size": file.size, "kind": kind, "note": request.POST.get("note")})


@csrf_exempt
def raw(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{len(request.body)} {request.body[:10]!r}")


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(json.dumps(request.COOKIES))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return response


@condition(etag_func=lambda _request: '"abc"')
def tagged(request: HttpRequest) -> HttpResponse:
    return HttpResponse("tagged")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("broken on purpose")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def later(request: HttpRequest) -> HttpResponse:
    request.session["waits"] = True
    events.append("later")
    raise ResponseLater


async def alater(request: HttpRequest) -> HttpResponse:
    raise ResponseLater


async def ahello(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse("async hello")


def _numbers(end: int) -> Iterator[str]:
    try:
        for number in range(end):
            events.append(f"made {number}")
            yield f"{number}\n"
    finally:
        events.append("closed")


def stream(request: HttpRequest) -> HttpResponse:
    return StreamingHttpResponse(_numbers(int(request.GET.get("end", "3"))))


def large_stream(request: HttpRequest) -> HttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                events.append("part")
                yield b"x" * 65536
        finally:
            events.append("closed")

    return StreamingHttpResponse(parts())


def broken_stream(request: HttpRequest) -> HttpResponse:
    def parts() -> Iterator[str]:
        yield "begun"
        raise RuntimeError("broken in the middle")

    return StreamingHttpResponse(parts())


async def astream(request: HttpRequest) -> HttpResponse:
    async def parts() -> AsyncIterator[str]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def produce() -> None:
            for number in range(int(request.GET.get("end", "3"))):
                events.append(f"made {number}")
                await queue.put(number)
            await queue.put(-1)

        task = asyncio.create_task(produce())
        try:
            while (number := await queue.get()) >= 0:
                text = await sync_to_async(str)(number)
                yield f"{text}\n"
        finally:
            task.cancel()
            events.append("closed")

    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> HttpResponse:
    return FileResponse(io.BytesIO(b"x" * 10_000), filename="x.bin")


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * (1024 * 1024 + 1))


def away(request: HttpRequest) -> HttpResponse:
    return redirect("hello")


urlpatterns = [
    path("hello/", hello, name="hello"),
    path("echo/", echo),
    path("count/", count),
    path("form/", form),
    path("upload/", upload),
    path("raw/", raw),
    path("cookies/", cookies),
    path("tagged/", tagged),
    path("broken/", broken),
    path("forbidden/", forbidden),
    path("later/", later),
    path("alater/", alater),
    path("ahello/", ahello),
    path("stream/", stream),
    path("large-stream/", large_stream),
    path("broken-stream/", broken_stream),
    path("astream/", astream),
    path("file/", file),
    path("large/", large),
    path("away/", away),
]


def handler500_that_fails(*args: object) -> HttpResponse:
    raise RuntimeError("the error page is broken too")
