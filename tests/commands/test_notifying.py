"""``notify`` lists the channels and their unsent messages, and sends a test message."""

from __future__ import annotations

import pytest
from listeners.notify.receivers import WebReceiver
from real_project import make_project

from odibi_nb.commands.face import Face
from odibi_nb.commands.parser import execute, parse
from odibi_nb.errors import ConfigurationError


@pytest.fixture
def notify(tmp_path):
    """Runs the command for a project whose environment has this key `notify`."""

    def run(channels, *words):
        home = make_project(tmp_path, environments={"qat": {"notify": channels}})
        path = str(home / "manifest.json")
        return execute(parse(["notify", "--manifest", path, *words]), Face())

    return run


def test_a_test_message_goes_to_each_channel(notify):
    """`--test` shows the answer of each channel, and fails if one does not work."""
    good, bad = WebReceiver(), WebReceiver(404)
    try:
        channels = {
            name: {"kind": kind, "url": one.url}
            for name, kind, one in (("a", "webhook", good), ("b", "slack", bad))
        }
        shown = notify(channels, "--test")
        assert shown.exit_code == 1
        assert "✔ test message sent" in str(shown)
        assert "✖ 127.0.0.1 answered 404" in str(shown)
        assert "t0p-secret" not in f"{shown} {shown!r} {shown._repr_html_()}"
        assert notify(channels).exit_code == 0  # nothing waits
        assert len(good.requests) == len(bad.requests) == 1
        assert list(shown.to_frame()["host"]) == ["127.0.0.1"] * 2
    finally:
        good.close()
        bad.close()


def test_a_project_without_channels_says_so(notify):
    """Without a channel the command has nothing to list."""
    with pytest.raises(ConfigurationError, match="has no channel"):
        notify({})
