"""The longest frames of the page that shows a live run, from a trace of the browser."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, shown
from benchmarks.kernel import project_on_disk
from benchmarks.png import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST = 0.1
"""Longest frame in seconds: people notice a page that does not move for longer."""
PATIENCE_MS = 600_000
CATEGORIES = (
    "toplevel",
    "disabled-by-default-devtools.timeline",
    "devtools.timeline",
    "__metadata",
)
CELLS = ("%load_ext odibi_nb", '%odibi run "Benchmark" --workers 32 {ui}')


def frames(folder: Path, rows: int) -> Iterator[Figure]:
    """The longest task of JupyterLab's main thread while *rows* rows of 100 ms run on 32 threads.

    A frame is not drawn before the task ends. The trace begins with the run and ends after its last state has
    replaced the widgets. A task counts with its processor time, because the kernel and other programs compete
    with the browser for the machine. The baseline is the same run without a view.
    """
    if not CHROMIUM.exists() or any(
        importlib.util.find_spec(name) is None for name in ("playwright", "jupyterlab")
    ):
        yield Figure(name="longest frame", ours="–", baseline="Chromium not installed")
        return
    ours, plain = (
        _tasks(folder / name, rows, ui)
        for name, ui in (("widgets", "--ui widgets"), ("plain", "--ui text --log-level CRITICAL"))
    )
    longest, work = ours
    print(f"longest frame, by kinds of work: {work}", file=sys.stderr)
    yield Figure(
        name=f"longest frame, {rows:,} rows, live widgets",
        ours=shown(longest),
        baseline=f"{shown(plain[0])}  no view",
        wanted=f"≤ {shown(MOST)}",
        holds=longest <= MOST,
    )


def _tasks(folder: Path, rows: int, ui: str) -> tuple[float, str]:
    """Return the processor seconds of the page's longest task in a run, and what that task did."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # the tests' laboratory
    from browser.lab import Lab, chromium, first_page

    project_on_disk(folder, rows, "wait")
    paths = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with Lab(folder, environ=paths) as lab, chromium() as browser:
        page = first_page(lab, browser)
        lab.notebook(page, "warm.ipynb", ["import ipywidgets\nipywidgets.HTML('warm')"]).start()
        page.wait_for_function("() => window.ran", timeout=PATIENCE_MS)
        notebook = lab.notebook(page, "run.ipynb", [cell.format(ui=ui) for cell in CELLS])
        browser.start_tracing(page=page, categories=[*CATEGORIES])
        notebook.start()
        page.wait_for_function("() => window.ran", timeout=PATIENCE_MS)
        page.wait_for_timeout(2_000)  # the page draws what the last messages brought
        trace = json.loads(browser.stop_tracing())
        notebook.close()
    return _longest(trace["traceEvents"])


def _longest(events: Sequence[dict[str, Any]]) -> tuple[float, str]:
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"].get("name") == "CrRendererMain"
    }
    own = [one for one in events if (one["pid"], one["tid"]) in mains and one.get("ph") == "X"]
    task = max((one for one in own if one["name"].endswith("RunTask")), key=_seconds)
    end = task["ts"] + task["dur"]
    work: Counter[str] = Counter()
    for one in own:
        inside = one["tid"] == task["tid"] and task["ts"] <= one["ts"] < end
        if inside and one is not task:
            work[one["name"]] += one.get("tdur", 0)
    kinds = ", ".join(f"{name} {shown(spent / 1e6)}" for name, spent in work.most_common(6))
    return _seconds(task), kinds


def _seconds(task: dict[str, Any]) -> float:
    return float(task.get("tdur", 0)) / 1e6
