"""A real kernel, and what a front end gets from it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from benchmarks.project import ENV, NAME, row
from odibi_nb.sources.table import registry_in_database

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

LAYERS = ("Bronze", "Silver_1", "Gold_1")
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 300


@dataclass
class Reply:
    """Output of one cell: its text, the numbers of bytes and messages, and the time of the first picture.

    *outputs* are the saved outputs; *updates* are the bundles of all updates, in order.
    """

    text: str = ""
    bytes: int = 0
    messages: int = 0
    first_display: float = 0.0
    first_picture: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)
    updates: list[dict[str, str]] = field(default_factory=list)


class KernelSession:
    """A kernel in *folder* whose front end can answer, as in JupyterLab."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import KernelManager

        self.last = Reply()
        root = str(Path(__file__).parent.parent)
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(folder), env={**os.environ, "PYTHONPATH": paths})
        self._client = self._manager.client()

    def __enter__(self) -> Self:
        self._client.start_channels()
        self._client.wait_for_ready(timeout=TIMEOUT)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def run(self, code: str) -> Reply:
        """Run a cell, and return its output.

        Raises:
            RuntimeError: if it failed.
        """
        reply = self.last = Reply()
        begin = time.perf_counter()
        asked = self._client.execute(code, allow_stdin=True)
        while True:
            message = self._client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != asked:
                continue
            self._take(reply, message, begin)
            content = message["content"]
            if message["msg_type"] == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return reply

    @staticmethod
    def _take(reply: Reply, message: dict[str, Any], begin: float) -> None:
        kind, content = message["msg_type"], message["content"]
        reply.messages += 1
        reply.bytes += len(json.dumps(content)) + sum(len(b) for b in message["buffers"])
        if kind == "stream" and content["name"] == "stdout":
            reply.text += content["text"]
        if kind in ("display_data", "execute_result", "update_display_data"):
            reply.first_display = reply.first_display or time.perf_counter() - begin
            if not reply.first_picture and _is_picture(content["data"]):
                reply.first_picture = time.perf_counter() - begin
            name = content.get("transient", {}).get("display_id") or str(len(reply.outputs))
            reply.outputs[name] = content["data"]
            if kind == "update_display_data":
                reply.updates.append(content["data"])

    def saved(self, code: str) -> tuple[int, dict[str, Any] | None]:
        """Run *code*, and return the bytes of the saved notebook and its Plotly figure, if it has one."""
        outputs = [*self.run(code).outputs.values()]
        cell = nbformat.v4.new_code_cell(
            code, outputs=[nbformat.v4.new_output("display_data", data) for data in outputs]
        )
        text = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
        figure = next((data[PLOTLY] for data in outputs if PLOTLY in data), None)
        return len(text.encode()), figure


def _is_picture(bundle: dict[str, Any]) -> bool:
    """True if the front end draws more than words: a chart, or a widget."""
    return WIDGET_VIEW in bundle or "<svg" in bundle.get("text/html", "")


def project_on_disk(folder: Path, rows: int, function: str) -> None:
    """A project in *folder* that ``%odibi`` finds, with *rows* rows of *function* in three layers."""
    home = folder / "projects" / NAME.lower()
    home.mkdir(parents=True)
    environment = {"engine": "pandas", "registry": "sqlite:///registry.db"}
    manifest = {"project": NAME, "layer_order": LAYERS, "environments": {ENV: environment}}
    (home / "manifest.json").write_text(json.dumps(manifest))
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    registry.create()
    registry.upsert([row(i, function, layer=LAYERS[i * 3 // rows]) for i in range(rows)])
