"""The pages. They are plain Django views: one enqueues a task, the other one has a bar, which a socket moves."""

from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from progress.framework import TaskResultDoesNotExist
from progress.models import Arrival
from progress.tasks import FILE, MISTAKE, import_arrivals, read_rows

SHOWN = 5
# Nothing on these pages comes from elsewhere, and the browser runs no script that is not ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@require_http_methods(["GET", "HEAD", "POST"])
def register(request):
    """Show the register; with the button pressed, begin an import and go where it can be watched."""
    if request.method == "POST":
        result = import_arrivals.enqueue(mistake="mistake" in request.POST)
        return redirect("watch", result.id)
    arrivals = Arrival.objects.all()
    context = {"arrivals": arrivals[:SHOWN], "count": arrivals.count(), "mistake": MISTAKE, **_file()}
    return _page(request, "progress/register.html", context)


@require_safe
def watch(request, result_id):
    """Show an import. Whoever has the address may watch, in as many windows as they like."""
    try:
        import_arrivals.get_result(result_id)
    except TaskResultDoesNotExist:
        raise Http404 from None
    return _page(request, "progress/watch.html", {"result_id": result_id, **_file()})


def _file():
    return {"file": FILE.name, "rows": len(read_rows(mistake=False))}


def _page(request, template, context):
    response = render(request, template, context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
