"""The app of delayed messages."""

from django.apps import apps


def test_its_label_is_one_that_no_other_app_has():
    config = apps.get_app_config("fairway_delay")
    assert (config.name, config.verbose_name) == ("fairway.delay", "Fairway: messages for later")
    assert config.default_auto_field == "django.db.models.BigAutoField"
