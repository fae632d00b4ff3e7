"""How a binding is declared and registered."""

import subprocess
import sys

import pytest

from fairway.binding import Binding, BindingMetaclass, WebsocketBinding, outbound
from tests.support.bound.models import PinnedPost, Post, Tag


def group_names(self, instance):
    return ["red"]


def declare(name="TheBinding", bases=(WebsocketBinding,), **body):
    return type(bases[0])(name, bases, {"stream": "s", "group_names": group_names, **body})


def test_every_class_is_known():
    first = declare(model=Post, fields=["title"])
    assert BindingMetaclass.binding_classes == [first]


def test_the_model_may_be_a_label():
    binding = declare(model="bound.Post", fields=["title"])
    assert (binding.model, binding.model_label) == (Post, "bound.post")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"fields": ["title"]}, "TheBinding has no model"),
        ({"model": Post}, "TheBinding has neither fields nor exclude"),
        ({"model": Post, "fields": ["titel"]}, r"bound\.Post has no field titel"),
        ({"model": Post, "exclude": ["titel"]}, r"bound\.Post has no field titel"),
    ],
)
def test_what_is_missing_is_an_error_where_it_is_declared(body, reason):
    with pytest.raises(ValueError, match=reason):
        declare(**body)


def test_a_base_of_others_is_declared_with_model_none():
    base = declare(model=None)
    with pytest.raises(ValueError, match="has no model"):
        declare(bases=(base,), fields=["title"])
    child = declare(bases=(base,), model=Post, fields=["title"])
    assert [watch.bindings for watch in outbound.watches.values()] == [[child]]


def test_before_the_apps_are_ready_classes_wait(monkeypatch):
    monkeypatch.setattr(BindingMetaclass, "register_immediately", False)
    binding = declare(model="bound.Post", fields=["title"])
    incomplete = declare()
    assert outbound.watches == {}
    with pytest.raises(ValueError, match="has no model"):
        BindingMetaclass.register_all()
    BindingMetaclass.binding_classes.remove(incomplete)
    BindingMetaclass.register_all()
    BindingMetaclass.register_all()
    assert BindingMetaclass.register_immediately
    assert outbound.watches[Post].bindings == [binding]


def test_registering_twice_sends_once(ears):
    binding = declare(model=Post, fields=["title"])
    binding.register()
    BindingMetaclass.register_all()
    Post.objects.create(title="one")
    assert ears.actions() == [("red", "create")]


def test_several_models(ears):
    @classmethod
    def get_registered_models(cls):
        return [Post, Tag]

    declare(model=Post, fields="__all__", get_registered_models=get_registered_models)
    Tag.objects.create(name="t")
    assert [data for *_, data in ears.hear()] == [{"name": "t"}]


def test_a_binding_of_a_child_has_its_parent_s_fields():
    binding = declare(model=PinnedPost, fields=["title", "pin"])
    assert binding.bound_to(PinnedPost).names == {"title", "pin"}


def test_the_app_registers_what_there_is(monkeypatch):
    from django.apps import apps

    import fairway
    from fairway.apps import FairwayConfig

    monkeypatch.setattr(BindingMetaclass, "register_immediately", False)
    binding = declare(model=Post, fields=["title"])
    config = FairwayConfig("fairway", fairway)
    config.apps = apps
    config.ready()
    assert outbound.watches[Post].bindings == [binding]


def test_the_public_names():
    import fairway.binding

    assert {getattr(fairway.binding, name).__name__ for name in ("Binding", "WebsocketBindingWithMembers")} == {
        "Binding",
        "WebsocketBindingWithMembers",
    }
    assert (fairway.binding.CREATE, fairway.binding.UPDATE, fairway.binding.DELETE) == ("create", "update", "delete")
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        fairway.binding.Nothing  # noqa: B018
    assert issubclass(WebsocketBinding, Binding)


def test_importing_needs_no_settings():
    code = "from fairway.binding import WebsocketBindingWithMembers, BindingMetaclass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_fairway_has_to_be_installed():
    code = (
        "import django; from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['fairway']); django.setup()\n"
        "from fairway.binding import BindingMetaclass; print(BindingMetaclass.register_immediately)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "True", done.stderr
