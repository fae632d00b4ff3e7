import subprocess
import sys

from fairway.testing.live_processes import LiveProcess
from tests.support.waiting import wait_until


def test_it_imports_no_django():
    text = "import fairway.testing.live_serve, sys; print([name for name in sys.modules if name.startswith('django')])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[]\n"


def test_it_ends_with_the_test_run_and_takes_the_folder_along(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    process = LiveProcess("server", tmp_path)
    options = ["--bind=127.0.0.1:0", f"--layer=local://{folder}/hub.sock"]
    process.spawn([sys.executable, "-m", "fairway.testing.live_serve", *options])
    process.wait_ready()
    assert (folder / "hub.sock").exists()
    process._line.close()
    wait_until(lambda: not process.is_running, "its end", 20)
    assert not folder.exists()
