"""Make the README's pictures: ``python notebooks/screenshots.py`` (needs Debian's Chromium and playwright).

The example project is run in JupyterLab, in a browser, in a copy of this folder; what its cells show, in the
light and the dark theme, becomes ``docs/images/NAME-light.png`` and ``NAME-dark.png``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the same laboratory as the tests'

from browser.lab import DARK, Lab, Notebook, chromium_page  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IMAGES = ROOT / "docs" / "images"
PROJECT = "Energy Efficiency"
WINDOW = (1260, 1500)
"""Size of the browser in pixels. It makes every picture as wide as its cells."""
MARGIN = 30
"""Width in pixels that is cut off at a cell's left edge."""
MAX_BYTES = 150_000
PATIENCE_MS = 60_000
SETTLING_MS = 1_500
"""Milliseconds for a figure to draw itself after the end of its cell."""


class Picture(NamedTuple):
    """A cell and its picture.

    Attributes:
        name: the file's name, without the theme.
        cell: the source of the cell.
        height: maximum height of the picture, in pixels.
        shows: the selector of an element that must be visible before the picture is taken.
        before: the source of the cell before it.
        clicks: selectors of the elements to click on, one after the other.
        live: True to take the picture while the cell runs.
    """

    name: str
    cell: str
    height: int
    shows: str
    before: str = "%load_ext odibi_nb"
    clicks: tuple[str, ...] = ()
    live: bool = False


LONGER = """
%load_ext odibi_nb
import random, time
from odibi_nb.core.running import worker

call, rest = worker._call, random.Random(3)
def call_and_rest(attempt):
    time.sleep(rest.uniform(0.6, 3.0))
    call(attempt)
# Tracebacks are shown without the frames of the package's own files.
call_and_rest.__code__ = call_and_rest.__code__.replace(co_filename=worker.__file__)
worker._call = call_and_rest
for _ in range(2):
    %odibi run --ui text --log-level ERROR --workers 4
rest.seed(3)
"""
"""The example's transformations are too fast for a picture: here each one takes longer.

Two runs before, which are not in the picture, let such durations be expected: their median counts.
"""

SPOILED = """
from pathlib import Path

weather = Path("projects/energy_efficiency/data/rmis_weather_data.csv")
lines = weather.read_text(encoding="utf-8").splitlines()
lines[100] = "no clock" + lines[100][lines[100].index(","):]
weather.write_text("\\n".join(lines) + "\\n", encoding="utf-8")
"""
"""A file of the example has a line that a transformation cannot read."""
SEVERAL_RUNS = """
%load_ext odibi_nb
broken = '[SILVER_004]\\nunit = "MW"'
run = get_ipython().run_cell_magic
for _ in range(4):
    %odibi run --ui text --log-level ERROR --workers 4
run("odibi", "run --ui text --log-level ERROR --layers Silver_1 Silver_2 --retries 0", broken)
%odibi run --ui text --log-level ERROR --workers 4
"""
CHANGED_RUN = """
%load_ext odibi_nb
kept = "[SILVER_001]\\ndrop_nulls = false"
get_ipython().run_cell_magic("odibi", "run --ui text --log-level ERROR --workers 4", kept)
"""
BAD_STAMP = f"""
%load_ext odibi_nb
%odibi run --ui text --log-level ERROR --workers 4
{SPOILED}"""
FAILED_RUN = """
%load_ext odibi_nb
%odibi run --stale --ui text --log-level ERROR --workers 4 --retries 0
"""
WRONG_RUN = """
%load_ext odibi_nb
from pathlib import Path

weather = Path("projects/energy_efficiency/data/rmis_weather_data.csv")
weather.write_text(weather.read_text(encoding="utf-8").replace("no clock", "1/1/2022 8:20"))
%odibi run --stale --ui text --log-level ERROR --workers 4
wrong = '[GOLD_001]\\nwindow = "1D"'
get_ipython().run_cell_magic("odibi", "run --only GOLD_001 --ui text --log-level ERROR", wrong)
"""

PICTURES = (
    Picture(
        "failed-run",
        f'%%odibi run "{PROJECT}" --layers Silver_1 Silver_2 --retries 1\n'
        '[SILVER_004]\nunit = "MW"',
        800,
        ".odibi-log tbody.open pre",
        before=LONGER,
        clicks=(".odibi-log td button:text-is('SILVER_004')",),
    ),
    Picture("history", f'%odibi history "{PROJECT}"', 900, ".odibi-grid", before=SEVERAL_RUNS),
    Picture("diff", f'%odibi diff last --project "{PROJECT}"', 700, "details", before=CHANGED_RUN),
    Picture(
        "panel",
        f'%odibi panel "{PROJECT}"',
        780,
        "[role=tabpanel] svg, .widget-tab-contents svg",
        clicks=("button.jupyter-button:has-text('Preview')",),
    ),
    Picture("status", "%odibi status", 700, "table", before=BAD_STAMP),
    Picture("why", "%odibi why SILVER_002", 700, "p:has-text('likeliest')", before=FAILED_RUN),
    Picture("bisect", "%odibi bisect SILVER_002", 500, "details"),
    Picture("load", "%odibi load SILVER_002 --run last", 600, "pre:has-text('loaded')"),
    Picture("rollback", "%odibi rollback last --dry-run", 400, "table", before=WRONG_RUN),
    # the last one, because it leaves a spoiled file
    Picture(
        "run",
        f'result = %odibi run "{PROJECT}" --env qat --workers 4 --retries 0',
        932,
        "p:has-text('GOLD_002 daily_energy, 1 s of')",
        before=f"{LONGER}{SPOILED}",
        live=True,
    ),
)


def take(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """Take *pictures* in both themes. Return their files.

    Raises:
        RuntimeError: if something went wrong in the page, or a picture is too large for a README.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        notebooks = Path(place) / "notebooks"
        left = shutil.ignore_patterns(".odibi", "lake", "registry.db", "executed", "__pycache__")
        shutil.copytree(ROOT / "notebooks", notebooks, ignore=left)
        _prepare(notebooks)
        return [
            path
            for theme, settings in (("light", {}), ("dark", DARK))
            for path in _in_theme(theme, settings, notebooks, pictures, folder)
        ]


def _prepare(notebooks: Path) -> None:
    """Give the example a past run, for tables and expected durations."""
    command = [sys.executable, "-m", "odibi_nb.cli", "run"]
    subprocess.run(command, cwd=notebooks, check=True, stdout=subprocess.DEVNULL)


def _in_theme(
    theme: str, settings: dict[str, Any], notebooks: Path, pictures: Sequence[Picture], folder: Path
) -> Iterator[Path]:
    with (
        Lab(_fresh(notebooks, theme), settings) as lab,
        chromium_page(WINDOW) as page,
    ):
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{lab.url}/lab?reset")
        page.wait_for_selector(".jp-Launcher")
        page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
        for picture in pictures:
            path = folder / f"{picture.name}-{theme}.png"
            _photograph(lab, page, picture, path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB", flush=True)
            if path.stat().st_size > MAX_BYTES:
                raise RuntimeError(f"{path} is larger than {MAX_BYTES // 1000} kB")
            yield path
        if page.wrong:
            raise RuntimeError(f"went wrong in the page: {page.wrong}")


def _fresh(notebooks: Path, theme: str) -> Path:
    """Make a copy for one theme, so that both show the same run for the same cell."""
    return Path(shutil.copytree(notebooks, notebooks.parent / theme))


def _photograph(lab: Any, page: Any, picture: Picture, path: Path) -> None:
    notebook = Notebook(lab, page, f"{picture.name}.ipynb", (picture.before, picture.cell))
    notebook.open()
    notebook.start()
    if not picture.live:
        notebook.finish()
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    for selector in picture.clicks:
        panel.locator(selector).first.click()
    panel.locator(f".jp-OutputArea {picture.shows}").first.wait_for()
    cell = panel.locator(".jp-Cell").nth(1)
    # The first cell becomes the active one: no frame and no buttons around ours.
    page.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    cell.evaluate("cell => cell.scrollIntoView({block: 'start'})")
    page.mouse.move(0, 0)
    page.wait_for_timeout(0 if picture.live else SETTLING_MS)
    box = cell.bounding_box()
    x, width = box["x"] + MARGIN, box["width"] - MARGIN
    clip = {"x": x, "y": box["y"], "width": width, "height": min(picture.height, box["height"])}
    page.screenshot(path=path, clip=clip)
    notebook.finish()
    notebook.close()


def main() -> int:
    """Take the pictures named on the command line, or all whose command exists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [picture.name for picture in PICTURES]
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME", help=str(names))
    chosen = parser.parse_args().names or names
    os.environ.pop("ODIBI_UI", None)
    take([picture for picture in PICTURES if picture.name in chosen], IMAGES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
