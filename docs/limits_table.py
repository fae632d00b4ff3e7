"""Write the page of limits from `fairway.limits`: one table for each record, with the docstrings as reasons."""

import ast
import inspect
from pathlib import Path

from fairway import limits


def write(path: Path) -> None:
    """Write the tables as Markdown."""
    tree = ast.parse(inspect.getsource(limits))
    records = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    path.write_text("\n".join(line for record in records for line in table(record)))


def table(record: ast.ClassDef) -> list[str]:
    """Return the lines for one record."""
    lines = [f"## {record.name}", "", ast.get_docstring(record) or "", "", "| limit | default | why |", "|---|---|---|"]
    for field, reason in zip(record.body, record.body[1:], strict=False):
        is_told = isinstance(reason, ast.Expr) and isinstance(reason.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and is_told and isinstance(field.target, ast.Name):
            text = " ".join(str(reason.value.value).split())
            lines.append(f"| `{field.target.id}` | {default(field.value)} | {text} |")
    return [*lines, ""]


def default(value: ast.expr | None) -> str:
    """Return a default as a reader would say it."""
    text = ast.unparse(value) if value else ""
    names = {"UNLIMITED": "no limit", "UNGATED": "no limit", "KIB": "1 KiB", "MIB": "1 MiB", "False": "no"}
    return names.get(text, text.replace(" * KIB", " KiB").replace(" * MIB", " MiB").replace("_", ","))
