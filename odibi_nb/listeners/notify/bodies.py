"""Write a message in the form of each kind of channel.

Texts of rows and errors are plain in every form: they cannot make links, mention people or add headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.text.counts import counted

if TYPE_CHECKING:
    from email.message import EmailMessage

    from odibi_nb.core.model.notification import Channel
    from odibi_nb.listeners.notify.letter import Letter

_SLACK_TEXT = 2_900
"""Slack refuses a block of text with more than 3,000 characters."""
_MOST_TITLE = 140
_COMMANDS = ("look at it", "log")


def body_of(kind: str, letter: Letter) -> bytes:
    """Return the JSON that a channel of *kind* gets."""
    form = {"slack": _slack, "teams": _teams}.get(kind, _webhook)
    return msgspec.json.encode(form(letter))


def _facts(letter: Letter) -> dict[str, str]:
    """Return the facts of the message, and of its sending."""
    facts = dict(letter.notice.facts)
    if letter.held:
        facts["held back"] = f"{counted(letter.held, 'further message')}, by the channel's limit"
    if letter.repeated:
        facts["note"] = "possibly a repetition: the sender died while it sent this message"
    return facts


def _webhook(letter: Letter) -> dict[str, Any]:
    notice = letter.notice
    return {
        "key": letter.key,
        "event": notice.event,
        "title": notice.title,
        "project": notice.project,
        "env": notice.env,
        "run_id": notice.run_id or None,
        "transformation_id": notice.transformation_id or None,
        "time": notice.time,
        "held_back": letter.held,
        "repeated": letter.repeated,
        "facts": _facts(letter),
    }


def _slack(letter: Letter) -> dict[str, Any]:
    text = "\n".join(f"{name}: {value}" for name, value in _facts(letter).items())
    title = letter.notice.title
    return {
        "text": title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "blocks": [
            {"type": "header", "text": _slack_text(title[:_MOST_TITLE])},
            {"type": "section", "text": _slack_text(text[:_SLACK_TEXT])},
        ],
    }


def _slack_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _teams(letter: Letter) -> dict[str, Any]:
    """Return an Adaptive Card for a workflow "When a Teams webhook request is received"."""
    # A TextBlock reads Markdown, so an error could make a link. A TextRun is plain.
    body = [_teams_line([(letter.notice.title, {"weight": "Bolder", "size": "Medium"})])]
    for name, value in _facts(letter).items():
        form = {"fontType": "Monospace"} if name in _COMMANDS else {}
        body.append(_teams_line([(f"{name}: ", {"weight": "Bolder"}), (value, form)]))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    attachment = {"contentType": kind, "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _teams_line(runs: list[tuple[str, dict[str, str]]]) -> dict[str, Any]:
    inlines = [{"type": "TextRun", "text": text, **form} for text, form in runs]
    return {"type": "RichTextBlock", "inlines": inlines}


def mail_of(channel: Channel, letter: Letter) -> EmailMessage:
    """Return the mail. Its Message-ID stays the same if it is sent again."""
    import datetime as dt
    from email.message import EmailMessage
    from email.utils import format_datetime

    notice = letter.notice
    mail = EmailMessage()
    mail["Subject"] = " ".join(notice.title.split())
    mail["From"], mail["To"] = channel.sender, ", ".join(channel.to)
    mail["Date"] = format_datetime(dt.datetime.fromtimestamp(notice.time, dt.timezone.utc))
    mail["Message-ID"] = f"<{letter.key}@{(channel.sender or '').partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(f"{name}: {value}" for name, value in _facts(letter).items()) + "\n")
    return mail
