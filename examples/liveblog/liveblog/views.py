"""The pages. They are plain Django views: every post comes over the socket."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from liveblog.management.commands.demo import PASSWORD, PEOPLE
from liveblog.models import TEXT_LENGTH, TITLE_LENGTH

# What is written in the blog is shown as text and never becomes part of the page. Should that fail one day, the browser
# still runs no script that is not ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def with_policy(view):
    """Send the Content-Security-Policy with what a view returns."""

    def guarded(*args, **kwargs):
        response = view(*args, **kwargs)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return guarded


@require_safe
@login_required
@with_policy
def blog(request):
    """Show the blog. Admins get the forms as well, but it is the binding that decides who may change a post."""
    limits = {"title": TITLE_LENGTH, "text": TEXT_LENGTH}
    return render(request, "liveblog/blog.html", {"limits": limits})


@method_decorator(with_policy, name="dispatch")
class Login(LoginView):
    """Ask who is there. The people of the demo stand on the page; in a project of your own they would not."""

    template_name = "liveblog/login.html"
    redirect_authenticated_user = True
    extra_context = {"people": PEOPLE, "password": PASSWORD}  # noqa: RUF012


class Logout(LogoutView):
    """Fairway hears of a logout from Django, and closes the sockets of that session, in every tab."""
