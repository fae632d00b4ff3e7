"""What clients want changed: permission first, then only bound fields, validated; what is wrong is told to the client.

Nothing that a client sends ends in a traceback: a payload of the wrong shape, a key that is no key, a value that a
field refuses, a row that is gone. What is left for the log are errors of the application.
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from fairway.binding.changes import CREATE, DELETE, UPDATE
from fairway.binding.payloads import WrongPayload, clean_key, echo
from fairway.binding.writing import save_new, save_update
from fairway.message import Message


class Inbound:
    """The half of a binding that consumes messages."""

    model: ClassVar[Any]
    stream: ClassVar[str | None]
    model_label: ClassVar[str]

    channel_session_user: ClassVar[bool] = True
    """Give the message its user, who is asked for permission."""

    channel_session: ClassVar[bool] = False
    """Give the message its channel session only."""

    message: Message
    """The message that is being consumed."""

    kwargs: dict[str, Any]
    """What the routing captured, and the `multiplexer` behind a demultiplexer."""

    user: Any
    """Who sent it; an `AnonymousUser` where nobody is known."""

    multiplexer: Any = None
    """What answers on the stream, behind a demultiplexer."""

    action: Any = None
    pk: Any = None
    data: Any = None

    # --- the consumer ---

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """Consume a message: as a stream of a `WebsocketDemultiplexer`, or as a consumer of its own."""
        cls.get_handler()(message, **kwargs)

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """Return `trigger_inbound`, decorated. Override it to add decorators."""
        handler: Callable[..., Any] = cls.trigger_inbound
        if cls.channel_session_user:
            from fairway.auth import channel_session_user

            return channel_session_user(handler)
        if cls.channel_session:
            from fairway.sessions import channel_session

            return channel_session(handler)
        return handler

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Do what a message asks for, or answer what is wrong with it."""
        self = cls()
        self.message = message
        self.kwargs = kwargs
        self.multiplexer = kwargs.get("multiplexer")
        self.user = _user_of(message)
        try:
            self.action, self.pk, self.data = self.deserialize(message)
            self.run_action(self.action, self.pk, self.data)
        except ValidationError as error:
            self.send_errors(_by_field(error))
        except ObjectDoesNotExist as error:
            if not isinstance(error, cls.model.DoesNotExist):
                raise
            self.send_errors({"pk": [str(_("There is no such object."))]})

    def deserialize(self, message: Message) -> tuple[Any, Any, Any]:
        """Return action, pk and data of a message.

        Raises:
            ValidationError: it has not the shape that is expected; the client is told.
        """
        raise NotImplementedError(f"{type(self).__qualname__}.deserialize(message) returns action, pk and data")

    def run_action(self, action: Any, pk: Any, data: Any) -> None:
        """Check the request and the permission for it, and do it.

        Raises:
            ValidationError: there is no such action (a `ValueError` too), or pk or data cannot be meant.
        """
        if not isinstance(action, str) or action not in (CREATE, UPDATE, DELETE):
            raise WrongPayload({"action": [f"The action is {CREATE}, {UPDATE} or {DELETE}."]})
        pk = None if action == CREATE else clean_key(self.model, pk)
        if data is not None and not isinstance(data, dict):
            raise WrongPayload({"data": ["The data is an object with a value for each field."]})
        allowed = self.has_permission(self.user, action, pk)
        if inspect.isawaitable(allowed):  # which is true, whatever it would return
            getattr(allowed, "close", bool)()
            msg = f"{type(self).__qualname__}.has_permission must not be async def: it runs on a thread, and may block"
            raise TypeError(msg)
        if not allowed:
            return
        if action == CREATE:
            self.create(data or {})
        elif action == UPDATE:
            self.update(pk, data or {})
        else:
            self.delete(pk)

    def send_errors(self, errors: dict[str, list[str]]) -> None:
        """Tell the client what is wrong with its request.

        Parameters:
            errors: texts by field; by `action`, `pk`, `data` or `__all__` for what is wrong besides.
        """
        payload = {"action": echo(self.action), "pk": echo(self.pk), "model": self.model_label, "errors": errors}
        if self.multiplexer is not None:
            self.multiplexer.send(payload)
        elif self.message.reply_channel is not None:
            self.message.reply_channel.send(self.encode(self.stream, payload))  # type: ignore[attr-defined]

    # --- what an application decides ---

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        """Say whether a user may do this. A request without permission is ignored.

        Parameters:
            user: who asks.
            action: `create`, `update` or `delete`.
            pk: of the object, as a value of the model's key; None with `create`.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__}.has_permission(user, action, pk) says who may change what"
        )

    def complete(self, instance: Any) -> None:
        """Set what a client may not, before an object that it creates is validated: `instance.author = self.user`."""

    # --- what is done ---

    def create(self, data: dict[str, Any]) -> None:
        """Make an object of the bound fields in `data` and save it.

        Raises:
            ValidationError: it cannot be stored; the client is told.
        """
        save_new(self.model, data, self._writable(), self.complete)

    def update(self, pk: Any, data: dict[str, Any]) -> None:
        """Set the bound fields that are in `data`, and save these alone.

        Raises:
            DoesNotExist: there is no such object; the client is told.
            ValidationError: a value cannot be stored; the client is told.
        """
        save_update(self.model, pk, data, self._writable())

    def delete(self, pk: Any) -> None:
        """Delete an object; nothing happens when it is gone already.

        Raises:
            ValidationError: others refer to it; the client is told.
        """
        using = router.db_for_write(self.model)
        try:
            with transaction.atomic(using=using):
                self.model._default_manager.using(using).filter(pk=pk).delete()  # noqa: SLF001
        except (models.ProtectedError, models.RestrictedError):
            raise ValidationError(_("It cannot be deleted: others refer to it.")) from None

    def _writable(self) -> dict[str, Any]:
        return self.bound_to(self.model).writable  # type: ignore[attr-defined,no-any-return]


def _user_of(message: Message) -> Any:
    user = getattr(message, "user", None)
    if user is None:
        from django.contrib.auth.models import AnonymousUser

        return AnonymousUser()
    return user


def _by_field(error: ValidationError) -> dict[str, list[str]]:
    if hasattr(error, "error_dict"):
        return error.message_dict
    return {NON_FIELD_ERRORS: error.messages}
