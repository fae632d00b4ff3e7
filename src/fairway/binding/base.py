"""The declaration of a binding: a model, some of its fields, who may see an object, and who may change one.

A binding class is found by its metaclass and registered when the apps are ready, or at once if they are. It stays
connected to its model for the life of the process. One instance of it lives as long as one change.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.apps import apps
from django.db.models import Model

from fairway.binding.changes import CREATE, DELETE, UPDATE
from fairway.binding.fields import BoundFields, bound_fields, declared
from fairway.binding.inbound import Inbound

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding", "BindingMetaclass"]


class BindingMetaclass(type):
    """Knows all binding classes."""

    binding_classes: ClassVar[list[Any]] = []
    """Every `Binding` subclass; may be replaced by another list."""

    register_immediately: ClassVar[bool] = False
    """Whether a new class is registered as soon as it is declared: once the apps are ready."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **kwargs: Any) -> Any:
        """Make the class, and register it if the apps are ready."""
        made: Any = super().__new__(cls, name, bases, body, **kwargs)
        if any(isinstance(base, BindingMetaclass) for base in bases):
            BindingMetaclass.binding_classes.append(made)
            if BindingMetaclass.register_immediately:
                made.register()
        return made

    @classmethod
    def register_all(cls) -> None:
        """Register the classes that there are, and from now on each new one as it is declared.

        Raises:
            ValueError: a class is not complete; its name and what it lacks are told.
        """
        for binding in BindingMetaclass.binding_classes:
            binding.register()
        BindingMetaclass.register_immediately = True


class Binding(Inbound, metaclass=BindingMetaclass):
    """Tells clients of the changes of a model, and changes it for them.

    What a subclass declares: `model` (None in a class that is only a base of others), `fields` or `exclude`, `stream`,
    `group_names` and `has_permission`.
    """

    model: ClassVar[type[Model] | str | None] = None
    """The model, or its label such as `"blog.Post"`."""

    fields: ClassVar[Iterable[str] | str | None] = None
    """Names of the fields that clients see and may set; `"__all__"` for all."""

    exclude: ClassVar[Iterable[str] | None] = None
    """Names of the fields that they do not."""

    stream: ClassVar[str | None] = None
    """The stream that the binding sends on."""

    model_label: ClassVar[str] = ""
    """The model's label in lower case, as it stands in messages."""

    instance: Model | None = None
    """The object whose change is being sent."""

    signal_kwargs: dict[str, Any]
    """What the signal said that told of the change: `using`, `created`, `update_fields`."""

    # --- registration ---

    @classmethod
    def register(cls) -> None:
        """Connect the class to its model, once however often it is asked for.

        Raises:
            ValueError: it has no model, neither `fields` nor `exclude`, or names a field that the model has not.
        """
        if cls.model is None:
            if "model" in cls.__dict__:
                return
            msg = f"{cls.__qualname__} has no model; give it one, or model = None if it is only a base of others"
            raise ValueError(msg)
        if cls.fields is None and cls.exclude is None:
            msg = f"{cls.__qualname__} has neither fields nor exclude; give it fields = [...], or '__all__'"
            raise ValueError(msg)
        from fairway.binding.outbound import watch_model

        model = apps.get_model(cls.model) if isinstance(cls.model, str) else cls.model
        cls.model = model
        cls.model_label = model._meta.label_lower  # noqa: SLF001
        for registered in cls.get_registered_models():
            cls.bound_to(registered)
            watch_model(registered, cls)

    @classmethod
    def get_registered_models(cls) -> list[Any]:
        """Return the models whose changes are sent. Override it for the children of an abstract model."""
        return [cls.model]

    @classmethod
    def bound_to(cls, model: type[Model]) -> BoundFields:
        """Return the fields of a model that this binding is bound to.

        Raises:
            ValueError: `fields` or `exclude` names one that the model has not.
        """
        return bound_fields(model, declared(cls.fields), declared(cls.exclude))

    # --- outbound ---

    def group_names(self, instance: Any) -> Iterable[str]:
        """Return the groups that may see an object as it is now. It may be a classmethod.

        Parameters:
            instance: the object, either as it was stored before a change or as it is stored after.
        """
        raise NotImplementedError(f"{type(self).__qualname__}.group_names(instance) says which groups may see it")

    def serialize(self, instance: Any, action: str) -> dict[str, Any]:
        """Return the payload that tells of an object; `{}` for none.

        Parameters:
            instance: the object; with `delete` as it was before.
            action: `create`, `update` or `delete`.
        """
        raise NotImplementedError(f"{type(self).__qualname__}.serialize(instance, action) makes the payload")

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that carries a payload."""
        raise NotImplementedError(f"{cls.__qualname__}.encode(stream, payload) makes the message")
