"""Hide values that look like secrets, in data and in text that users read.

Text is scanned once, from left to right. Every pattern below is linear in the length of the text,
because a function may print any text, and a pattern that backtracks holds Python's global lock.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.terminal_text import readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REDACTED = "***"
MAX_SHOWN = 60
MAX_MESSAGE = 10_000
_SECRET_KEY = re.compile(
    r"passw|passphrase|passcode|(?<![^\W_])pass(?![^\W_])|(?-i:(?<=[a-z])Pass(?![a-z]))"
    r"|kennwort|contrase[nñ]a|mot[\W_]?de[\W_]?passe"
    r"|pwd|(?<![^\W_])pw(?![^\W_])|secret(?!ar)|token(?!i[sz])|credential|authorization"
    r"|(?<![^\W_])bearer(?![^\W_])|(?<![^\W_])cookie"
    r"|(?<![^\W_])sas(?![^\W_])|(?<![^\W_])sig(?![^\W_])|signature"
    r"|(?:api|access|account|private|shared|storage|signing|encryption|subscription|functions|master|auth)"
    r"[\W_]?key(?!word)|conn(?:ection)?[\W_]?str(?![aeou])|identified[ ]by|odbc[\W_]?connect",
    re.IGNORECASE,
)
_STEMS = (
    *("pass", "kennwort", "contrase", "pw", "secret", "token", "credential", "auth", "bearer"),
    *("cookie", "sas", "sig", "key", "conn", "identified", "odbc"),
)
"""Parts of secret keys: each text that `_SECRET_KEY` finds contains one of them."""
_ODD_I = "ıİ"
"""Letters that the pattern takes for an i, and that lower case leaves different from it."""
_END_OF_KEY = re.compile(r"[^\w.$-]")
_KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$-"
_LONGEST_KEY = 80
# The text between a key and its value: an optional quote or bracket that ends the key, then a sign.
_SIGN = re.compile(
    r"(?P<close>(?:&(?:quot|apos|\#39|\#34|\#x27);|\\{1,4}u002[27]|\\{0,9}[\"'`]?)\]?)[ \t\xa0]{0,9}"
    r"(?P<sign>:(?!:)=?|%3A|={1,3}>?|!=|%3D|,)[ \t\xa0]{0,9}",
    re.IGNORECASE,
)
_OPTION = re.compile(r"[ \t]{1,9}(?=[^\s-])")  # --password VALUE
_LITERAL = re.compile(r"[ \t]{1,9}(?=['\"])")  # SQL: PASSWORD 'VALUE'
_CALL = re.compile(r"\([ \t]{0,9}(?=[bruf]{0,2}[\"'])", re.IGNORECASE)  # .set_password("VALUE")
_SETTER = re.compile(
    r"(?:.{0,60}\.)?(?:set|with)_?(?:[a-z_]{0,20}_?)?(?:passw(?:or)?d|pwd|secret|token|key)"
    r"|.{0,60}\.passw(?:or)?d",
    re.IGNORECASE,
)
# The value of a pair whose name is the key: "name": "password", "value": "VALUE"
_VALUE_OF = re.compile(r"\s{0,40}[\"']value[\"'][ \t]{0,9}:[ \t]{0,9}", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"[\"']\s{1,40}value[ \t]{0,9}=[ \t]{0,9}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:quot|apos|\#39|\#34|\#x27);|\\{1,4}u002[27]")  # quotes, escaped
_TYPE = re.compile(
    r"(?:str|bytes|int|object|Any|SecretStr|Optional\[\w{1,20}\]|Final(?:\[\w{1,20}\])?)"
    r"(?:[ ]?\|[ ]?None)?(?:[ \t]{0,9}=(?!=)[ \t]{0,9}|(?=[,)\n]|$))"
)
_NO_SECRET = re.compile(r"(?i:none|null|true|false|undefined)(?=[\s,;)}\]&'\"]|$)")
_OPENING = re.compile(r"[bruf]{0,2}(?P<escape>\\{0,9})(?P<quote>\"\"\"|'''|[\"'`])", re.IGNORECASE)
_INSIDE = {q: re.compile(rf"[^{q}\\\n]*(?:\\.[^{q}\\\n]*)*") for q in "\"'`"}
_ONE_MORE = re.compile(r"[ \t]{0,9}\+?[ \t]{0,9}(?=[bruf]{0,2}[\"'])", re.IGNORECASE)
_BRACKET = re.compile(r"\(\s{1,200}(?=[bruf]{0,2}[\"'])", re.IGNORECASE)
_BLOCK = re.compile(r"[|>][+-]?(?:\n[ \t]{1,200}[^\n]*)+")  # YAML's
_ELEMENT = re.compile(r"(?:[ \t][^<>\n]{0,200})?>\s{0,200}(?P<value>[^<\n]*)\s{0,200}</")
_PART = re.compile(r"[^\s&;,\"'`()\[\]{}]+|.", re.DOTALL)
_CLOSES = re.compile(r"[)\]}]+(?:[\s&;,.:\"'`]|$)")
_SCHEME = re.compile(
    r"(?:Bearer|Basic|Token|Digest|Negotiate|ApiKey|SharedKey|AWS4\S{0,20})[ \t]{1,9}",
    re.IGNORECASE,
)
# Words that are also prose. With a colon after such a word, it names a secret only if the value
# looks generated, or if the line begins with the word as in a configuration file.
_WORDS = re.compile(r"[A-Za-z]{1,40}[ \t.,;]")
_TYPE_LETTERS = "sbioASOF"
_NEWLINE = re.compile(r"\n")
_NO_SPACE = re.compile(r"\S")
_COUNT = re.compile(r"\d{1,9}(?![\w.])")
_END_OF_HEADER = re.compile(r"[\n'\"]|$")
_PROSE = re.compile(
    r"(?:token|secret|credential|cookie)s?|authorization|bearer|signature|sig|sas|pass",
    re.IGNORECASE,
)
_SETTING = re.compile(r"[ \t]*(?:[-{(,][ \t]*)?")
_PARSER = re.compile(
    r"(?:unrecogni[sz]ed|unexpected|invalid|illegal|unknown|expect(?:ed|ing)|bad|missing|next|last|"
    r"current|previous|near|at|of|column|field|option|table|undefined|unterminated|no|found|this|function|string)\W{0,3}$",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"(?=[\w.~+/=-]{6})(?=[^\s\d]{0,200}\d)(?=[^\sA-Za-z]{0,200}[A-Za-z])[\w.~+/=-]+"
)
_LEAST_GENERATED, _LEAST_AFTER_PARSER = 6, 20
_SHAPES = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}(?:\.[\w-]*){0,4}"  # a JSON Web Token
    r"|(?<!\w)dapi[0-9A-Za-z]{8,64}(?:-\d{1,3})?(?!\w)"  # Databricks
    r"|(?<![A-Z0-9])(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Z0-9])"  # AWS
    r"|(?<!\w)(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,64}|xox[abeoprs]-[\w-]{10,255}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|sk[-_](?:live_|test_|proj-|ant-)?[\w-]{20,255}|hf_[A-Za-z0-9]{30,64})"
    r"|(?<!\w)(?:npm_[A-Za-z0-9]{30,64}|SG\.[\w-]{16,40}\.[\w-]{16,80})"
    r"|(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="  # an Azure storage account's key
    r"|(?<![^\W_])([Bb]earer[ ])(?=[^\s\d]{0,80}\d)[\w.~+/=-]{8,}"
)
_SHAPE_STARTS = (
    *("eyJ", "dapi", "AKIA", "ASIA", "AROA", "AIDA", "gh", "glpat-", "xox", "AIza"),
    *("ya29.", "sk-", "sk_", "hf_", "npm_", "SG.", "=="),
)
# Addresses that are secrets by themselves: who knows them can post there.
_WEBHOOK = re.compile(
    r"((?:hooks\.slack\.com/(?:services|workflows|triggers)|office\.com/webhook(?:b2)?|"
    r"discord(?:app)?\.com/api/webhooks)/)[\w/@.+-]{8,}"
)
_WEBHOOKS = ("hooks.slack.com/", "office.com/webhook", "/api/webhooks/")
_ORACLE = re.compile(r"(jdbc:oracle:\w{1,9}:[^\s/@\"']{1,80}/)[^\s@\"']{1,200}(?=@)")
# Names and passwords in the arguments of a call: requests.get(url, auth=("me", "…"))
_LOGIN = re.compile(
    r"((?:(?<!\w)auth[ \t]{0,3}[=:][ \t]{0,3}|HTTP(?:Basic|Digest|Proxy)Auth|BasicAuth|\.login)\()"
    r"[^()\n\"']{0,40}(?:(?:\"[^\"\n]{0,80}\"|'[^'\n]{0,80}')[^()\n\"']{0,40}){1,3}(?=\))"
)
_LOGINS = ("auth", "Auth(", ".login(")
_LEAST_TOKEN = 20
_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----")
_END_OF_AUTHORITY = re.compile(r"[\s/?#]|$")
_END_OF_URL = re.compile(r"[\s'\"<>]|$")
_HOST_AND_PORT = re.compile(r"\d+[/?#]")


_hidden: tuple[str, ...] = ()
_LEAST_HIDDEN = 6
"""Length below which a secret is not looked for in texts: it would hide parts of ordinary words."""


def hide_secret(value: str) -> str:
    """Hide *value* in all texts from now on, and return it.

    It is hidden as it is and as a URL, Python, JSON, HTML and base64 spell it. Each line of a secret with
    several lines is hidden, too, because output is redacted line by line.
    """
    import base64  # imported late, with all of these: few projects have such secrets
    import html
    import json
    from urllib.parse import quote, quote_plus

    global _hidden  # noqa: PLW0603  one list for the process, replaced as a whole
    spellings = {*_hidden}
    for text in (value, *value.splitlines()):
        if len(text) >= _LEAST_HIDDEN:
            spellings |= {text, quote(text, safe=""), quote_plus(text), html.escape(text)}
            spellings |= {repr(text)[1:-1], json.dumps(text)[1:-1]}
            spellings |= {json.dumps(text, ensure_ascii=False)[1:-1]}
            spellings.add(base64.b64encode(text.encode()).decode())
    _hidden = tuple(sorted(spellings, key=len, reverse=True))
    return value


def redact_text(text: str) -> str:
    """Return *text* without passwords in URLs, values of secret-looking keys and well-known tokens.

    Such a value follows ``key=`` or ``key:``, quoted or not, as in JSON, Python, YAML, HTTP headers,
    connection strings and command lines. The value ends with its quotes, or with the word. Secrets that
    were passed to `hide_secret` are hidden everywhere.
    """
    for secret in _hidden:
        text = text.replace(secret, REDACTED)
    if "://" in text:
        text = _without(_passwords(text), text)
    if "-----BEGIN " in text:
        text = _without(_key_blocks(text), text)
    if "earer " in text or any(map(text.__contains__, _SHAPE_STARTS)):
        text = _SHAPES.sub(_only_start, text)
    if any(map(text.__contains__, _WEBHOOKS)):
        text = _WEBHOOK.sub(_only_start, text)
    if "jdbc:oracle:" in text:
        text = _ORACLE.sub(_only_start, text)
    if any(map(text.__contains__, _LOGINS)):
        text = _LOGIN.sub(_only_start, text)
    named = [*_named(text)] if _may_name_secrets(text) else []
    return _without(named, text) if named else text


def _without(spans: Iterable[tuple[int, int]], text: str) -> str:
    """Hide each of *spans*, which are in order, in *text*."""
    shown: list[str] = []
    done = 0
    for start, end in spans:
        shown += text[done:start], REDACTED
        done = end
    return "".join([*shown, text[done:]])


def _may_name_secrets(text: str) -> bool:
    """Return False if no secret key is in *text*. It takes a tenth of the time of a search for the keys."""
    return any(map(text.casefold().__contains__, _STEMS)) or (
        not text.isascii() and any(map(text.__contains__, _ODD_I))
    )


def is_secret_name(name: str) -> bool:
    """Return True if the value of something called *name* is probably secret."""
    start = name[: 10 * _LONGEST_KEY]
    return _may_name_secrets(start) and bool(_SECRET_KEY.search(start))


def _passwords(text: str) -> Iterator[tuple[int, int]]:
    """Find the password of ``user:password@`` after every ``://``, up to the last @ before the path.

    A password with an unescaped slash goes up to the last @ of the URL, unless the text looks like
    ``host:port/path``.
    """
    at = 0
    url_ends = last_at = -1
    while (start := text.find("://", at)) >= 0:
        start += 3
        ends = _end(_END_OF_AUTHORITY, text, start)
        colon = text.find(":", start, ends)
        sign = text.rfind("@", start, ends)
        if url_ends < start:
            url_ends = _end(_END_OF_URL, text, start)
            last_at = _last_sign(text, start, url_ends)
        if colon >= 0 and sign > colon and "@" not in text[start:colon]:
            at = sign
            yield colon + 1, at
        elif 0 <= colon < last_at and not _HOST_AND_PORT.match(text, colon + 1):
            at = last_at
            yield colon + 1, at
        elif colon < 0 < sign and _is_token(text, start, sign):
            at = sign
            yield start, at
        else:
            at = start


def _is_token(text: str, start: int, end: int) -> bool:
    """Return True if the part of a web address before its @ is a token, and not a name."""
    if end - start < _LEAST_TOKEN or not text.endswith(("http://", "https://"), 0, start):
        return False
    found = _GENERATED.match(text, start)
    return found is not None and found.end() >= end


def _last_sign(text: str, start: int, end: int) -> int:
    """Return the position of the last @ of a URL that precedes a host; -1 without one."""
    found = text.rfind("@", start, end)
    if 0 <= found == end - 1 and end < len(text) and text[end].isspace():
        return text.rfind("@", start, found)
    return found


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.search(text, start)
    return len(text) if found is None else found.start()


def _key_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Find the body of private keys in PEM format. A key without an end goes up to the end of the text."""
    at = 0
    while (found := _KEY_BLOCK.search(text, at)) is not None:
        end = text.find("-----END ", found.end())
        at = len(text) if end < 0 else end
        yield found.end(), at


def _only_start(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{REDACTED}"


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Find the values of secret-looking keys."""
    at = 0
    while (found := _SECRET_KEY.search(text, at)) is not None:
        at = _end(_END_OF_KEY, text, found.end())
        for start, end in _value(text, found.start(), at):
            if end > start:
                yield start, end
            at = max(at, end)


def _value(text: str, found: int, end: int) -> list[tuple[int, int]]:
    """Return start and end of each part of the value of a key that has the position *found* and ends at *end*."""
    window = text[max(0, found - _LONGEST_KEY) : found]
    before = window.rstrip(_KEY_CHARACTERS)
    key = window[len(before) :] + text[found:end]
    sign = _SIGN.match(text, end)
    if sign is None:
        return _value_without_sign(text, before, key, end)
    quoted, start = sign["close"] != "", sign.end()
    if sign["sign"] == ",":  # .option("password", "…")
        return _second(text, before, start) if quoted else []
    if quoted and text.startswith("\n", start):
        start = _end(_NO_SPACE, text, start)
    if sign["sign"] == ":" and not quoted and text[start : start + 1] in _TYPE_LETTERS:
        annotation = _TYPE.match(text, start)
        if annotation is not None:
            return _whole(text, annotation.end())
    is_prose = sign["sign"] == ":" and _is_prose(text, before, start, key, quoted=quoted)
    if is_prose or (key.lower().endswith("tokens") and _COUNT.match(text, start)):
        return []
    if key.lower().endswith("cookie") and not quoted:
        return [(start, _end(_END_OF_HEADER, text, start))]
    return _whole(text, start)


def _second(text: str, before: str, start: int) -> list[tuple[int, int]]:
    """Find the value in the second argument of a call, or in the second item of a pair."""
    pair = _VALUE_OF.match(text, start)
    if pair is not None:
        return _whole(text, pair.end())
    called = before.rstrip("\\\"'`").endswith("(")
    opening = _OPENING.match(text, start) if called else None
    return _quoted(text, opening) if opening else []


def _value_without_sign(text: str, before: str, key: str, end: int) -> list[tuple[int, int]]:
    """Find the value of ``--password VALUE``, SQL's ``PASSWORD 'VALUE'`` and ``<password>VALUE<``."""
    if before.endswith("<") and (element := _ELEMENT.match(text, end)) is not None:
        return [element.span("value")]
    if key.isupper() and key.endswith("IDENTIFIED BY"):
        after_by = _OPTION.match(text, end)
        return [] if after_by is None else _whole(text, after_by.end())
    attribute = _ATTRIBUTE.match(text, end)
    if attribute is not None:  # <add key="password" value="…">
        return _whole(text, attribute.end())
    call = _CALL.match(text, end)
    if call is not None and _SETTER.fullmatch(key):
        return _whole(text, call.end())
    sql = (key.isupper() or "entified" in key) and not _PARSER.search(before)
    after = _OPTION if key.startswith("--") else _LITERAL if sql else None
    value = after.match(text, end) if after is not None else None
    return [] if value is None else _whole(text, value.end())


def _is_prose(text: str, before: str, start: int, key: str, *, quoted: bool) -> bool:
    """Return True if the key and its colon belong to a sentence: ``unrecognized token: "x"``."""
    if quoted:  # near "token": syntax error
        return (
            _WORDS.match(text, start) is not None
            and _PARSER.search(before.rstrip("\\\"'`")) is not None
        )
    return _PROSE.fullmatch(key) is not None and not _is_setting(text, before, start, key)


def _is_setting(text: str, before: str, start: int, key: str) -> bool:
    """Return True if the word before *start*, which may be prose, names a secret here."""
    if text[start : start + 1] in "BTDNASbtdnas" and _SCHEME.match(text, start) is not None:
        return True
    if key.lower() not in {"signature", "sig", "pass"} and _begins_line(before, start):
        return True
    opening = _OPENING.match(text, start)
    value = _GENERATED.match(text, opening.end() if opening else start)
    if value is None:
        return False
    least = _LEAST_AFTER_PARSER if _PARSER.search(before) else _LEAST_GENERATED
    return value.end() - value.start() >= least


def _begins_line(before: str, start: int) -> bool:
    if start > _LONGEST_KEY and "\n" not in before:
        return False
    return _SETTING.fullmatch(before, before.rfind("\n") + 1) is not None


def _whole(text: str, start: int) -> list[tuple[int, int]]:
    """Return start and end of each part of the value at *start*, without quotes."""
    if _NO_SECRET.match(text, start):
        return []
    block = _BLOCK.match(text, start)
    if block is not None:
        return [(start, block.end())]
    entity = _ENTITY.match(text, start)
    if entity is not None:
        line_ends = _end(_NEWLINE, text, start)
        ends = text.find(entity[0], entity.end(), line_ends)
        return [(entity.end(), line_ends if ends < 0 else ends)]
    bracket = _BRACKET.match(text, start)
    opening = _OPENING.match(text, bracket.end() if bracket else start)
    if opening is not None:
        return _quoted(text, opening)
    scheme = _SCHEME.match(text, start)
    return [(start, _end_of_word(text, scheme.end() if scheme else start))]


def _quoted(text: str, opening: re.Match[str]) -> list[tuple[int, int]]:
    """Return start and end of the content of a string, and of the strings that Python joins to it.

    A string without an end is the rest of its line.
    """
    found = [(opening.end(), _end_of_string(text, opening))]
    while not opening["escape"] and text.startswith(opening["quote"], found[-1][1]):
        more = _ONE_MORE.match(text, found[-1][1] + len(opening["quote"]))
        following = _OPENING.match(text, more.end()) if more else None
        if following is None or following["escape"]:
            break
        opening = following
        found.append((opening.end(), _end_of_string(text, opening)))
    return found


def _end_of_string(text: str, opening: re.Match[str]) -> int:
    start, escape, quote = opening.end(), opening["escape"], opening["quote"]
    if escape:  # JSON in JSON
        closing = re.compile(rf"(?<!\\)\\{{{len(escape)}}}{quote}|\n")
        return _end(closing, text, start)
    if len(quote) > 1:
        return _end(re.compile(rf"{quote}|\Z"), text, start)
    inside = _INSIDE[quote].match(text, start)
    return start if inside is None else inside.end()


def _end_of_word(text: str, start: int) -> int:
    """Return the end of a value without quotes: the end of its word, or of its brackets."""
    at, depth = start, 0
    while (part := _PART.match(text, at)) is not None:
        sign = part[0][0]
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            if not depth and _CLOSES.match(text, at):
                break
            depth -= bool(depth)
        elif sign == "\n" or (not depth and (sign in "\"'`&;," or sign.isspace())):
            break
        elif sign in "\"'`":
            opening = _OPENING.match(text, at)
            assert opening is not None
            at = _end_of_string(text, opening)
            if text.startswith(opening["quote"], at):
                at += len(opening["quote"])
            continue
        at = part.end()
    return at


def redact_url(url: str) -> str:
    """Return *url* without its password and without values of secret-looking parameters."""
    return redact_text(url)


def redact(value: Any, key: str = "") -> Any:
    """Return a copy of *value* with the values of secret-looking keys hidden.

    An object that *value* contains several times is copied once. An object that contains itself
    becomes ``…`` inside itself.
    """
    return _redacted(value, key, {}, 0)


_DEEPEST = 100


def _redacted(value: Any, key: str, seen: dict[int, Any], depth: int) -> Any:
    kind = type(value)
    empty = value is None or (kind in {str, bytes, dict, list, tuple} and not value)
    if key and not empty and is_secret_name(key):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if depth > _DEEPEST:
        return "…"
    seen[id(value)] = "…"  # used if the value contains itself
    found: Any
    if isinstance(value, dict):
        found = {k: _redacted(v, safe_str(k), seen, depth + 1) for k, v in dict.items(value)}
        _hide_value_of_pair(found)
    else:
        items: Any = list if isinstance(value, list) else tuple  # not a subclass's __iter__
        found = [_redacted(v, "", seen, depth + 1) for v in items.__iter__(value)]
    seen[id(value)] = found
    return found


def _hide_value_of_pair(found: dict[Any, Any]) -> None:
    """Hide the value in ``{"name": "password", "value": …}``, a pair as headers and settings have it."""
    names = map(found.get, ("name", "key", "Name", "Key"))
    if any(isinstance(name, str) and is_secret_name(name) for name in names):
        for key in {"value", "Value"} & found.keys():
            found[key] = REDACTED if found[key] else found[key]


def plain_text(text: str) -> str:
    """Return *text* with each character that cannot be encoded as UTF-8 written as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def clean_text(text: str) -> str:
    """Return *text* without secrets, terminal control sequences, or characters that UTF-8 cannot encode."""
    return redact_text(readable(plain_text(text)))


def shown_text(text: str, most: int = MAX_MESSAGE) -> str:
    """Return the first *most* characters of *text*, plain and without secrets.

    If text is cut off, the result ends with the number of all characters.
    """
    shown = clean_text(text[:most])
    return shown if len(text) <= most else f"{shown}… ({len(text)} characters in all)"


def last_lines(text: str, most: int) -> str:
    """Return the last lines of *text*, at most *most* characters, plain and without secrets.

    A line that would be cut is left out, because a secret is not recognised without its key.
    """
    if len(text) > most:
        text = text[-most:].partition("\n")[2]
    return clean_text(text)


def error_message(error: BaseException) -> str:
    """Return the text of *error*, at most `MAX_MESSAGE` characters, with secrets hidden.

    This never raises, even if the ``__str__`` of *error* does.
    """
    return shown_text(safe_str(error, "its message"))


def error_text(error: BaseException) -> str:
    """Return the class of *error* and its `error_message`, for a warning."""
    return f"{type(error).__name__}: {error_message(error)}"


def shown(value: Any) -> str:
    """Return *value* as a problem shows it: short and without secrets."""
    text = repr(redact(value))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
