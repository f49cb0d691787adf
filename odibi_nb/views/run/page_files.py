"""The scripts and style sheets beside this module, as the pages have them: without comments and needless spaces."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def script_of(name: str) -> str:
    """Return the script in the file *name*."""
    text = "".join(line for line in lines_of(name) if not line.startswith("//"))
    return re.sub(r" ([-+*/<>=&|?:!]+) |(?<=[,;]) ", r"\1", text)


def lines_of(name: str) -> list[str]:
    """Return the lines of the file *name*, without their indentation."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines()]
