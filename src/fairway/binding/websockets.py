"""A binding that speaks JSON with browsers, on a stream of its own.

Both ways a frame is `{"stream": ..., "payload": {"action": ..., "pk": ..., "data": {...}}}`; what is sent also has the
`model`. Who subscribes gets what there is as creates, and then what changes.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.db.models import Model, QuerySet

from fairway.binding.base import Binding
from fairway.binding.changes import CREATE, groups_of
from fairway.binding.fields import field_values
from fairway.binding.payloads import read_payload
from fairway.channel import Group
from fairway.message import Message


class WebsocketBinding(Binding):
    """Tells WebSockets of the changes of a model, and takes changes from them."""

    model: ClassVar[type[Model] | str | None] = None

    strict_ordering: ClassVar[bool] = False
    """Kept as a name: a connection's messages are always handled in order."""

    slight_ordering: ClassVar[bool] = False
    """Was given up; anything but False raises."""

    # --- outbound ---

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that carries a payload on a stream."""
        from fairway.consumers import WebsocketMultiplexer

        return WebsocketMultiplexer.encode(stream, payload)

    def serialize(self, instance: Model, action: str) -> dict[str, Any]:
        """Return the payload that tells of an object. With `delete`, `data` is what could be seen before."""
        pk = instance._meta.pk.to_python(instance.pk)  # noqa: SLF001  a "5" that was set is stored as 5
        return {"action": action, "pk": pk, "data": self.serialize_data(instance), "model": self.model_label}

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        """Return the values of the bound fields, as JSON has them."""
        return field_values(instance, self.bound_to(type(instance)))

    # --- inbound ---

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """Return what consumes a message.

        Raises:
            ValueError: the class asks for the slight ordering.
        """
        if cls.slight_ordering:
            msg = f"{cls.__qualname__}.slight_ordering: a connection's messages are always in order; remove it"
            raise ValueError(msg)
        return super().get_handler()

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Do what a frame asks for; connects and disconnects ask for nothing."""
        if message.channel_name == "websocket.receive":
            super().trigger_inbound(message, **kwargs)

    def deserialize(self, message: Message) -> tuple[Any, Any, Any]:
        """Return action, pk and data of a frame.

        Raises:
            ValidationError: it is no JSON object; the client is told.
        """
        payload = read_payload(message.get("text"))
        return payload.get("action"), payload.get("pk"), payload.get("data")

    # --- who comes later ---

    @classmethod
    def subscribe(cls, message: Message, queryset: QuerySet[Any], *groups: str) -> None:
        """Let a connection join groups, and send it what there is to see as creates.

        The server holds what is sent to the groups until the consumer has ended, so a change may come twice and none
        is missed. An object that none of the groups may see is left out.

        Parameters:
            message: of the connection.
            queryset: the objects; read after the groups are joined.
            groups: their names.

        Raises:
            ValueError: no group is named, or the objects are of another model.
            MessageTooLarge: they are more than one consumer may send.
        """
        cls._check_subscription(queryset, groups)
        for name in groups:
            Group(name).add(message.reply_channel)
        for content in cls._snapshot(queryset, groups):
            message.reply_channel.send(content)

    @classmethod
    async def asubscribe(cls, message: Message, queryset: QuerySet[Any], *groups: str) -> None:
        """Do as `subscribe`, in a coroutine."""
        cls._check_subscription(queryset, groups)
        for name in groups:
            await Group(name).aadd(message.reply_channel)
        for content in await sync_to_async(cls._snapshot)(queryset, groups):
            await message.reply_channel.asend(content)

    @classmethod
    def _check_subscription(cls, queryset: QuerySet[Any], groups: tuple[str, ...]) -> None:
        if not groups:
            msg = f"{cls.__qualname__}.subscribe(message, queryset, *groups): name the groups that tell of changes"
            raise ValueError(msg)
        if cls.stream is None:
            msg = f"{cls.__qualname__} has no stream to send on; give it one: stream = 'posts'"
            raise ValueError(msg)
        if not any(issubclass(queryset.model, model) for model in cls.get_registered_models()):
            msg = f"{cls.__qualname__} is bound to {cls.model_label}, and not to {queryset.model._meta.label_lower}"  # noqa: SLF001
            raise ValueError(msg)

    @classmethod
    def _snapshot(cls, queryset: QuerySet[Any], groups: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return the messages that tell of all objects that one of the groups may see."""
        related = [field.name for field in cls.bound_to(queryset.model).relations]
        messages = []
        for instance in queryset.all().prefetch_related(*related):  # .all(): read now, whatever was read before
            binding = cls()
            if not groups_of(binding, instance).isdisjoint(groups):
                binding.instance = instance
                payload = binding.serialize(instance, CREATE)
                if payload != {}:
                    messages.append(cls.encode(str(cls.stream), payload))
        return messages
