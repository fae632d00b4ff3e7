"""What happens when a socket opens: it gets the posts that there are, and from then on what becomes of them."""

from fairway.consumers import WebsocketDemultiplexer
from fairway.security import allowed_hosts_only, login_required
from liveblog.bindings import ADMINS, READERS, PostBinding
from liveblog.models import Post

SHOWN = 50


@allowed_hosts_only
@login_required
class Liveblog(WebsocketDemultiplexer):
    """The socket of the blog's page. Strangers, and pages of other sites, are refused before it opens.

    What a client sends on the stream `posts` goes to the binding, which asks `has_permission`.
    """

    http_user = True
    consumers = {"posts": PostBinding.consumer}  # noqa: RUF012

    def connect(self, message, **kwargs):
        """Accept, send what this user may see, and say that this was all."""
        super().connect(message, **kwargs)
        user = message.user  # at the connect as the database has them; a change of rights closes the socket (`rights`)
        posts = Post.objects.visible_to(user).select_related("author")[:SHOWN]
        # First it joins the group, then it reads; the server holds what the group is sent meanwhile. So a change may
        # reach the page twice, and none is missed.
        PostBinding.subscribe(message, posts, ADMINS if user.is_staff else READERS)
        self.multiplexer_class("page", message.reply_channel).send({"ready": True, "admin": user.is_staff})
