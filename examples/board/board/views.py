"""The page. It is a plain Django view: every card comes over the socket."""

from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from board.models import MOST, TITLE_LENGTH, Board, Column

# What is written on cards is shown as text and never becomes part of the page. Should that fail one day, the browser
# still runs no script that is not ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@require_safe
def first(request):  # noqa: ARG001
    """Go to the first board."""
    return redirect("board", get_object_or_404(Board.objects.order_by("pk")[:1]).pk)


@require_safe
def board(request, pk):
    """Show a board."""
    context = {"board": get_object_or_404(Board, pk=pk), "columns": Column, "title_length": TITLE_LENGTH, "most": MOST}
    response = render(request, "board/board.html", context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
