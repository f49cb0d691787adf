"""Channels of notifications: the manifest's key ``notify`` of an environment."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from odibi_nb.core.text.redaction import hide_secret
from odibi_nb.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Notified = Literal["run_failed", "run_finished", "run_abandoned", "row_failed"]
NOTIFIED: tuple[Notified, ...] = get_args(Notified)
"""Events that a channel can report."""
MAIL = "email"
MAIL_PORT = 587
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_ODD = re.compile(r"[\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"[!-;=?A-~]{1,200}@[0-9A-Za-z.-]{1,200}")


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver of messages about runs.

    Attributes:
        kind: ``webhook`` (a POST with JSON), ``slack``, ``teams`` or ``email``.
        url: address of the webhook. It must begin with ``https://``; ``http://`` is only allowed for this
            machine.
        headers: further HTTP headers of a ``webhook``, such as ``Authorization``.
        server: mail server of an ``email`` channel, ``HOST`` or ``HOST:PORT``; the port is 587 by default.
        security: ``starttls`` or ``tls`` (the whole connection is encrypted, usually on port 465).
            ``none`` is only allowed for this machine.
        user: user name for the mail server; without it, odibi_nb does not log in.
        password: password for the mail server.
        sender: address in the field From of a mail.
        to: addresses that get the mail.
        on: events to report, among ``run_failed``, ``run_finished`` (every end of a run),
            ``run_abandoned`` (its process died) and ``row_failed`` (after its last attempt).
        most: number of messages within `per_seconds`. Further messages are dropped, and the next
            message contains the number of dropped ones. The last of these messages is reserved for
            the end of a run.
        per_seconds: time in which at most `most` messages are sent.
    """

    kind: Literal["webhook", "slack", "teams", "email"]
    url: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    server: str | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    sender: str | None = None
    to: tuple[str, ...] = ()
    on: tuple[Notified, ...] = ("run_failed", "run_abandoned")
    most: int = 20
    per_seconds: float = 3600.0

    @property
    def host(self) -> str:
        """Return the receiver's host. The rest of a webhook's URL is usually a secret."""
        if self.kind == MAIL:
            return server_address(self.server or "")[0]
        return urlsplit(self.url or "").hostname or ""

    def __repr__(self) -> str:
        return f"<Channel {self.kind} to {self.host}>"

    def hide_secrets(self) -> None:
        """Hide the URL, the headers' values and the password in all texts from now on."""
        for secret in (self.url, self.password, *self.headers.values()):
            hide_secret(secret or "")
        if self.kind in {"slack", "teams"} and self.url:
            path, _, query = self.url.partition("://")[2].partition("?")
            hide_secret(path.partition("/")[2])
            hide_secret(query)


def server_address(server: str) -> tuple[str, int]:
    """Return host and port of a mail server.

    Raises:
        ValueError: if *server* is not ``HOST`` or ``HOST:PORT``.
    """
    parts = urlsplit(f"//{server}")
    if not parts.hostname or _ODD.search(server) or parts.path or parts.query or "@" in server:
        raise ValueError(server)
    return parts.hostname, parts.port or MAIL_PORT


def is_loopback(host: str) -> bool:
    """Return True if *host* is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_channels(channels: Mapping[str, Channel], where: str) -> Iterator[Problem]:
    """Yield the problems of *channels*. Texts with a variable in them are not judged."""
    for name, channel in channels.items():
        place = f"{where}.{name}"
        if not name.strip() or _ODD.search(name):
            yield Problem(where, "a channel's name is empty, or has a control character")
        if not channel.on:
            yield Problem(f"{place}.on", f"names no event: choose among {', '.join(NOTIFIED)}")
        if channel.most < 1:
            yield Problem(f"{place}.most", f"expected at least 1, found {channel.most}")
        if not 0 < channel.per_seconds < float("inf"):
            found = f"{channel.per_seconds:g}"
            yield Problem(f"{place}.per_seconds", f"expected seconds above 0, found {found}")
        if channel.kind == MAIL:
            yield from _check_mail(channel, place)
        else:
            yield from _check_webhook(channel, place)


def _check_webhook(channel: Channel, where: str) -> Iterator[Problem]:
    for field in ("server", "user", "password", "sender", "to"):
        if getattr(channel, field):
            yield Problem(f"{where}.{field}", f"belongs to kind 'email', not to {channel.kind!r}")
    if channel.headers and channel.kind != "webhook":
        yield Problem(f"{where}.headers", f"belongs to kind 'webhook', not to {channel.kind!r}")
    for name, value in channel.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield Problem(f"{where}.headers", "a name is not the name of an HTTP header")
        elif _ODD.search(value) or not value.isascii():
            message = "has a character that HTTP headers cannot have"
            yield Problem(f"{where}.headers.{name}", message)
    if channel.url is None:
        yield Problem(f"{where}.url", "is missing: give the address of the webhook")
    elif not _has_variable(channel.url) and (reason := _reason_against(channel.url)):
        yield Problem(f"{where}.url", reason)  # without the URL, which is a secret


def _reason_against(url: str) -> str:
    """Return the reason why *url* cannot be used, or ""."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises if the port is no number
    except ValueError:
        return "is not a URL"
    if _ODD.search(url) or " " in url or not url.isascii():
        return "has a blank, a control character or a character that is not ASCII"
    if parts.username is not None:
        return "has a user name: put it into headers"
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        return "expected https://…"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "is not encrypted: expected https://…; http:// is only allowed for this machine"
    return ""


def _check_mail(channel: Channel, where: str) -> Iterator[Problem]:
    for field in ("url", "headers"):
        if getattr(channel, field):
            yield Problem(f"{where}.{field}", "does not belong to kind 'email'")
    for field in ("server", "sender"):
        if not getattr(channel, field):
            yield Problem(f"{where}.{field}", "is missing")
    if not channel.to:
        yield Problem(f"{where}.to", "names no address")
    if (channel.user is None) != (channel.password is None):
        yield Problem(where, "expected both 'user' and 'password', or neither")
    for field, value in [("sender", channel.sender), *(("to", one) for one in channel.to)]:
        if value and not _has_variable(value) and not _ADDRESS.fullmatch(value):
            message = f"expected an address such as a@b.org, found {value!r}"
            yield Problem(f"{where}.{field}", message)
    yield from _check_server(channel, where)


def _check_server(channel: Channel, where: str) -> Iterator[Problem]:
    if not channel.server or _has_variable(channel.server):
        return
    try:
        host, _ = server_address(channel.server)
    except ValueError:
        yield Problem(f"{where}.server", "expected HOST or HOST:PORT")
        return
    if channel.security == "none" and not is_loopback(host):
        message = "'none' is only allowed for this machine: choose 'starttls' or 'tls'"
        yield Problem(f"{where}.security", message)


def _has_variable(text: str) -> bool:
    return "${" in text
