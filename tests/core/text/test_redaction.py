"""Secrets are hidden wherever they stand, ordinary words are not, and no text takes long."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import time
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

import odibi_nb
from odibi_nb.core.text.redaction import error_message, last_lines, redact, redact_text, shown_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJlaHVudGVyMg"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('db = connect(host="h", password="hunter2")', 'db = connect(host="h", password="***")'),
        ("password = hunter2", "password = ***"),
        ("pwd: hunter2", "pwd: ***"),
        ("PASSWORD='hunter2'", "PASSWORD='***'"),
        ("bearer_token='hunter2'", "bearer_token='***'"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("{'Authorization': 'Basic aHVudGVyMg=='}", "{'Authorization': '***'}"),
        ("curl -H 'Authorization: Bearer hunter2' x", "curl -H 'Authorization: ***' x"),
        ("sent Bearer abc.hunter2-x", "sent Bearer ***"),
        ("{'password': 12345, 'x': 1}", "{'password': ***, 'x': 1}"),
        ('{"password":12345}', '{"password":***}'),
        ("{'token': b'hunter2'}", "{'token': b'***'}"),
        ("token=b'hunter2'", "token=b'***'"),
        ("password: str = 'hunter2'", "password: str = '***'"),
        ("def f(password: str | None = 'hunter2'):", "def f(password: str | None = '***'):"),
        ("password = 'hun' + \"ter2\"", "password = '***' + \"***\""),
        ("password = '''hunter2'''", "password = '''***'''"),
        ("password=str('hunter2')", "password=***"),
        ("os.environ['DB_PASSWORD'] = 'hunter2'", "os.environ['DB_PASSWORD'] = '***'"),
        ("if password == 'hunter2':", "if password == '***':"),
        ("reader.option('password', 'hunter2')", "reader.option('password', '***')"),
        ("tool --password hunter2 -v", "tool --password *** -v"),
        ("'password': 'hunter2", "'password': '***"),
        ('{\\"password\\": \\"hunter2\\", \\"x\\": 1}', '{\\"password\\": \\"***\\", \\"x\\": 1}'),
        ("credentials={'user': 'u', 'x': 'hunter2'}", "credentials=***"),
        ("token: hunter2", "token: ***"),
        ("access token: hunter2", "access token: ***"),
        ("the token: hunter2 was sent", "the token: *** was sent"),
        (f"no rights with {JWT}!", "no rights with ***!"),
        ("login dapi0123456789abcdef0123456789abcdef failed", "login *** failed"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("aws_secret_access_key = hunter2", "aws_secret_access_key = ***"),
        ("?sv=2022&sig=hunter2%3D&se=1", "?sv=2022&sig=***&se=1"),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***;EndpointSuffix=x",
        ),
        (
            "spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net=hunter2",
            "spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net=***",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
        ("UID%3Du%3BPWD%3Dhunter2", "UID%3Du%3BPWD%3D***"),
        ("authorization: bearer hunter2", "authorization: ***"),
        ("ALTER USER u PASSWORD 'hunter2'", "ALTER USER u PASSWORD '***'"),
        ("create user u identified by 'hunter2'", "create user u identified by '***'"),
        ("Cookie: a=hunter2; b=hunter2", "Cookie: ***"),
        ("headers = {'Authorization': f'Bearer hunter2'}", "headers = {'Authorization': f'***'}"),
        ("a://x:1/,b://u:hunter2@h", "a://x:1/,b://u:***@h"),
        ("<db><password>hunter2</password></db>", "<db><password>***</password></db>"),
        ("connect(password=(\n    'hunter2'))", "connect(password=(\n    '***'))"),
        ("password: |-\n  hunter2\n  hunter2\nhost: h", "password: ***\nhost: h"),
        ("x-functions-key: hunter2", "x-functions-key: ***"),
    ],
)
def test_secrets_are_hidden(text, shown):
    """A secret is hidden in source lines, headers, configuration, connection strings and JSON."""
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        'unrecognized token: ":"',
        'unrecognized token: "2023abc"',
        "unrecognized token: 1::text",
        "select 1::text as token",
        'near "token": syntax error',
        "column 'token': its numbers have more digits",
        "INVALID TOKEN 'x'",
        "tokens: 5, max_tokens=4096",
        "SELECT token::text",
        "Unexpected token '}' at line 1, column 8",
        "Expected token ')', got 'x'",
        "Error tokenizing data. C error: Expected 3 fields",
        "the primary key: id",
        "FOREIGN KEY constraint failed: bronze.meter",
        "primary_key=id",
        "a token is a word: it stays",
        "function signature: f(a, b)",
        "pass: 5, fail: 3",
        "password=None, token=None",
        "use_password=True",
        "def login(user: str, password: str) -> None:",
        "if not token:\n    return",
        "password authentication failed for user 'u'",
        "tokenizer='x'",
        "the secretary: Ann",
        "token_count is unknown",
        "conn strategy: retry",
        "a <token> is expected, found: x",
    ],
)
def test_words_are_no_secrets(text):
    """A database's, a parser's and a compiler's words about tokens and keys stay readable."""
    assert redact_text(text) == text


@given(
    st.sampled_from(["password", "db_pwd", "client_secret", "api-key", "AccountKey", "sas_token"]),
    st.one_of(
        st.text(min_size=1), st.binary(min_size=1), st.integers(), st.floats(allow_nan=False)
    ),
)
def test_a_value_under_a_secret_key_is_never_shown(name, value):
    """The text of a value under a secret key never appears: as data, as ``repr``, as JSON."""
    assert redact({name: value}) == {name: "***"}
    hidden = re.escape(redact_text(repr({name: value})))
    assert re.fullmatch(rf"\{{'{name}':\ b?['\"]?\*\*\*['\"]?\}}", hidden.replace("\\", ""))
    if isinstance(value, str):
        for escape in (True, False):
            text = json.dumps({name: value}, ensure_ascii=escape)
            assert redact_text(text) == f'{{"{name}": "***"}}'


class Odd:
    """An object whose methods all raise unexpected exceptions."""

    def __str__(self):
        raise SystemExit(3)

    __repr__ = __eq__ = __bool__ = __len__ = __hash__ = __str__


def test_data_that_is_odd():
    """Foreign objects are not asked for anything; what holds itself, or is deep or shared, is no trouble."""
    holds_itself: list = [1]
    holds_itself.append(holds_itself)
    shared: list = []
    for _ in range(60):
        shared = [shared, shared]
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    odd = Odd()
    found = redact({"password": odd, "x": [odd], "y": holds_itself, "z": shared, "deep": deep})
    assert found["password"] == "***"
    assert found["x"][0] is odd
    assert found["y"] == [1, "…"]


def test_text_is_cut_before_it_is_looked_at():
    """A cut never brings a secret to light: neither one that it tears, nor one whose key it takes away."""
    text = "x" * 90 + " password='hunter2 and more' y"
    assert "hunter" not in shown_text(text, 112)
    assert shown_text(text, 112).endswith(f"({len(text)} characters in all)")
    assert last_lines("password='hunter2'\nthe rest", 15) == "the rest"


@pytest.mark.parametrize(
    "raised", [SystemExit(1), KeyboardInterrupt(), RecursionError(), None, Exception("x")]
)
def test_an_exception_without_a_text(raised):
    """An exception has a message, whatever its ``__str__`` does."""

    class Broken(Exception):
        def __str__(self):
            if raised is None:
                return 5  # noqa: PLE0307  as users do
            raise raised

    kind = "TypeError" if raised is None else type(raised).__name__
    assert error_message(Broken()) == f"(its message cannot be shown: {kind})"


# -- no text takes long -----------------------------------------------------------------------------

SIZE = 1_000_000
PIECES = [
    "a", "\\", "'", '"', "`", "\n", " ", "=", ":", "://", "://a:", "//a:", "://a:1/", "@", "a@", "/",
    "'a':", "'token': 'a", "password", "password=", "password='", "pwd ", "token: ", "'a\\", "(", "[",
    "eyJ", "eyJa.", "dapi", "bearer ", "-----BEGIN PRIVATE KEY-----", "password='''", 'pwd="""x', '\\"',
    '\\"password\\": \\"', "--password ", "token=(", ".option('password', '", "A", "0", "a1", ",", "a,",
    "a.", "+", "1+", "%", "a=", "=a", "[`", "--", "/*", "; ", "at a(", "[A", "[A.", "`a` ", "Caused by: ",
    "a.Exception: ", "Traceback (most recent call last):\n", " x\n", 'File "', "line 1 pos 1", ";line ",
    'Identifier("', "table or view ", "table or view a.", "`a`.", "== SQL ", "SQLSTATE: ", "\x1b[", "\r",
    "\x1b]0;", "0: ", "LINE 1:", "${", "$", "with name `", "select ", "é", "日", "_", "-", "|", "#", "?",
    "was called from", "Did you mean one of the following? [", "== DataFrame ==", "unresolved dependency: ",
    "(Background on this error at: ", 'version "1', "decimal(1", "\t", "a b ", "AUTH", "accountkey", "''", "/*a", '<c r="', "<c ", "<a:c r='A1'", "'a\\'", "Traceback (most recent call last):\n\n",
]  # fmt: skip


ANYWHERE = {"search", "sub", "subn", "findall", "finditer", "split"}


def patterns():
    """Every pattern of the package that is looked for anywhere in a text: {pattern: where it is written}.

    One that is only matched at one place of a text is tried at the text's beginning.
    """
    found: dict[re.Pattern, tuple[str, bool]] = {}
    for module in pkgutil.walk_packages(odibi_nb.__path__, "odibi_nb."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        tree = ast.parse(inspect.getsource(loaded))
        calls = [c.func for c in ast.walk(tree) if isinstance(c, ast.Call)]
        methods: dict[str, set[str]] = {}
        for call in calls:
            if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
                methods.setdefault(call.value.id, set()).add(call.attr)
        for name, value in vars(loaded).items():
            used = methods.get(name) or ANYWHERE  # handed on: then anything may be done with it
            for one in leaves(value):
                if isinstance(one, re.Pattern):
                    anywhere = found.get(one, ("", False))[1] or bool(used & ANYWHERE)
                    found[one] = (f"{module.name}.{name}", anywhere)
        for call in ast.walk(tree):
            if written := in_place(call):
                found[re.compile(written)] = (f"{module.name}:{call.lineno}", True)
    return found


def leaves(value):
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):  # an EntryPoint of Python 3.10 gives itself to `for`
        return [leaf for one in tuple.__iter__(value) for leaf in leaves(one)]
    return [value]


def in_place(call):
    """The pattern of ``re.search("…", text)`` and its like."""
    of_re = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    of_re = of_re and isinstance(call.func.value, ast.Name) and call.func.value.id == "re"
    written = of_re and call.func.attr in ANYWHERE and call.args and call.args[0]
    return written.value if isinstance(written, ast.Constant) else None


LIMITS = {4_000: 0.0005, 10_000: 0.003, 40_000: 0.048, 100_000: 0.3}
"""Size of a text to the seconds that a pattern may take for it."""


def seconds(fn):
    begun = time.process_time()
    fn()
    return time.process_time() - begun


def test_every_pattern_is_linear():
    """No pattern of the package takes longer than a second for a megabyte, whatever it is made of.

    Smaller texts clear nearly all patterns. If time grows with the square of the size, 0.3 s for 100 kB are
    48 ms for 40 kB, 3 ms for 10 kB and 0.5 ms for 4 kB.
    """
    texts = {size: {p: (p * (size // len(p) + 1))[:size] + "\0" for p in PIECES} for size in LIMITS}
    binary = {size: {p: t.encode() for p, t in one.items()} for size, one in texts.items()}
    slow = []
    for pattern, (where, anywhere) in patterns().items():
        of_kind = texts if isinstance(pattern.pattern, str) else binary
        for piece in PIECES:

            def apply(size, piece=piece, pattern=pattern, anywhere=anywhere, texts=of_kind):
                text = texts[size][piece]
                deque(pattern.finditer(text) if anywhere else [pattern.match(text)], maxlen=0)

            if all(seconds(lambda s=s, f=apply: f(s)) > limit for s, limit in LIMITS.items()):
                slow.append(f"{where} on {piece!r}")
                break
    assert not slow


WORST = ["'a\\", "password", "token: ", "eyJa.", "://a:1/", "password='''", "a"]


@pytest.mark.parametrize(("pieces", "size"), [(PIECES, SIZE // 40), (WORST, SIZE)])
def test_redaction_is_linear(pieces, size):
    """A text is redacted in about a second for each megabyte, whatever it is made of."""
    for piece in pieces:
        text = (piece * (size // len(piece) + 1))[:size]
        assert seconds(lambda text=text: redact_text(text)) < 0.2 + 2 * size / SIZE, piece
