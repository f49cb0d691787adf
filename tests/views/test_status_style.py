"""Bars differ by their lightness, also for people who see no red or no green."""

from __future__ import annotations

import itertools

import pytest

from odibi_nb.views.status_style import STATUS_STYLES

# Machado, Oliveira and Fernandes 2009, severity 1: rows of the matrices for linear RGB.
SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
GROUNDS = {"light": "#ffffff", "dark": "#111111"}
COVERED = 0.2
"""The part of a bar that its pattern covers."""


def rgba(colour):
    """Return red, green, blue and opacity, each from 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in range(1, len(colour), 2)]
    return (*parts, 1.0) if len(parts) == 3 else tuple(parts)


def over(colour, ground):
    """Return the visible colour of *colour* on *ground*."""
    *above, opacity = rgba(colour)
    return tuple(a * opacity + g * (1 - opacity) for a, g in zip(above, ground, strict=True))


def seen(style, ground):
    """Return the mean colour of a small bar with its pattern, in linear RGB."""
    bar = over(style.bar, ground)
    lines = over(style.lines, bar) if style.pattern else bar
    return [
        (1 - COVERED) * linear(one) + COVERED * linear(other)
        for one, other in zip(bar, lines, strict=True)
    ]


def linear(part):
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def lightness(colour, sight):
    """Return the CIE L* of a linear colour, for people with this sight."""
    rgb = [
        min(1.0, max(0.0, sum(f * c for f, c in zip(row, colour, strict=True)))) for row in sight
    ]
    y = sum(f * c for f, c in zip((0.2126, 0.7152, 0.0722), rgb, strict=True))
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", GROUNDS)
def test_bars_differ_in_lightness(sight, theme):
    """Bars of success, failed, running and unchanged rows differ by 15 of CIE L*, in both themes."""
    *ground, _ = rgba(GROUNDS[theme])
    styles = [STATUS_STYLES[name] for name in ("SUCCESS", "FAILED", "RUNNING", "UNCHANGED")]
    found = [lightness(seen(style, ground), SIGHT[sight]) for style in styles]
    assert all(abs(one - other) >= 15 for one, other in itertools.combinations(found, 2)), found
