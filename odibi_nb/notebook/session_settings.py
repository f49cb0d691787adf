"""``%config OdibiMagics.<setting> = value``: settings of this kernel only."""

from __future__ import annotations

from typing import Any

from traitlets import Int, TraitError, Unicode, observe, validate
from traitlets.config import Configurable

from odibi_nb.errors import SettingsError

SETTINGS = (
    "project",
    "env",
    "engine",
    "max_workers",
    "log_level",
    "on_error",
    "schedule",
    "ui",
)
"""The settings that can change from cell to cell. The other settings belong in files."""


def _text(help_text: str) -> Any:
    return Unicode(None, allow_none=True, help=help_text).tag(config=True)


class SessionSettings(Configurable):
    """Settings for `%config` and for IPython's configuration files.

    They take precedence over ``odibi.toml``, and a command's own options take precedence over them.
    The value None resets a setting.
    """

    project = _text("The project for commands that name none.")
    env = _text("The environment for commands that name none.")
    engine = _text("pandas or spark.")
    max_workers = Int(
        None, allow_none=True, help="Number of transformations that run at a time."
    ).tag(config=True)
    log_level = _text("Level of the console: DEBUG, INFO, WARNING, ERROR.")
    on_error = _text("continue or stop.")
    schedule = _text("layers (one after the other) or graph.")
    ui = _text("Display of a run: auto, plotly, widgets, html or text.")

    @validate(*SETTINGS)
    def _checked(self, proposal: Any) -> Any:
        """Return the validated value.

        Raises:
            TraitError: if the value is not valid for the setting; `%config` shows the message.
        """
        # Late: %load_ext needs no TOML and no msgspec.
        from odibi_nb.settings import checked_setting

        try:
            return checked_setting(proposal["trait"].name, proposal["value"])
        except SettingsError as exc:
            raise TraitError(str(exc)) from None

    @observe(*SETTINGS)
    def _settled(self, change: Any) -> None:
        from odibi_nb.settings import set_for_session

        name = change["name"]
        set_for_session(name, change["new"], f"%config {type(self).__name__}.{name}")

    def forget(self) -> None:
        """Reset all settings of this session."""
        from odibi_nb.settings import set_for_session

        for name in SETTINGS:
            set_for_session(name, None, "")
