"""Runs the code blocks of a page as a reader would, in one folder and one notebook."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sqlite3
from pathlib import Path
from typing import NamedTuple

import sqlglot
from docs.doc_pages import ROOT
from IPython.utils.capture import capture_output

from odibi_nb import cli
from odibi_nb.core.model.checks import Check
from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.model.transformation import parse_row
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.core.text.toml import decode_toml

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDED = " (add at the end)"
REPLACED = " (replace the last line)"
EXTRAS = decode_toml((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


class Block(NamedTuple):
    """One code block: its language, the file it is the text of, its other attributes, and the text."""

    line: int
    kind: str
    title: str
    attributes: dict[str, str]
    text: str


def blocks_of(path):
    """The code blocks of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(line, match[1], attributes.pop("title", ""), attributes, match[3]))
    return found


class Reader:
    """Execute the blocks of a page one after the other, in the working folder."""

    def __init__(self, shell):
        self.shell = shell
        self.printed = ""

    def follow(self, block):
        """Execute *block*. Raise AssertionError if it fails."""
        if block.title:
            self._write_file(block)
        else:
            getattr(self, f"_{block.kind}")(block)

    def _write_file(self, block):
        added, replaced = block.title.endswith(ADDED), block.title.endswith(REPLACED)
        path = Path(block.title.removesuffix(ADDED).removesuffix(REPLACED))
        assert not path.is_absolute()
        assert path.exists() or not (added or replaced), f"{path} is not there"
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") + "\n" if added or replaced else ""
        if replaced:
            before = before.rstrip("\n").rpartition("\n")[0] + "\n"
        path.write_text(before + block.text, encoding="utf-8")

    def _cell(self, block):
        with capture_output() as captured:
            done = self.shell.run_cell(block.text)
        self.printed = captured.stdout + captured.stderr
        self.printed += "".join(str(x.data.get("text/plain", "")) for x in captured.outputs)
        error = done.error_before_exec or done.error_in_exec
        assert done.success, f"{self.printed}{error!r}"

    _python = _ipython = _cell

    def _sh(self, block):
        self.printed = ""
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if words[0] == "odibi":
                self._command(words[1:], line)
            elif words[0] in {"git", "cd", "mkdir", "source"} or words[1:3] == ["-m", "venv"]:
                continue  # the test has its own environment and folder
            elif words[:2] == ["pip", "install"] or "pip install" in line:
                for extra in re.findall(r"odibi-nb\[([\w,-]+)\]", line):
                    assert set(extra.split(",")) <= set(EXTRAS), f"no such extra: {extra}"
            elif words[0] == "python":
                assert Path(words[-1]).exists(), f"{words[-1]} is not there"
            else:
                raise AssertionError(f"this test cannot run {line!r}")

    def _command(self, words, line):
        expected = re.search(r"# exit code (\d)", line)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(words)
        self.printed += out.getvalue() + err.getvalue()
        assert code == int(expected[1] if expected else 0), f"{line}\n{self.printed}"

    def _text(self, block):
        """Lines that the block before printed. ``…`` matches further lines, and numbers may differ."""
        printed = _normal(self.printed)
        for line in block.text.splitlines():
            for part in filter(str.strip, line.split("…")):
                assert _normal(part) in printed, f"{part!r} is not in\n{self.printed}"

    def _json(self, block):
        value = json.loads(block.text)
        if isinstance(value, dict) and {"project", "layer_order"} <= set(value):
            manifest = ProjectManifest.from_dict(value)
            assert manifest.layer_order
        elif isinstance(value, dict) and "transformation_id" in value:
            place = {"project": "P", "environment": "qat", "enabled": 1}
            assert parse_row({**place, **value}, 1)[1] == []
        else:
            for check in value:
                assert decode_struct(check, Check, "check")[1] == []

    def _toml(self, block):
        assert decode_toml(block.text)

    def _sql(self, block):
        dialect = block.attributes.get("dialect", "sqlite")
        assert sqlglot.parse(block.text, read=dialect)
        if "database" in block.attributes:
            with contextlib.closing(sqlite3.connect(block.attributes["database"])) as connection:
                connection.executescript(block.text)


def _normal(text):
    """Return *text* without the parts that differ from run to run: numbers, ids and column widths."""
    return re.sub(r"\s+", " ", re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", text)).strip()
