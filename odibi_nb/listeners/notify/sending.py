"""Send one message: a POST to a webhook, or a mail.

Nothing follows a redirection, because a message and its headers are only for the host that the manifest
names.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from odibi_nb.core.model.notification import MAIL, is_loopback, server_address
from odibi_nb.core.text.redaction import redact_text, shown_text
from odibi_nb.listeners.notify.bodies import body_of, mail_of
from odibi_nb.version import __version__

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Callable

    from odibi_nb.core.model.notification import Channel
    from odibi_nb.listeners.notify.letter import Letter

TIMEOUT_SECONDS = 10.0
"""Time limit of each step with the receiver: connect, send, wait for an answer."""
_MOST_ANSWER = 200
_TOO_MANY, _TIMED_OUT = 429, 408
_UNCLEAR = (502, 504)
"""Answers of a gateway that does not know whether the receiver has the message."""


class NotSentError(Exception):
    """The receiver did not take the message.

    Attributes:
        retry_after: seconds to wait before the next message; None to send nothing more until the next
            start, because a repetition would not help.
        unclear: True if the receiver may have the message.
    """

    def __init__(self, text: str, *, retry_after: float | None, unclear: bool = False) -> None:
        super().__init__(redact_text(text))
        self.retry_after = retry_after
        self.unclear = unclear


class TakenByAnotherError(Exception):
    """Another process is sending the message."""


def send(channel: Channel, letter: Letter, claim: Callable[[], bool]) -> None:
    """Send *letter* to *channel*.

    Args:
        channel: settings of the receiver.
        letter: the message.
        claim: called when the connection is there, just before the message is sent. Returns False if
            another process sends it.

    Raises:
        NotSentError: if the receiver did not take it.
        TakenByAnotherError: if *claim* returned False.
    """
    claimed = False

    def claim_once() -> None:
        nonlocal claimed
        if not claim():
            raise TakenByAnotherError
        claimed = True

    try:
        (_mail if channel.kind == MAIL else _post)(channel, letter, claim_once)
    except (NotSentError, TakenByAnotherError):
        raise
    except Exception as exc:  # sockets, TLS, http.client and smtplib raise errors of many kinds
        kind = type(exc).__name__
        text = f"{channel.host}: {kind}: {exc}" if str(exc) else f"{channel.host}: {kind}"
        # After the claim, the message may have arrived although no answer did.
        raise NotSentError(text, retry_after=None if claimed else 1.0, unclear=claimed) from exc


def _post(channel: Channel, letter: Letter, claim: Callable[[], None]) -> None:
    parts = urlsplit(channel.url or "")
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.connect()
        claim()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"odibi-nb/{__version__}",
            "Idempotency-Key": letter.key,
            **channel.headers,
        }
        connection.request("POST", path, body_of(channel.kind, letter), headers)
        _check(channel, connection.getresponse())
    finally:
        connection.close()


def _check(channel: Channel, response: http.client.HTTPResponse) -> None:
    """Raise NotSentError unless the answer confirms that the receiver has the message."""
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004  the success codes of HTTP
        return
    if 300 <= status < 400:  # noqa: PLR2004  its redirections
        text = f"{channel.host} answered {status}, a redirection, which odibi_nb does not follow"
        raise NotSentError(text, retry_after=None)
    answer = shown_text(" ".join(response.read(_MOST_ANSWER).decode(errors="replace").split()))
    text = f"{channel.host} answered {status} {response.reason}" + (f": {answer}" if answer else "")
    again = status >= 500 or status in {_TOO_MANY, _TIMED_OUT}  # noqa: PLR2004  the server's fault
    wait = _seconds(response.getheader("Retry-After")) if again else None
    raise NotSentError(text, retry_after=wait, unclear=status in _UNCLEAR)


def _seconds(header: str | None) -> float:
    """Return the seconds of the header Retry-After, which can also be a date."""
    if header is None:
        return 1.0
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip()[:6])
    import email.utils
    import time

    try:
        return max(1.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 1.0


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    """Return the unopened connection to *host*, through the environment's proxy, if any."""
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    context = ssl.create_default_context()
    proxy = urlsplit(
        "" if is_loopback(host) or proxy_bypass(host) else getproxies().get("https", "")
    )
    if not proxy.hostname:
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    through = http.client.HTTPSConnection(
        proxy.hostname, proxy.port or 8080, timeout=TIMEOUT_SECONDS, context=context
    )
    headers = {}
    if proxy.username is not None:
        words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(words).decode()}"
    through.set_tunnel(host, port or 443, headers)
    return through


def _mail(channel: Channel, letter: Letter, claim: Callable[[], None]) -> None:
    import smtplib

    mail = mail_of(channel, letter)
    with _mail_server(channel) as server:
        claim()
        try:
            refused = server.send_message(mail, channel.sender, list(channel.to))
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPRecipientsRefused as exc:
            raise _refused(channel, *next(iter(exc.recipients.values()))) from exc
        except smtplib.SMTPResponseException as exc:
            raise _refused(channel, exc.smtp_code, exc.smtp_error) from exc
    del refused  # the mail is on its way to the others, and must not be sent to them again


def _mail_server(channel: Channel) -> smtplib.SMTP:
    """Return the mail server, connected, encrypted and logged in."""
    import smtplib

    host, port = server_address(channel.server or "")
    name = socket.gethostname()  # smtplib would ask the DNS for it, which can take long
    if channel.security == "tls":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, name, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(host, port, name, timeout=TIMEOUT_SECONDS)
    try:
        if channel.security == "starttls":  # raises if the server has no encryption
            server.starttls(context=ssl.create_default_context())
        if channel.user is not None:
            server.login(channel.user, channel.password or "")
    except smtplib.SMTPAuthenticationError as exc:
        server.close()
        raise NotSentError(f"{channel.host} refused the login", retry_after=None) from exc
    except BaseException:
        server.close()
        raise
    return server


def _refused(channel: Channel, code: int, answer: Any) -> NotSentError:
    words = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    text = f"{channel.host} answered {code} {shown_text(' '.join(words.split()), _MOST_ANSWER)}"
    return NotSentError(text, retry_after=1.0 if code < 500 else None)  # noqa: PLR2004  SMTP's codes
