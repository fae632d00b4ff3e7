"""The code of a documentation page, run as a reader pastes it."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent.parent / "docs"


def run_page(page: str) -> dict[str, Any]:
    """Run the Python blocks of a page, one after the other, and return what they define."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names
