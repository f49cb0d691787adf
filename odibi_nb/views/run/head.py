"""The head of a run: its name, a progress bar, the rows by status, the remaining time, and the running rows.

A live head and a saved head have the same lines with the same heights, so that nothing moves when the run ends.

The parts change at different times. The counts change with the rows, so a screen reader announces only
them. The clock changes with every picture.
"""

from __future__ import annotations

import json
from heapq import nlargest
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import signed
from odibi_nb.views.run.eta import rough
from odibi_nb.views.run.gantt import shortened
from odibi_nb.views.status_style import (
    RETRYING,
    RUN_STYLES,
    STATUS_STYLES,
    WAITING,
    style_of,
    text_colour,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.views.run.row_state import RowState
    from odibi_nb.views.run.state import RunSnapshot
    from odibi_nb.views.status_style import StatusStyle

COUNTED = (
    Status.UNCHANGED.value,
    Status.RUNNING.value,
    Status.FAILED.value,
    Status.ABANDONED.value,
    Status.SKIPPED.value,
    Status.CANCELLED.value,
    RETRYING,
    WAITING,
)
"""The statuses that the head counts after the succeeded rows, in their order."""
_RUNNING = Status.RUNNING.value
NAMED = 3
"""Largest number of running, failed or slow rows that are named."""
MAX_ERROR = 120
ENDING = {
    1: "cancelling: {rows} run to their end",
    2: "stopping {rows}: their writes are refused",
    3: "abandoning {rows}",
}
"""Effect of a request to cancel on the running rows, by its level."""
_TITLE = (
    "const d=document,stop=()=>{clearInterval(d.odibiWatch);delete d.odibiWatch},"
    "back=()=>{stop();if(d.odibiTitle!=null)d.title=d.odibiTitle;delete d.odibiTitle;delete d.odibiEnd};"
    "d.odibiTitle??=d.title;"
    "d.odibiEnd=text=>{stop();d.title=text;if(d.odibiTell){d.odibiTell=0;new Notification(text)}"
    "for(const e of ['pointermove','keydown'])d.addEventListener(e,back,{once:true})};"
)
_WATCH = (
    "d.odibiWatch??=setInterval(()=>{if(!d.querySelector('.odibi-title'))back();"
    "else if(d.title!=d.odibiNow)d.title=d.odibiNow},2000)"
)
"""JupyterLab sets the title again in the middle of a run, so the title is looked at every two seconds."""
_BLOCK = "display:block;line-height:20px"
_NAME_LINE = "display:flex;align-items:center;min-height:32px"
"""As high as a button: a live head has Cancel in this line."""
_TIME_LINE = "display:flex;gap:0 16px"
_ONE_LINE = "overflow:hidden;white-space:nowrap;text-overflow:ellipsis"
_NOW_LINE = f"{_BLOCK};height:20px;margin:0 0 4px;{_ONE_LINE}"
_BAR = "display:flex;height:8px;border-radius:3px;overflow:hidden;margin:2px 0 4px;background-color:rgba(128,128,128,.18)"
_COUNT = "font:inherit;color:inherit;background-color:transparent;border:0;padding:0;cursor:pointer;text-decoration:underline dotted"
_TELL = (
    "const d=document,b=this,on=!d.odibiTell;"
    "(on&&window.Notification?Notification.requestPermission():Promise.resolve('')).then(p=>{"
    "d.odibiTell=p=='granted';"
    "b.textContent=d.odibiTell?'Will notify':on?'The browser blocks notifications':'Notify'})"
)
"""A click switches a notification of the browser at the end of this run on, and again off."""
LONG_SECONDS = 60.0
"""A run that takes longer offers a notification."""
FILTER = (
    "const one=this.dataset.status;"
    "for(let at=this;at;at=at.parentElement)if(at.querySelector('.odibi-log tbody')){"
    "const list=at.querySelector('.odibi-log.on select');"
    "if(list){list.value=list.value==one?'':one;list.dispatchEvent(new Event('change'))}"
    "else at.dataset.odibiOnly=at.dataset.odibiOnly==one?'':one;break}"
)
"""A click on a count chooses its status in the list above a saved table, and again all rows. A live table has no list:
the status is set on the nearest element that has a table, and the style hides other rows, also those drawn later."""


def head_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return all parts of the head: the name, and the `progress_html` with a *hint*."""
    return f"<div style='{_NAME_LINE}'>{name_html(snapshot)}</div>{progress_html(snapshot, hint)}"


def progress_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return the head without its name: `state_html`, and `time_html` with a *hint*."""
    return state_html(snapshot) + time_html(snapshot, hint)


def state_html(snapshot: RunSnapshot) -> str:
    """Return two lines that change when a row does: the progress bar, and the run's status with its counts."""
    return bar_html(snapshot) + counts_html(snapshot)


def time_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return the line that changes with the time: the clock with a *hint*, and the running rows."""
    now = f"<div style='flex:1 1 0;min-width:0'>{now_html(snapshot)}</div>"
    return f"<div style='{_TIME_LINE}'>{clock_html(snapshot, hint)}{now}</div>"


def name_html(snapshot: RunSnapshot) -> str:
    """Return project, environment and run."""
    project, *rest = map(escape, name_parts(snapshot))
    faint = f"<span style='opacity:.8'>{' · '.join(['', *rest])}</span>"
    whole = escape(" · ".join(name_parts(snapshot)))
    return f"<span title='{whole}' style='{_BLOCK};{_ONE_LINE}'><b>{project}</b>{faint}</span>"


def tell_html(snapshot: RunSnapshot) -> str:
    """Return a switch for a notification of the browser at the end of a long run; "" for a short one.

    The script of `title_html` sends the notification.
    """
    if not snapshot.live or snapshot.elapsed + (snapshot.seconds_left or 0.0) <= LONG_SECONDS:
        return ""
    return (
        "<button type=button title='Switch a notification of the browser at the end of this run on, or off' "
        f'style="{_COUNT};line-height:20px" onclick="{escape(_TELL)}">Notify</button>'
    )


def counts_html(snapshot: RunSnapshot) -> str:
    """Return the run's status, and the counts of rows by status, which filter the table."""
    state = signed(run_style(snapshot), escape(state_text(snapshot)), "b")
    counts = ", ".join(
        f"<button type=button data-status={status} title='Show only these rows in the table; again: all rows' "
        f'style="{_COUNT}{_alarm(status)}" onclick="{FILTER}">{text}</button>'
        for status, text in _counts(snapshot)
    )
    return f"<span role='status' style='{_BLOCK}'>{state} · {counts}</span>"


def _alarm(status: str) -> str:
    """Return the style of a count that must catch the eye."""
    if status not in (Status.FAILED.value, Status.ABANDONED.value):
        return ""
    return f";font-weight:600;{text_colour(style_of(status).colour)}"


def clock_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return the elapsed and the remaining time, and the *hint*."""
    first, *left = _clock(snapshot)
    bold = "".join(f", <b>{escape(text)}</b>" for text in left)
    more = f" · {escape(hint)}" if hint else ""
    return f"<span style='{_BLOCK};white-space:nowrap'>{escape(first)}{bold}{more}</span>"


def bar_html(snapshot: RunSnapshot) -> str:
    """Return the progress bar: a segment for each status, as long as its share of the rows."""
    label = escape(counts_text(snapshot))
    segments = "".join(
        f"<span title='{text}' style='flex:{count} 0 0{_paint(style_of(status))}' class=odibi-{status}></span>"
        for status, text, count in _segments(snapshot)
    )
    stripes = "".join(_stripes(status) for status, _, _ in _segments(snapshot))
    style = f"<style>{stripes}</style>" if stripes else ""
    return f"<div role='img' aria-label='{label}' style='{_BAR}' class=odibi-bar>{segments}{style}</div>"


def now_html(snapshot: RunSnapshot) -> str:
    """Return one line: the running rows that started first. After the run, the failed rows or else the slowest rows."""
    sign, texts = _running(snapshot) if snapshot.live else _ended(snapshot)
    text = escape(" · ".join(texts))
    return f"<p title='{text}' style='{_NOW_LINE}'>{sign} {text}</p>"


def _running(snapshot: RunSnapshot) -> tuple[str, list[str]]:
    """Return a sign, and the running rows with their time so far and their usual time."""
    if not snapshot.counts[_RUNNING]:
        return "", []
    running = [row for row in snapshot.rows if row.status == _RUNNING and row.bars]
    running.sort(key=lambda row: row.bars[-1].start)
    texts = [_now_text(row, snapshot) for row in running]
    return (STATUS_STYLES[Status.RUNNING.value].sign if texts else "", _first(texts))


def _ended(snapshot: RunSnapshot) -> tuple[str, list[str]]:
    """Return a sign and the failed rows with their errors; without failed rows, the slowest ones."""
    failed = [row for row in snapshot.rows if row.status == Status.FAILED.value]
    if failed:
        texts = [f"{row.id}: {shortened(row.error, MAX_ERROR)}" for row in failed]
        return STATUS_STYLES[Status.FAILED.value].sign, _first(texts)
    slow = nlargest(NAMED, snapshot.rows, key=lambda row: row.duration_seconds or 0.0)
    texts = [f"{row.id} {row.duration_seconds:,.1f} s" for row in slow if row.duration_seconds]
    return ("slowest:" if texts else "", texts)


def _first(texts: list[str]) -> list[str]:
    more = len(texts) - NAMED
    return [*texts[:NAMED], *([f"and {more:,} more"] if more > 0 else [])]


def title_html(snapshot: RunSnapshot) -> str:
    """Return an invisible element that sets the page's title, where the front end runs handlers.

    After the run has ended, the next movement of the pointer or key press restores the title. The front end may
    remove this element before it shows the end, so the saved table also sets the title. If the element is
    removed with its cell, a timer restores the title.
    """
    text = json.dumps(title_text(snapshot))
    shown = f"d.title=d.odibiNow={text};{_WATCH}" if snapshot.live else f"d.odibiEnd({text})"
    return f'<style class=odibi-title onload="{escape(_TITLE + shown)}"></style>'


def title_text(snapshot: RunSnapshot) -> str:
    """Return the page's title: sign, share of the rows that have ended (during the run), and project."""
    part = f"{done_share(snapshot):.0%} ".replace("%", " %") if snapshot.live else ""
    return f"{run_style(snapshot).sign} {part}{snapshot.project}"


def done_share(snapshot: RunSnapshot) -> float:
    """Return the share of the rows that have ended, from 0 to 1."""
    counts = snapshot.counts
    still_open = sum(counts[name] for name in (Status.RUNNING.value, RETRYING, WAITING))
    return 1 - still_open / len(snapshot.rows) if snapshot.rows else 0.0


def run_style(snapshot: RunSnapshot) -> StatusStyle:
    """Return the style of the run's status."""
    return RUN_STYLES.get(snapshot.status, STATUS_STYLES[Status.RUNNING.value])


def state_text(snapshot: RunSnapshot) -> str:
    """Return the status of the run in words. For a run with a request to cancel, add what happens to its running rows."""
    running = snapshot.counts[Status.RUNNING.value]
    if not snapshot.live or not snapshot.cancel_level:
        return snapshot.status
    text = ENDING[min(snapshot.cancel_level, len(ENDING))].format(rows=counted(running, "row"))
    return text.replace("1 row run to their end", "1 row runs to its end") if running else "ending"


def clock_text(snapshot: RunSnapshot) -> str:
    """Return the elapsed time with the estimate of the rest, or at the end with the forecast."""
    return ", ".join(_clock(snapshot))


def _clock(snapshot: RunSnapshot) -> list[str]:
    """Return the time so far, and of a live run the estimate of the rest, if it has one.

    The estimate counts all rows of the plan. A cancelled run ends earlier, so it has no estimate.
    """
    elapsed = f"{snapshot.elapsed:,.1f} s"
    if snapshot.live:
        left = None if snapshot.cancel_level else snapshot.seconds_left
        return [elapsed] if left is None else [elapsed, f"{rough(left)} left"]
    if snapshot.expected is None:
        return [elapsed]
    return [f"took {elapsed}, expected {snapshot.expected.end:,.1f} s"]


def name_parts(snapshot: RunSnapshot) -> list[str]:
    """Return project, environment and run, as plain text."""
    run = [f"run {snapshot.run_id}"] if snapshot.run_id else []
    run += [f"retry of {snapshot.retry_of}"] if snapshot.retry_of else []
    return [snapshot.project, f"env {snapshot.env}", *run]


def counts_text(snapshot: RunSnapshot) -> str:
    """Return the counts of rows by status, as plain text. They add up."""
    return ", ".join(text for _, text in _counts(snapshot))


def _counts(snapshot: RunSnapshot) -> Iterator[tuple[str, str]]:
    counts = snapshot.counts
    done = Status.SUCCESS.value
    yield done, f"{counts[done]:,} of {len(snapshot.rows):,} done"
    for status in COUNTED:
        if counts[status]:
            yield status, f"{counts[status]:,} {status.lower()}"


def _segments(snapshot: RunSnapshot) -> Iterator[tuple[str, str, int]]:
    counts = snapshot.counts
    ended = [name for name in COUNTED if name not in (Status.RUNNING.value, WAITING)]
    for status in (Status.SUCCESS.value, *ended, Status.RUNNING.value, WAITING):
        if counts[status]:
            yield status, f"{counts[status]:,} {status.lower()}", counts[status]


def _paint(style: StatusStyle) -> str:
    """Return the CSS of a segment. Waiting rows show the bar's ground.

    A page that takes style sheets out keeps this. JupyterLab 4.6 checks inline styles: its expressions for the
    properties ``background`` and ``background-image`` take 0.1 s to compile, and accept no stripes.
    """
    return "" if style.sign == style_of(WAITING).sign else f";background-color:{style.bar}"


def _stripes(status: str) -> str:
    """Return the style sheet of the segments of rows in this *status*."""
    style = style_of(status)
    if not style.pattern or status == WAITING:
        return ""
    lines = f"transparent 0 4px,{style.lines} 4px 5px"
    turned = 135 if style.pattern == "/" else 90
    return f".odibi-bar .odibi-{status}{{background-image:repeating-linear-gradient({turned}deg,{lines})}}"


def _now_text(row: RowState, snapshot: RunSnapshot) -> str:
    seconds = max(0, round((snapshot.at - row.bars[-1].start).total_seconds()))
    usual = None if snapshot.expected is None else snapshot.expected.seconds.get(row.id)
    about = "" if usual is None else f" of about {usual:,.0f} s" if usual >= 1 else " of under 1 s"
    again = f", attempt {row.attempt}" if row.attempt > 1 else ""
    name = row.function.rpartition(".")[2]
    return f"{row.id} {name}, {seconds:,} s{about}{again}"
