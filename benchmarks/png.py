"""The PNG that JupyterLab adds to a notebook for a Plotly figure in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
WIDTH = 1_000


def size_of(figure: dict[str, Any]) -> int | None:
    """Return the length of the PNG in base64; None without a browser to draw it."""
    if not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None:
        return None
    import plotly
    from playwright.sync_api import sync_playwright

    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    draw = (
        "async ([figure, width]) => { const plot = await Plotly.newPlot('plot', figure.data, "
        "figure.layout); const url = await Plotly.toImage(plot, {format: 'png', width, "
        "height: figure.layout.height}); return url.length; }"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.set_content(f"<div id=plot style='width:{WIDTH}px'></div>")
        page.add_script_tag(path=str(script))
        size: int = page.evaluate(draw, [figure, WIDTH])
        browser.close()
    return size
