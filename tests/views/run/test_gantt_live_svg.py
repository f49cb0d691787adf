"""The live Gantt chart in layers has the same bars as the whole chart, and only changes are drawn again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from thorough import examples
from views.snapshots import bar, everything, many, row, run

from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_live_svg import MANY_BARS, GanttLayers
from odibi_nb.views.run.lanes import MAX_LINES
from odibi_nb.views.status_style import RETRYING

FULL = re.compile(
    r"<rect x='([\d.]+)%' y='([\d.]+)' width='([\d.]+)%' height='([\d.]+)' rx='2'><title>"
)


def bars_in(texts):
    """Return the place of every bar with a tooltip."""
    return sorted(found for text in texts for found in FULL.findall(text))


def as_it_stands(snapshot):
    """Return the bars of the chart drawn at once, without queued rows, which the layers draw together."""
    from odibi_nb.views.run.gantt_svg import GanttDrawing

    gantt = gantt_of(snapshot)
    segments = [
        segment for segment in gantt.segments if not (segment.kind == "QUEUED" and segment.open)
    ]
    drawing = GanttDrawing(gantt, "r")
    return bars_in([drawing.picture([drawing.bars(segments, tooltips=True)])])


def grown(row_at, seconds):
    """Return the state of a row, with the planned times, after *seconds*."""
    name, layer, begin, end, again, status = row_at
    first = (1, begin, end, "FAILED" if again else status)
    if seconds < begin:
        return row(name, layer=layer)
    if seconds < end:
        return row(name, bar(1, begin), layer=layer)
    if not again:
        return row(name, bar(*first), layer=layer)
    if seconds < end + 1:
        return row(name, bar(*first), layer=layer, status=RETRYING)
    if seconds < end + 2:
        return row(name, bar(*first), bar(2, end + 1), layer=layer)
    return row(name, bar(*first), bar(2, end + 1, end + 2, status), layer=layer)


TIMES = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.floats(0.01, 5),
        st.booleans(),
        st.sampled_from(["SUCCESS", "FAILED", "CANCELLED"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(20))
@given(TIMES, st.lists(st.floats(0.1, 40), min_size=1, max_size=12))
def test_the_layers_are_the_whole(times, moments):
    """After any events between two snapshots, the layers have exactly the bars of the whole chart."""
    plans = [
        (f"T{i}", ("Bronze", "Silver_1")[i % 2], begin, begin + length, again, status)
        for i, (begin, length, again, status) in enumerate(times)
    ]
    plans.sort(key=lambda plan: plan[1])
    layers = GanttLayers(len(plans))
    kept = {}
    for moment in sorted(moments):
        rows = []
        for plan in plans:
            new = grown(plan, moment)
            kept[plan[0]] = new if kept.get(plan[0]) != new else kept[plan[0]]
            rows.append(kept[plan[0]])
        snapshot = run(*rows, seconds=moment)
        assert bars_in(layers.update(snapshot)) == as_it_stands(snapshot)


def test_what_has_settled_stays():
    """The passing of time changes only the moving layer."""
    layers = GanttLayers(11)
    rows = everything().rows
    before = layers.update(run(*rows, seconds=10.0))
    after = layers.update(run(*rows, seconds=10.25))
    assert [a == b for a, b in zip(before, after, strict=True)] == [
        True,
        False,
        *[True] * (len(after) - 2),
    ]
    assert "role='img'" in after[1]
    assert "now: 10.2" in after[1]


def test_what_is_sent_grows_with_what_changed():
    """The end of one more of 2,000 rows changes one small picture, not the earlier ones."""
    rows = list(many(2_000).rows)
    waiting = [row(r.id, layer=r.layer) for r in rows]
    layers, until = GanttLayers(2_000), 190.0
    layers.update(run(*rows[:1_000], *waiting[1_000:], seconds=until))
    before = layers.update(run(*rows[:1_000], *waiting[1_000:], seconds=until))
    after = layers.update(run(*rows[:1_001], *waiting[1_001:], seconds=until))
    changed = [new for old, new in zip(before, after, strict=True) if new != old]
    assert len(changed) == 2
    assert sum(map(len, changed)) < 40 * MANY_BARS
    assert sum(map(len, after)) > 20_000


def test_a_warning_shows_beside_the_name_while_the_run_goes_on():
    """A row that ended with a finding gets its sign in the frame at once, not at the run's end."""
    layers, plain = GanttLayers(2), row("B", bar(1, 0, 1))
    assert "⚠" not in layers.update(run(row("A", bar(1, 0)), plain))[0]
    warned = row("A", changed(bar(1, 0, 2), checks=("output not written: x",)))
    assert ">⚠ A<" in layers.update(run(warned, plain))[0]


def test_a_new_scale_draws_all_anew():
    """When the axis grows, every bar moves."""
    rows = [row("A", bar(1, 0, 2)), row("B", bar(1, 1))]
    layers = GanttLayers(2)
    early, late = (layers.update(run(*rows, seconds=s)) for s in (4, 40))
    assert bars_in(early[2:]) != bars_in(late[2:])
    assert early[0] != late[0]


def test_rows_that_wait_side_by_side_are_one_path():
    """A queued row is a thin bar until now. Neighbours share a path, so that it stays short."""
    rows = [row("A", bar(1, 0)), *(row(f"T{i}") for i in range(59))]
    moving = GanttLayers(60).update(run(*rows, seconds=4))[1]
    assert moving.count("stroke-dasharray") == 2  # and the now-line
    assert len(moving) < 1_500


@pytest.mark.parametrize("count", [1, 60, 61, 2_000])
def test_there_are_as_many_layers_all_the_time(count):
    """The number of layers depends on the number of rows only, and is small."""
    layers = GanttLayers(count)
    empty = run(*(row(f"T{i}") for i in range(count)), seconds=0.1)
    assert len(layers.update(empty)) == len(layers.update(many(count, "running"))) <= 40


def test_attempts_beyond_the_first_have_a_place():
    """Each attempt is drawn, after any number of retries."""
    attempts = [bar(n, n, n + 0.5, "FAILED") for n in range(1, 60)]
    snapshot = run(row("A", *attempts), seconds=70)
    assert bars_in(GanttLayers(1).update(snapshot)) == as_it_stands(snapshot)


def test_nothing_to_run_is_nothing_to_draw():
    """A run without rows has empty layers."""
    assert set(GanttLayers(0).update(run())) == {""}


@pytest.mark.parametrize("count", [5, 100])
def test_a_swatch_of_the_legend_has_the_paint_of_its_bars(count):
    """Of few rows the bars of failed attempts are hollow. Of many they are strokes, which have no outline."""
    again = row("AGAIN", bar(1, 0, 1, "FAILED", "OSError: no"), bar(2, 2, 3))
    rows = [again, *many(count - 1).rows]
    frame, _, *settled = GanttLayers(count).update(run(*rows, seconds=30))
    swatches = re.findall("<rect width='14' height='12' rx='2' ([^/]*)/></svg>([^<]*)<", frame)
    paint = {text: found for found, text in swatches}["failed attempt"]
    few = count <= MAX_LINES
    assert ("stroke" in paint) is few
    assert f" {paint if few else paint.replace('fill', 'stroke')}" in "".join(settled)
