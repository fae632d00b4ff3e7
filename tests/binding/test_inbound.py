"""What clients want changed, with permission and without, against a real database."""

import json

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.binding import Binding, WebsocketBinding
from fairway.consumers import WebsocketMultiplexer
from fairway.message import Message
from tests.support.bound.models import Everything, IntegerValue, Page, Person, PinnedPost, Profile, Token


class Allowing:
    """Mixed into bindings: everybody may do everything, and nobody hears of it."""

    channel_session_user = False
    stream = "intval"

    def group_names(self, instance):
        return []

    def has_permission(self, user, action, pk):
        self.asked.append((user, action, pk))
        return True


@pytest.fixture
def asked():
    return []


@pytest.fixture
def bind(asked, ears):
    """Make a binding of a model."""

    def bind(model, **attributes):
        body = {"fields": "__all__", **attributes}
        return type("TheBinding", (Allowing, WebsocketBinding), {"model": model, "asked": asked, **body})

    return bind


@pytest.fixture
def intval(bind):
    return bind(IntegerValue, fields=["name", "value"])


def errors(ears):
    (answer,) = ears.answers()
    assert answer["stream"] == "intval"
    payload = answer["payload"]
    assert set(payload) == {"action", "pk", "model", "errors"}
    return payload["errors"]


def test_create_update_and_delete(intval, ears, asked):
    intval.consumer(ears.frame({"action": "create", "data": {"name": "one", "value": 1}}))
    row = IntegerValue.objects.get()
    assert (row.name, row.value) == ("one", 1)
    intval.consumer(ears.frame({"action": "update", "pk": row.pk, "data": {"value": 2}}))
    row.refresh_from_db()
    assert (row.name, row.value) == ("one", 2)
    intval.consumer(ears.frame({"action": "delete", "pk": str(row.pk)}))
    assert not IntegerValue.objects.exists()
    assert [(action, pk) for _, action, pk in asked] == [("create", None), ("update", row.pk), ("delete", row.pk)]
    assert all(isinstance(user, AnonymousUser) for user, *_ in asked)
    assert ears.answers() == []


def test_what_clients_change_is_told_to_all(bind, ears):
    binding = bind(IntegerValue, group_names=lambda self, instance: ["red"])
    binding.consumer(ears.frame({"action": "create", "data": {"name": "one"}}))
    (created,) = ears.hear()
    binding.consumer(ears.frame({"action": "update", "pk": created[2], "data": {"value": 7}}))
    binding.consumer(ears.frame({"action": "delete", "pk": created[2]}))
    assert ears.hear() == [
        ("red", "update", created[2], {"name": "one", "value": 7}),
        ("red", "delete", created[2], {"name": "one", "value": 7}),
    ]


def test_the_user_of_the_message_is_asked_for(intval, ears, asked):
    message = ears.frame({"action": "create", "data": {"name": "one"}})
    message.user = User(username="ada")
    intval.consumer(message)
    assert asked[0][0] is message.user


@pytest.mark.parametrize("allowed", [False, None, 0, ""])
@pytest.mark.parametrize("action", ["create", "update", "delete"])
def test_without_permission_nothing_happens_and_nothing_is_said(bind, ears, allowed, action):
    row = IntegerValue.objects.create(name="one")
    binding = bind(IntegerValue, has_permission=lambda self, user, action, pk: allowed)
    for pk in (row.pk, row.pk + 1):
        binding.consumer(ears.frame({"action": action, "pk": pk, "data": {"name": "two"}}))
    assert list(IntegerValue.objects.values_list("name")) == [("one",)]
    assert ears.answers() == []


def test_a_permission_that_has_to_be_awaited_is_none(bind, ears):
    async def has_permission(self, user, action, pk):
        return False

    binding = bind(IntegerValue, has_permission=has_permission)
    with pytest.raises(TypeError, match="must not be async def"):
        binding.consumer(ears.frame({"action": "create", "data": {"name": "one"}}))
    assert not IntegerValue.objects.exists()


def test_a_permission_that_looks_for_a_row_that_is_gone(bind, ears):
    def has_permission(self, user, action, pk):
        return IntegerValue.objects.get(pk=pk).value > 5

    binding = bind(IntegerValue, has_permission=has_permission)
    binding.consumer(ears.frame({"action": "delete", "pk": 5}))
    assert errors(ears) == {"pk": ["There is no such object."]}


def test_an_object_of_another_model_that_is_missing_is_an_error_of_the_application(bind, ears):
    def has_permission(self, user, action, pk):
        return User.objects.get(pk=5)

    binding = bind(IntegerValue, has_permission=has_permission)
    with pytest.raises(User.DoesNotExist):
        binding.consumer(ears.frame({"action": "delete", "pk": 5}))


@pytest.mark.parametrize("data", [{"value": 1}, {}])
def test_a_pk_that_does_not_exist_is_answered(intval, ears, data):
    intval.consumer(ears.frame({"action": "update", "pk": 5, "data": data}))
    (answer,) = ears.answers()
    assert answer == {
        "stream": "intval",
        "payload": {
            "action": "update",
            "pk": 5,
            "model": "bound.integervalue",
            "errors": {"pk": ["There is no such object."]},
        },
    }


def test_a_row_that_is_gone_needs_no_delete(intval, ears):
    intval.consumer(ears.frame({"action": "delete", "pk": 5}))
    assert ears.answers() == []


def test_a_row_that_others_refer_to_is_not_deleted(bind, ears):
    boss = Person.objects.create(name="ada")
    Person.objects.create(name="eve", boss=boss)
    bind(Person).consumer(ears.frame({"action": "delete", "pk": boss.pk}))
    assert errors(ears) == {"__all__": ["It cannot be deleted: others refer to it."]}
    assert Person.objects.count() == 2


def test_validation_errors_are_sent_back(intval, ears):
    IntegerValue.objects.create(name="taken")
    intval.consumer(ears.frame({"action": "create", "data": {"name": "taken", "value": "x"}}))
    assert errors(ears) == {"value": ["“x” value must be an integer."]}
    intval.consumer(ears.frame({"action": "create", "data": {"name": "taken", "value": 1}}))
    assert errors(ears) == {"name": ["Integer value with this Name already exists."]}
    intval.consumer(ears.frame({"action": "create", "data": {}}))
    assert errors(ears) == {"name": ["This field cannot be blank."]}
    assert IntegerValue.objects.count() == 1


def test_a_binding_answers_on_its_stream_behind_a_demultiplexer(intval, ears):
    message = ears.frame({"action": "update", "pk": 5, "data": {}})
    intval.consumer(message, multiplexer=WebsocketMultiplexer("other", message.reply_channel))
    assert ears.answers()[0]["stream"] == "other"


def test_a_message_that_came_from_no_connection_gets_no_answer(intval, ears):
    content = {"text": json.dumps({"action": "explode"})}
    intval.consumer(Message(content, "websocket.receive", ears.layer))
    assert ears.answers() == []


@pytest.mark.parametrize("channel", ["websocket.connect", "websocket.disconnect", "websocket.event"])
def test_other_messages_of_a_connection_ask_for_nothing(intval, ears, channel):
    intval.consumer(ears.frame({"action": "create", "data": {"name": "one"}}, channel))
    assert not IntegerValue.objects.exists()


# --- forged ---


def test_only_bound_fields_are_applied(bind, ears):
    binding = bind(IntegerValue, fields=["name"])
    binding.consumer(ears.frame({"action": "create", "data": {"name": "one", "value": 5}}))
    row = IntegerValue.objects.get()
    assert row.value == 0
    binding.consumer(ears.frame({"action": "update", "pk": row.pk, "data": {"name": "two", "value": 5}}))
    row.refresh_from_db()
    assert (row.name, row.value) == ("two", 0)
    binding.consumer(ears.frame({"action": "update", "pk": row.pk, "data": {"value": 5}}))
    row.refresh_from_db()
    assert row.value == 0
    assert ears.answers() == []


def test_excluded_fields_are_not_applied(bind, ears):
    binding = bind(IntegerValue, fields=None, exclude=["value"])
    binding.consumer(ears.frame({"action": "create", "data": {"name": "one", "value": 5}}))
    assert IntegerValue.objects.get().value == 0


@pytest.mark.parametrize("data", [{"pk": 99}, {"id": 99}, {"pk": 99, "id": 98}])
def test_keys_are_never_applied(bind, ears, data):
    victim = IntegerValue.objects.create(pk=99, name="victim")
    binding = bind(IntegerValue)
    binding.consumer(ears.frame({"action": "create", "pk": 99, "data": {"name": "one", **data}}))
    row = IntegerValue.objects.get(name="one")
    assert row.pk != 99
    binding.consumer(ears.frame({"action": "update", "pk": row.pk, "data": {"name": "two", **data}}))
    assert IntegerValue.objects.get(name="two").pk == row.pk
    victim.refresh_from_db()
    assert victim.name == "victim"
    assert IntegerValue.objects.count() == 2


@pytest.mark.parametrize("name", ["objects", "save", "__class__", "_state", "bound.name", "name__startswith", ""])
def test_keys_that_are_no_fields_are_ignored(bind, ears, name):
    binding = bind(IntegerValue)
    binding.consumer(ears.frame({"action": "create", "data": {"name": "one", name: "x"}}))
    assert IntegerValue.objects.get().name == "one"
    assert ears.answers() == []


# --- of the wrong shape ---

SHAPE = 'Send {"action": "create", "update" or "delete", "pk": ..., "data": {...}} as JSON.'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[[{}]]",
        '"create"',
        "5",
        "null",
        "NaN",
        '{"action": "create", "data": {"value": NaN}}',
        '{"action": "create", "data": {"value": -Infinity}}',
        '{"action": "create", "data": {"value": 1e999}}',
        '{"pk": ' + "9" * 5000 + "}",
        "[" * 5000,
        '{"a":' * 5000,
    ],
)
def test_frames_that_are_no_request(intval, ears, text):
    intval.consumer(ears.frame(text))
    assert errors(ears) == {"__all__": [SHAPE]}


def test_a_frame_of_bytes(intval, ears):
    message = ears.frame("x")
    message.content = {"reply_channel": message["reply_channel"], "path": "/", "bytes": b"{}"}
    intval.consumer(message)
    assert errors(ears) == {"__all__": [SHAPE]}


@pytest.mark.parametrize("text", ['"\\u0000"', '["x", {"y": "\\u0000"}]', '{"\\u0000": 1}'])
def test_null_characters(intval, ears, text):
    intval.consumer(ears.frame(f'{{"action": "create", "data": {{"name": {text}}}}}'))
    assert errors(ears) == {"__all__": ["Null characters are not allowed."]}


def test_half_a_character(intval, ears):
    intval.consumer(ears.frame('{"action": "create", "data": {"name": "\\ud800"}}'))
    assert errors(ears) == {"__all__": ["Enter a valid value."]}


@pytest.mark.parametrize("action", [None, "explode", 5, ["create"], {"create": 1}, "CREATE", "run_action", True])
def test_actions_that_are_none(intval, ears, asked, action):
    intval.consumer(ears.frame({"action": action, "pk": 1, "data": {}}))
    assert errors(ears) == {"action": ["The action is create, update or delete."]}
    assert asked == []


def test_an_action_that_is_none_is_a_value_error_for_who_calls(intval):
    with pytest.raises(ValueError, match="The action is create"):
        intval().run_action("explode", 1, {})


@pytest.mark.parametrize("action", ["update", "delete"])
@pytest.mark.parametrize("pk", [None, "abc", "", [], [1], {}, {"pk": 1}, True, 1.5, 10**30, -(10**30), "9" * 5000])
def test_keys_that_are_none(intval, ears, asked, action, pk):
    intval.consumer(ears.frame({"action": action, "pk": pk, "data": {"value": 1}}))
    assert list(errors(ears)) == ["pk"]
    assert asked == []


@pytest.mark.parametrize("pk", ["x", "", 5, 10**30, "{", "0" * 40, None, []])
def test_keys_that_are_no_uuid(bind, ears, pk):
    bind(Token).consumer(ears.frame({"action": "update", "pk": pk, "data": {"label": "x"}}))
    assert list(errors(ears)) == ["pk"]


def test_the_key_of_another_object(bind, ears):
    user = User.objects.create(username="ada")
    binding = bind(Profile, exclude=["user"])
    Profile.objects.create(user=user, motto="x")
    binding.consumer(ears.frame({"action": "update", "pk": user.pk, "data": {"motto": "y"}}))
    assert Profile.objects.get().motto == "y"
    binding.consumer(ears.frame({"action": "update", "pk": "x", "data": {"motto": "y"}}))
    assert list(errors(ears)) == ["pk"]
    binding.consumer(ears.frame({"action": "create", "data": {"motto": "y"}}))
    assert errors(ears) == {"user": ["This field cannot be null."]}


@pytest.mark.parametrize("data", [[], ["name"], "name", 5, True])
def test_data_of_the_wrong_shape(intval, ears, data):
    intval.consumer(ears.frame({"action": "create", "data": data}))
    assert errors(ears) == {"data": ["The data is an object with a value for each field."]}


def test_what_is_sent_back_is_short_and_plain(intval, ears):
    intval.consumer(ears.frame({"action": "x" * 5000, "pk": [1], "data": {}}))
    payload = ears.answers()[0]["payload"]
    assert (payload["action"], payload["pk"]) == ("x" * 100, None)


# --- what applications decide ---


def test_complete_sets_what_clients_may_not(bind, ears):
    def complete(self, instance):
        instance.value = 42

    binding = bind(IntegerValue, fields=["name"], complete=complete)
    binding.consumer(ears.frame({"action": "create", "data": {"name": "one"}}))
    assert IntegerValue.objects.get().value == 42


def test_an_application_may_refuse_with_a_text(bind, ears):
    def update(self, pk, data):
        raise ValidationError("not today")

    bind(IntegerValue, update=update).consumer(ears.frame({"action": "update", "pk": 1}))
    assert errors(ears) == {"__all__": ["not today"]}


def test_a_natural_key_has_to_be_given_by_the_application(bind, ears):
    bind(Page).consumer(ears.frame({"action": "create", "data": {"slug": "home", "text": "x"}}))
    assert errors(ears) == {"slug": ["This field cannot be blank."]}

    def complete(self, instance):
        instance.slug = "home"

    bind(Page, complete=complete).consumer(ears.frame({"action": "create", "data": {"text": "x"}}))
    assert Page.objects.get().slug == "home"


def test_a_child_with_a_table_of_its_own(bind, ears):
    binding = bind(PinnedPost)
    binding.consumer(ears.frame({"action": "create", "data": {"title": "one", "pin": "!", "post_ptr": 5}}))
    row = PinnedPost.objects.get()
    assert (row.title, row.pin) == ("one", "!")
    binding.consumer(ears.frame({"action": "update", "pk": row.pk, "data": {"title": "two", "pin": "?"}}))
    row = PinnedPost.objects.get()
    assert (row.title, row.pin) == ("two", "?")
    assert ears.answers() == []


def test_messages_of_another_protocol_are_the_subclass_s_business(asked, ears):
    class PlainBinding(Allowing, Binding):
        model = IntegerValue
        fields = ["name"]

    PlainBinding.asked = asked
    with pytest.raises(NotImplementedError, match="deserialize"):
        PlainBinding.consumer(ears.frame({}))


def test_what_has_to_be_written_says_so(ears):
    class Empty(Binding):
        model = IntegerValue
        fields = ["name"]
        channel_session_user = False

        def deserialize(self, message):
            return "create", None, {}

    empty = Empty()
    with pytest.raises(NotImplementedError, match="group_names"):
        empty.group_names(None)
    with pytest.raises(NotImplementedError, match="serialize"):
        empty.serialize(None, "create")
    with pytest.raises(NotImplementedError, match="encode"):
        empty.encode("x", {})
    with pytest.raises(NotImplementedError, match="has_permission"):
        Empty.consumer(ears.frame({}))


# --- beside others ---


def test_an_update_does_not_undo_what_others_change_meanwhile(intval, ears):
    row = IntegerValue.objects.create(name="one", value=1)

    def change_meanwhile(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            execute("UPDATE bound_integervalue SET value = 2", (), False, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(change_meanwhile):
        intval.consumer(ears.frame({"action": "update", "pk": row.pk, "data": {"name": "two"}}))
    row.refresh_from_db()
    assert (row.name, row.value) == ("two", 2)


# --- anything at all ---

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["nan", "1e999", "2026-01-31", "0001-01-01T00:00:00+14:00", "P9999999999D", "10:00", "::1", "t"])
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
FIELDS = [field.name for field in (*Everything._meta.concrete_fields, *Everything._meta.many_to_many)]
DATA = st.dictionaries(st.sampled_from([*FIELDS, "pk", "tag_id"]) | st.text(max_size=5), ANYTHING, max_size=4)
REQUEST = st.fixed_dictionaries(
    {"action": st.sampled_from(["create", "update", "delete"]) | ANYTHING, "pk": st.just(1) | ANYTHING},
    optional={"data": DATA | ANYTHING},
)


@pytest.mark.timeout(600)
def test_no_request_of_a_client_ends_in_an_error_of_ours(bind, ears):
    binding = bind(Everything, group_names=lambda self, instance: ["red"])

    @settings(suppress_health_check=list(HealthCheck))
    @given(st.lists(REQUEST | ANYTHING, max_size=3))
    def check(requests):
        Everything.objects.all().delete()
        Everything.objects.create(pk=1)
        ears.answers()
        for request in requests:
            binding.consumer(ears.frame(request if not isinstance(request, str) else json.dumps(request)))
        for answer in ears.answers():
            assert answer["payload"]["errors"]
        assert {row.secret for row in Everything.objects.all()} <= {"kept"}
        assert not Everything.objects.exclude(upload="").exists()

    check()
