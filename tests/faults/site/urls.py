"""Views that end in each way."""

import os

import records
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def process(request):
    return HttpResponse(str(os.getpid()))


@csrf_exempt
def dies(request):
    """Die at the first run of each method, or at every one; then say which run this is."""
    file = records.FOLDER / f"dies-{request.method}"
    with file.open("a") as opened:
        opened.write(".")
    run = file.stat().st_size
    if run == 1 or "always" in request.GET:
        os.kill(os.getpid(), 9)
    return HttpResponse(f"run {run}")


def raises(request):
    raise RuntimeError


def begins(request):
    """Dies when the response has begun."""

    def parts():
        yield b"a" * 1000
        records.hold("hold")
        os.kill(os.getpid(), 9)

    return StreamingHttpResponse(parts())


urlpatterns = [path("process", process), path("dies", dies), path("raises", raises), path("begins", begins)]
