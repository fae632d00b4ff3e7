"""What clients are told when a post changes, and what they may change themselves.

This is all there is to it: whoever saves or deletes a post, in Django's admin, a shell, a form or a consumer, need not
know of sockets. Fairway compares who could see the stored post with who may see the new one. So a post that becomes
`admin_only` is *deleted* for the readers and *updated* for the admins, and *created* for the readers when it is shown
again. The messages leave when the transaction commits.
"""

from fairway.binding import WebsocketBindingWithMembers
from liveblog.models import Post

ADMINS, READERS = "liveblog.admins", "liveblog.readers"


class PostBinding(WebsocketBindingWithMembers):
    """Posts, on the stream `posts`."""

    model = Post
    stream = "posts"
    # Clients see these, and may set those of them that are editable: `posted` is not.
    fields = ("title", "text", "admin_only", "posted")
    send_members = ("byline",)

    def group_names(self, instance):
        """Return who may see a post as it is now."""
        return [ADMINS] if instance.admin_only else [ADMINS, READERS]

    def has_permission(self, user, action, pk):  # noqa: ARG002  all actions are for the same people
        """Say who may change posts through a socket. What others try is ignored."""
        return user.is_staff

    def complete(self, instance):
        """Set what no client may choose, before a post that a client has written is saved."""
        instance.author = self.user
