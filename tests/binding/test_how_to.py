"""The how-to, pasted into a project and run: an anonymous browser sees what it may."""

import re
import subprocess
import sys

from tests.support.processes import ROOT

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
INSTALLED_APPS = [
    "fairway", "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "blog",
]
CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": "mysite.routing.channel_routing"}}
"""

SCRIPT = """
import json
import django
django.setup()
from fairway.binding import BindingMetaclass
assert "PostBinding" in [binding.__name__ for binding in BindingMetaclass.binding_classes], "a shell knows of it"
from django.core.management import call_command
from websockets.sync.client import connect
from fairway.application import application_for
from fairway.conf import channel_layers
from tests.support.serving import serving

call_command("migrate", run_syncdb=True, verbosity=0)
from blog.models import Post

Post.objects.create(title="secret", admin_only=True)
post = Post.objects.create(title="first")
with serving(channel_layers["default"], application_for()) as port:
    with connect(f"ws://127.0.0.1:{port}/posts/", legacy=True) as browser:
        def heard():
            payload = json.loads(browser.recv(10))["payload"]
            return payload["action"], payload["data"]["title"]
        assert heard() == ("create", "first")
        post.admin_only = True
        post.save()
        assert heard() == ("delete", "first")
        for post in Post.objects.filter(admin_only=True):
            post.admin_only = False
            post.save()
        assert sorted([heard(), heard()]) == [("create", "first"), ("create", "secret")]
        request = {"action": "update", "pk": post.pk, "data": {"title": "forged"}}
        browser.send(json.dumps({"stream": "posts", "payload": request}))
        post.title = "last"
        post.save()
        assert heard() == ("update", "last")
print("worked")
"""


def test_the_how_to_works_when_pasted(tmp_path):
    text = (ROOT / "docs" / "how-to" / "data-binding.md").read_text()
    files = re.findall(r"in `(\S+\.py)`[^`]*```python\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in files] == [
        "blog/models.py",
        "blog/bindings.py",
        "blog/consumers.py",
        "mysite/routing.py",
    ]
    for name, content in [*files, ("blog/__init__.py", ""), ("mysite/settings.py", SETTINGS), ("run.py", SCRIPT)]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    env = {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "worked\n", done.stdout + done.stderr
