"""Tests of the register, without a server: `python manage.py test`.

A `WSClient` is a browser's socket. Its `consume` runs the task, which a worker would run.
"""

from unittest import mock

from django.test import override_settings

from fairway.errors import DenyConnection
from fairway.testing import ChannelTestCase, WSClient
from progress import tasks
from progress.models import Arrival

TICKETS = "tasks.default"


@override_settings(PAUSE=0)
class ImportTests(ChannelTestCase):
    """Somebody presses the button, and watches."""

    def press(self, **form):
        """Press the button; return the id of the import."""
        response = self.client.post("/", form)
        self.assertEqual(response.status_code, 302)
        return response["Location"].split("/")[2]

    def watch(self, result_id):
        """Open a socket."""
        window = WSClient()
        window.connect(f"/ws/imports/{result_id}/")
        return window

    def what_happens(self, window):
        """Return all that a window is told."""
        frames = []
        while (frame := window.receive()) is not None:
            frames.append(frame)
        return frames

    def test_a_window_sees_the_bar_move(self):
        """It is told where the import stands, then how far it is, then how it ended."""
        result_id = self.press()
        window = self.watch(result_id)
        window.consume(TICKETS)
        waiting, first, *_, last, done = self.what_happens(window)
        self.assertEqual(waiting, {"state": "waiting"})
        self.assertEqual((first["progress"], first["done"]), (f"import-{result_id}", 1))
        self.assertEqual((last["done"], last["total"], last["percent"]), (200, 200, 100))
        self.assertEqual((done["state"], done["imported"]), ("done", 200))
        self.assertContains(self.client.get("/"), "200 arrivals")

    def test_whoever_comes_late_is_told_how_it_ended(self):
        """The result is kept."""
        result_id = self.press()
        WSClient().consume(TICKETS)
        [done] = self.what_happens(self.watch(result_id))
        self.assertEqual((done["state"], done["imported"]), ("done", 200))

    def test_a_second_import_replaces_the_first(self):
        """So it does no harm that a task is run again when its worker was lost."""
        for _ in range(2):
            self.press()
            WSClient().consume(TICKETS)
        self.assertEqual(Arrival.objects.count(), 200)

    def test_a_mistake_is_named_and_nothing_is_imported(self):
        """What was there before stays as well."""
        Arrival.objects.create(day="2024-12-31", ship="Old Faithful", port="Cork", tons=90)
        result_id = self.press(mistake="on")
        WSClient().consume(TICKETS)
        [refused] = self.what_happens(self.watch(result_id))
        self.assertEqual(refused["state"], "refused")
        self.assertIn("Row 120, Little Heron", refused["error"])
        self.assertEqual([arrival.ship for arrival in Arrival.objects.all()], ["Old Faithful"])

    def test_after_a_bug_the_import_has_failed(self):
        """The page does not say why: that is for the log."""
        result_id = self.press()
        window = self.watch(result_id)
        with mock.patch.object(tasks, "check", side_effect=ZeroDivisionError), self.assertLogs(level="ERROR"):
            window.consume(TICKETS)
        self.assertEqual(self.what_happens(window), [{"state": "waiting"}, {"state": "failed"}])

    def test_what_does_not_exist_cannot_be_watched(self):
        """Neither the page nor the socket."""
        self.assertEqual(self.client.get("/imports/nothing/").status_code, 404)
        with self.assertRaises(DenyConnection):
            self.watch("nothing")
