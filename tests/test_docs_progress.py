"""The page about progress: its code runs as it stands."""

import json

from fairway import DEFAULT_CHANNEL_LAYER, Channel
from fairway.conf import channel_layers
from tests.support.chain import Chain
from tests.support.pages import run_page
from tests.support.waiting import wait_until

LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}


def test_who_watches_sees_how_far_the_work_is(settings):
    settings.CHANNEL_LAYERS = LAYERS
    page = run_page("how-to/progress.md")
    with Chain(page["channel_routing"], layer=channel_layers[DEFAULT_CHANNEL_LAYER]) as chain:
        assert chain.connect("/ws/imports/7/") == [{"accept": True}]
        Channel("imports").send({"group": "import-7", "rows": ["Long Division", "Sea Thrift"]})
        frames = wait_until(lambda: chain.group_frames()[1:] and chain.group_frames(), "two reports")
        assert [(group, json.loads(frame["text"])) for group, frame in frames] == [
            ("import-7", {"progress": "import-7", "done": 1, "total": 2, "percent": 50, "row": "Long Division"}),
            ("import-7", {"progress": "import-7", "done": 2, "total": 2, "percent": 100, "row": "Sea Thrift"}),
        ]
    channel_layers.clear()
