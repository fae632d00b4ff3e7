"""The pages. They are plain Django views, and hold nothing that the socket does not bring."""

from typing import Any

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from chat.models import HISTORY, NAME_LENGTH, ROOM_LENGTH, TEXT_LENGTH, Message

# What is written in the chat is shown as text and never becomes part of the page. Should that fail one day, the browser
# still runs no script that is not ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Ask for a name and a room. The form comes back here with `?room=`, and leads to the room."""
    wanted = request.GET.get("room")
    slug = slugify(wanted, allow_unicode=True)[:ROOM_LENGTH] if wanted else ""
    if slug:
        return redirect("room", room=slug)
    last_said = Message.objects.values("room").annotate(last=Max("sent")).order_by("-last")
    return _page(request, "home", rooms=last_said[:6], not_a_room=wanted)


@require_safe
def room(request: HttpRequest, room: str) -> HttpResponse:
    """Show a room; everything in it comes over the socket."""
    return _page(request, "room", room=room)


def _page(request: HttpRequest, name: str, **context: Any) -> HttpResponse:
    limits = {"room": ROOM_LENGTH, "name": NAME_LENGTH, "text": TEXT_LENGTH, "history": HISTORY}
    response = render(request, f"chat/{name}.html", {"limits": limits, **context})
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
