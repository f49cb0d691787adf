"""JupyterLab in a real browser: our own server and Debian's Chromium, without the network."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import nbformat

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
]
ASK_EVERY = 50
"""Milliseconds between two questions to a page whether something has happened."""
QUIET = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    # every output stays in the page, also what has scrolled away
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
DARK = {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}}
WIDGET = "jupyterapp.shell.currentWidget"
JUPYTERS_OWN = (
    "Canceled future",  # logged when a page leaves a kernel that has not answered all its requests
    "debugger state",  # logged when a kernel ends while JupyterLab looks for a debugger
    "reading 'kernel'",  # thrown when a kernel ends while something still asks for the session's kernel
    "reading 'schema'",  # thrown by Notebook 7 where settings arrive in another order than it thinks
)
"""Parts of errors that are JupyterLab's own and say nothing about the outputs of a cell."""
NOT_YET_FOUND = "widget model not found"
"""Part of the error of a reloaded JupyterLab that draws an output before it knows the kernel's widgets.

It happens on slow machines. The next picture of the run draws the output again.
"""


class Lab:
    """A JupyterLab server on *root*, without the user's settings.

    Args:
        root: its folder.
        settings: of JupyterLab, by plug-in.
        python: the interpreter whose JupyterLab it is; kernels are its own.
        environ: more environment variables, for kernels.
    """

    home, ready = "/lab?reset", ".jp-Launcher"
    arguments = (
        *("lab", "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
    )

    def __init__(self, root, settings=None, python=sys.executable, environ=None):
        self.root = Path(root)
        self.settings = {**QUIET, **(settings or {})}
        self.python, self.environ = python, environ or {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        state = self.root / ".jupyter-state"
        (state / "config" / "labconfig").mkdir(parents=True)
        overrides = state / "config" / "labconfig" / "default_setting_overrides.json"
        overrides.write_text(json.dumps(self.settings))
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        own_places = {name: str(state / own[name]) for name in own}
        environment = {**os.environ, **own_places, **self.environ}
        self.log = (state / "server.log").open("wb")
        self.server = subprocess.Popen(
            [
                *(self.python, "-m", "jupyter", *self.arguments, "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0"),
                *("--IdentityProvider.token=", f"--ServerApp.root_dir={self.root}"),
            ],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 180  # of a busy machine
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=1).read()
            except OSError:
                if self.server.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError((state / "server.log").read_text()) from None
            else:
                return self

    def __exit__(self, *exception):
        self.server.send_signal(signal.SIGTERM)  # the server ends its kernels
        try:
            self.server.wait(15)
        except subprocess.TimeoutExpired:
            self.server.kill()
        self.log.close()

    def notebook(self, page, name, cells=()):
        """A notebook of the given cells, open in *page*."""
        return Notebook(self, page, name, cells).open()


class Notebook7(Lab):
    """As `Lab`, with Notebook 7: each notebook is a page of its own."""

    home, ready = "/tree", ".jp-DirListing-content"
    arguments = ("notebook", "--JupyterNotebookApp.expose_app_in_browser=True")

    def notebook(self, page, name, cells=()):
        """A notebook of the given cells, open in *page*."""
        return PageNotebook(self, page, name, cells).open()


@contextlib.contextmanager
def chromium():
    """A headless Chromium; a process can have one at a time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without scrollbars, as headless browsers are, a picture that shrinks to its own is not seen.
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=CHROMIUM_ARGUMENTS,
            ignore_default_args=["--hide-scrollbars"],
        )
        yield browser
        browser.close()


def new_page(browser, size=(1400, 1000)):
    """A page of *browser*, with its errors as `page.wrong`."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(60_000)
    # Playwright asks in each frame by default: 60 frames a second would be drawn only for that.
    page.wait_for_function = partial(page.wait_for_function, polling=ASK_EVERY)
    page.wrong, page.foreign = [], []
    page.on("console", lambda m: m.type == "error" and _note_error(page, m.text))
    page.on("pageerror", lambda e: _is_splash(e) or _note_error(page, str(e)))
    page.on(
        "request", lambda request: _is_foreign(request.url) and page.foreign.append(request.url)
    )
    return page


def first_page(lab, browser):
    """A page of *browser* that shows *lab*, ready for a notebook."""
    page = new_page(browser)
    page.goto(lab.url + lab.home)
    page.wait_for_selector(lab.ready, timeout=60_000)
    return page


@contextlib.contextmanager
def chromium_page(size=(1400, 1000)):
    """A page of a headless Chromium of its own, as `new_page`."""
    with chromium() as browser:
        yield new_page(browser, size)


def _note_error(page, text):
    """Add an error to `page.wrong`, unless it is one of JupyterLab's own."""
    if not any(part in text for part in JUPYTERS_OWN):
        page.wrong.append(text)


def _is_splash(error):
    """Return True if JupyterLab's timer removes its splash screen twice, as it does where themes load slowly.

    A timer's function has no caller, so its stack has one place. An error of outputs or widgets has more.
    """
    stack = error.stack or ""
    return (
        "removeChild" in str(error)
        and stack.count("\n    at ") == 1
        and "/static/lab/jlab_core." in stack
    )


def _is_foreign(url):
    return not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


class Notebook:
    """A notebook that is open in the page."""

    def __init__(self, lab, page, name, cells=()):
        self.lab, self.page, self.path = lab, page, lab.root / name
        self.reloaded = False
        if cells:
            notebook = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
            )
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
            nbformat.write(notebook, self.path)
        self.outputs = page.locator(f"{PANEL} .jp-OutputArea-output")

    def open(self):
        """Open it and wait for its kernel."""
        self.page.evaluate(
            "p => jupyterapp.commands.execute('docmanager:open', {path: p, factory: 'Notebook', "
            "kernel: {name: 'python3'}}).then(w => w.context.ready).then(() => true)",
            self.path.name,
        )
        return self._with_kernel()

    def _with_kernel(self):
        session = f"{WIDGET}.context?.sessionContext?.session"
        self.page.wait_for_function(f"() => {session}?.kernel?.info && true", timeout=60_000)
        return self

    def start(self):
        """Run all cells; do not wait for them."""
        self.page.evaluate(
            "() => { window.ran = false; jupyterapp.commands.execute("
            "'notebook:run-all-cells').then(() => { window.ran = true; }); }"
        )

    def finish(self):
        """Wait until the last cell has replied."""
        self.page.wait_for_function("() => window.ran", timeout=60_000)

    def interrupt(self):
        """Press the stop button."""
        self.page.evaluate(
            "() => jupyterapp.commands.execute('notebook:interrupt-kernel').then(() => true)"
        )

    def save(self):
        """Save it; the notebook as it is on disk."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save').then(() => true)")
        return nbformat.read(self.path, as_version=4)

    def reload(self):
        """Save it and reload the page, which finds notebook and kernel again."""
        self.save()
        self.reloaded = True
        self.page.reload()
        self.page.wait_for_function(
            f"p => window.jupyterapp && {WIDGET}?.context?.path === p",
            arg=self.path.name,
            timeout=60_000,
        )
        return self._with_kernel()

    def close(self):
        """Close it and end its kernel."""
        self.page.evaluate(
            f"async () => {{ const w = {WIDGET}; await w.context.save(); "
            "await w.context.sessionContext.shutdown(); w.dispose(); }"
        )
        if self.reloaded:  # the page would open it again with the next notebook
            self.page.goto(f"{self.lab.url}/lab?reset")
            self.page.wait_for_selector(".jp-Launcher", timeout=60_000)


class PageNotebook(Notebook):
    """A notebook that is the page."""

    def open(self):
        """Open it and wait for its kernel."""
        self.page.goto(f"{self.lab.url}/notebooks/{self.path.name}")
        session = "window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session"
        self.page.wait_for_function(f"() => {session}?.kernel?.info && true", timeout=60_000)
        return self

    def close(self):
        """End its kernel and leave its page."""
        self.page.evaluate(
            f"async () => {{ await {WIDGET}.context.save(); "
            f"await {WIDGET}.context.sessionContext.shutdown(); }}"
        )
        self.page.goto(f"{self.lab.url}{self.lab.home}")


PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"
