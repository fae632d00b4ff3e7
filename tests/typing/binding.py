"""Data binding as a typed application uses it. mypy reads this file; nothing runs it."""

from typing import Any, ClassVar, assert_type

from django.contrib.auth.models import User
from django.db.models import Model

from fairway import Message, route, route_class
from fairway.binding import (
    CREATE,
    DELETE,
    UPDATE,
    Binding,
    BindingMetaclass,
    WebsocketBinding,
    WebsocketBindingWithMembers,
)
from fairway.consumers import WebsocketDemultiplexer


class UserBinding(WebsocketBinding):
    """As the release notes have it: `group_names` is a method."""

    model = User
    stream = "users"
    fields = ["username", "email"]

    def group_names(self, instance: User) -> list[str]:
        """Who may see a user."""
        return ["admins"] if instance.is_staff else ["admins", "everyone"]

    def has_permission(self, user: Any, action: str, pk: int | None) -> bool:
        """Staff may do all but create."""
        return bool(user.is_staff) and action in (UPDATE, DELETE) and action != CREATE and pk is not None

    def complete(self, instance: User) -> None:
        """What a client may not set."""
        instance.is_active = self.user.is_staff


class AuthorBase(WebsocketBindingWithMembers):
    """A base of others."""

    model: ClassVar[type[Model] | str | None] = None
    send_members = ["get_full_name", "groups.count"]


class AuthorBinding(AuthorBase):
    """The Channels way: a label, `exclude`, and a class method."""

    model = "auth.User"
    stream = "authors"
    exclude = ("password",)

    @classmethod
    def group_names(cls, instance: User) -> set[str]:
        """Who may see an author."""
        return {f"author-{instance.pk}"}

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        """More than the fields."""
        return {**super().serialize_data(instance), "extra": 1}


class Demultiplexer(WebsocketDemultiplexer):
    """Both on one socket."""

    consumers = {"users": UserBinding.consumer, "authors": AuthorBinding.consumer}

    def connect(self, message: Message, *args: Any, **kwargs: Any) -> None:
        """Send what there is."""
        super().connect(message, *args, **kwargs)
        UserBinding.subscribe(message, User.objects.filter(is_active=True), "everyone")


async def connect(message: Message) -> None:
    """Do the same in a coroutine."""
    await UserBinding.asubscribe(message, User.objects.all(), "admins", "everyone")


routing = [
    route("websocket.receive", UserBinding.consumer, path="^/users/"),
    route_class(Demultiplexer, path="^/all/"),
]

assert_type(UserBinding.model_label, str)
assert_type(UserBinding.encode("users", {}), dict[str, Any])
classes: list[type[Binding]] = BindingMetaclass.binding_classes


def wrong(message: Message) -> None:
    """What mypy must refuse."""
    UserBinding.subscribe(message, "admins")  # type: ignore[arg-type]
    UserBinding.encode("users")  # type: ignore[call-arg]
