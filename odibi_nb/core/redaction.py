"""Hiding what looks like a secret, in values and in text that people get to see."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "***"
MAX_MESSAGE = 10_000
_SECRET_KEY = re.compile(
    r"passw|passphrase|(?:^|[\W_])pass(?:$|[\W_])|pwd|secret|token|credential|authorization"
    r"|(?:^|[\W_])sas|(?:^|[\W_])sig(?:$|[\W_])|signature"
    r"|(?:api|access|account|private|shared|storage|signing|encryption)[\W_]?key"
    r"|conn(?:ection)?[\W_]?str",
    re.IGNORECASE,
)
# user:password@ after ://, up to the last @ before the path; where a password has an unescaped
# slash, up to the last @ of all, unless it reads like host:port/path.
_PASSWORD = re.compile(r"(?<=://)([^\s:@/?#]*:)(?:[^\s/?#]*|(?!\d+[/?#])[^\s'\"<>]*)@(?=[^\s@]|$)")
_ITEM = re.compile(r"""(['"])([^'"\\\n]{1,80})\1(\s{0,9}:\s{0,9})(['"])((?:\\.|(?!\4)[^\n])*)\4""")
_PAIR = re.compile(r"([^\s=&?;,'\"]{1,80})=([^\s&;,'\"]+)")


def redact_text(text: str) -> str:
    """Return *text* without passwords in URLs and without values of secret-looking keys.

    Such a value stands in ``key=value``, or in ``"key": "value"`` as JSON and Python write it.
    """
    if "://" in text:
        text = _PASSWORD.sub(rf"\1{REDACTED}@", text)
    if "=" in text:
        text = _PAIR.sub(_without_value, text)
    return _ITEM.sub(_without_item, text) if ":" in text else text


def is_secret_name(name: str) -> bool:
    """Whether what is called *name* is probably nobody else's business."""
    return bool(_SECRET_KEY.search(name))


def _without_item(found: re.Match[str]) -> str:
    if not _SECRET_KEY.search(found[2]):
        return found[0]
    return f"{found[1]}{found[2]}{found[1]}{found[3]}{found[4]}{REDACTED}{found[4]}"


def _without_value(found: re.Match[str]) -> str:
    key, value = found[1], found[2]
    packed = "%3D" in value and _SECRET_KEY.search(value)  # ODBC's: odbc_connect=…PWD%3D…
    return f"{key}={REDACTED}" if packed or _SECRET_KEY.search(key) else found[0]


def redact_url(url: str) -> str:
    """Return *url* without its password and without values of secret-looking parameters."""
    return redact_text(url)


def redact(value: Any, key: str = "") -> Any:
    """Return a copy of *value* in which whatever stands under a secret-looking key is hidden."""
    if key and _SECRET_KEY.search(key) and value not in (None, "", {}, []):
        return REDACTED
    if isinstance(value, dict):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(v) for v in value]
    return redact_text(value) if isinstance(value, str) else value


def plain_text(text: str) -> str:
    """*text* as every encoding can take it: what is no Unicode is written as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def error_message(error: BaseException) -> str:
    """The exception's text in at most `MAX_MESSAGE` characters, even if its ``__str__`` raises.

    Passwords in URLs and the like are hidden.
    """
    try:
        text = redact_text(plain_text(str(error)))
    except Exception as exc:  # noqa: BLE001  the user's exception class is broken; say so
        return f"(its message cannot be shown: {type(exc).__name__})"
    if len(text) > MAX_MESSAGE:
        return f"{text[:MAX_MESSAGE]}… ({len(text)} characters in all)"
    return text


def error_text(error: BaseException) -> str:
    """The exception's class and `error_message`, as one line of a warning."""
    return f"{type(error).__name__}: {error_message(error)}"
