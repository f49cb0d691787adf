"""Costs of the live view: time, processor, bytes, and the size of the saved notebook."""

from __future__ import annotations

import json
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import png
from benchmarks.figures import Figure, compared, shown
from benchmarks.kernel import KernelSession, project_on_disk
from benchmarks.timing import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS = 32
MOST_OF_A_CORE = 0.04
MOST_TO_START = 0.05
"""Seconds from the start of a run, when its plan is made, to the start of its first transformation."""
KILOBYTE = 1_000
PLAIN_UI = "--ui text --log-level CRITICAL"
FIRST = 'r = %odibi run "Benchmark" --ui plotly'
START = """
first = min(row.start_time for row in r.transformations.values())
print((first - r.start_time).total_seconds())
"""
WATCH = """
import time
from odibi_nb.notebook.live import view as live
spent = {"painter": 0.0, "events": 0.0, "ticks": 0}
def counted(name, method, key):
    def call(self, *arguments):
        begin = time.thread_time()
        try:
            return method(self, *arguments)
        finally:
            spent[key] += time.thread_time() - begin
    setattr(live.LiveView, name, call)
counted("_paint_on", live.LiveView._paint_on, "painter")
counted("_learn", live.LiveView._learn, "painter")
for name in ("on_plan", "on_event", "add_details"):
    counted(name, getattr(live.LiveView, name), "events")
from odibi_nb.notebook.live import pictures
paint = pictures.WidgetPicture.paint
def ticking(self, snapshot):
    spent["ticks"] += 1
    paint(self, snapshot)
pictures.WidgetPicture.paint = ticking
"""
RUN = """
import time
begin = time.perf_counter()
r = get_ipython().run_line_magic("odibi", 'run "Benchmark" --workers {workers} {ui}')
print("took", time.perf_counter() - begin, r["status"])
"""


def live_run(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    """Rows that wait for 100 ms on 32 threads, in a real kernel: as ``widgets``, and with no view.

    The processor time is that of the view's two threads, and of its part of the run's own thread, over the
    time of the run: the median of *turns* runs, because the collector of a kernel may stop any thread. All
    messages that reach the front end during the run count as bytes. "Last state" is the last update of the
    picture.
    """
    project_on_disk(folder, rows, "wait")
    with KernelSession(folder) as kernel:
        kernel.run("%load_ext odibi_nb")
        plain = partial(_seconds, kernel, PLAIN_UI)
        widgets = partial(_seconds, kernel, "--ui widgets")
        kernel.run(WATCH)
        on, off = side_by_side([widgets, plain], turns)
        name = f"{rows:,} rows × 100 ms, live widgets"
        yield compared(name, on, off, peer="no view", at_most=1.02)
        shares = []
        for _ in range(turns):
            before = _spent(kernel)
            took = widgets()
            last = kernel.last
            spent = {key: value - before[key] for key, value in _spent(kernel).items()}
            shares.append((spent["painter"] + spent["events"]) / took)
        share = median(shares)
        yield Figure(
            name=f"its processor time ({spent['ticks']} pictures in {took:.1f} s)",
            ours=shown(share * took),
            baseline=f"{shown(took)}  of one core",
            ratio=f"{share:.3f}",
            wanted=f"≤ {MOST_OF_A_CORE}",
            holds=share <= MOST_OF_A_CORE,
        )
        yield Figure(
            name="its messages",
            ours=f"{last.bytes / KILOBYTE:,.0f} kB",
            baseline=f"{last.messages:,} messages",
        )
        yield _last_state(last.updates, rows)


def _spent(kernel: KernelSession) -> dict[str, float]:
    """Return the seconds of processor time, and the pictures, that `WATCH` has counted so far."""
    counted: dict[str, float] = json.loads(kernel.run("import json; print(json.dumps(spent))").text)
    return counted


def _last_state(updates: list[dict[str, str]], rows: int) -> Figure:
    # at its end a run updates summary, chart and table, and then the table once more, with its logs
    page = "".join(update.get("text/html", "") for update in updates[-4:])
    drawn = (
        f"Gantt chart of Benchmark: {rows:,} success" in page
        and f"{rows:,} of {rows:,} done" in page
    )
    return Figure(
        name="the last state is drawn",
        ours="yes" if drawn else "no",
        baseline="–",
        wanted="yes",
        holds=drawn,
    )


def first_picture(folder: Path, turns: int) -> Iterator[Figure]:
    """From Enter to the first words and to the first picture, against an empty widget in the same kernel.

    The extension is loaded. By the time of the picture, ours has read manifest, registry and history, and
    planned 20 rows. Each kernel is new; "warm" is the second run in it. "Plan to first transformation" is the
    time between two events of the run.
    """
    project_on_disk(folder, 20, "wait")
    starts = []
    for state, again in (("new", False), ("warm", True)):
        times = [_first(folder, again=again) for _ in range(turns)]
        empty = [one.empty for one in times]
        for name, ours in (
            ("words", [one.words for one in times]),
            ("picture", [one.picture for one in times]),
        ):
            yield compared(
                f"Enter to first {name}, {state} kernel",
                ours,
                empty,
                peer="an empty ipywidgets.HTML",
            )
        starts.append(median(one.start for one in times))
    yield Figure(
        name="plan to first transformation, Plotly not imported",
        ours=shown(starts[0]),
        baseline=f"{shown(starts[1])}  Plotly imported",
        wanted=f"≤ {shown(MOST_TO_START)}",
        holds=max(starts) <= MOST_TO_START,
    )


class _Times(NamedTuple):
    """Seconds from Enter until something is displayed."""

    words: float
    picture: float
    empty: float
    start: float


def _first(folder: Path, *, again: bool) -> _Times:
    """Return the times of a run in a kernel, and of an empty widget in another, equally warm kernel."""
    with KernelSession(folder) as kernel:
        kernel.run("%load_ext odibi_nb")
        for _ in range(1 + again):
            run = kernel.run(FIRST)
        start = float(kernel.run(START).text)
    with KernelSession(folder) as kernel:
        for _ in range(1 + again):
            empty = kernel.run("import ipywidgets\ndisplay(ipywidgets.HTML())")
    return _Times(run.first_display, run.first_picture, empty.first_display, start)


def saved_notebooks(folder: Path, sizes: dict[int, int]) -> Iterator[Figure]:
    """The notebook of one run cell as it is saved, for each number of rows; *sizes* has the limits in kB.

    Rows print a line each, which is kept. To figures with a Plotly figure the PNG is added that
    JupyterLab saves with it, drawn by the same Plotly, 1,000 pixels wide.
    """
    for rows, limit in sizes.items():
        home = folder / str(rows)
        project_on_disk(home, rows, "say")
        with KernelSession(home) as kernel:
            kernel.run("%load_ext odibi_nb")
            size, figure = kernel.saved('r = %odibi run "Benchmark" --ui widgets')
        drawn = png.size_of(figure) if figure else 0
        note = (
            "no Plotly figure" if not figure else "PNG not known" if drawn is None else "with PNG"
        )
        total = size + (drawn or 0)
        yield Figure(
            name=f"saved notebook of {rows:,} rows",
            ours=f"{total / KILOBYTE:,.0f} kB",
            baseline=note,
            wanted=f"≤ {limit} kB",
            holds=None if drawn is None else total <= limit * KILOBYTE,
        )


def _seconds(kernel: KernelSession, ui: str) -> float:
    word, seconds, status = kernel.run(RUN.format(workers=WORKERS, ui=ui)).text.split()
    if (word, status) != ("took", "success"):
        raise RuntimeError(f"the run ended {status}")
    return float(seconds)
