"""Messages about runs to a webhook, Slack, Teams and e-mail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fakes import row, statuses
from listeners.notify.notified_project import NotifiedProject, broken, project_with_failure
from listeners.notify.receivers import CERTIFICATE, MailReceiver, WebReceiver

from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.process.private_files import OWN_FOLDERS
from odibi_nb.core.runlog.recovery import DIED
from odibi_nb.core.text.json import as_json
from odibi_nb.errors import ManifestError
from odibi_nb.listeners.notify import notifier as notifiers
from odibi_nb.listeners.notify import outbox as outboxes
from odibi_nb.listeners.notify import sending
from odibi_nb.wiring import make_notifier

TESTS = Path(__file__).parents[2]
ALL = ["run_failed", "run_finished", "run_abandoned", "row_failed"]


@pytest.fixture(autouse=True)
def _own_certificate(monkeypatch):
    """Python trusts the certificate of the local receivers, and uses no proxy for them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.fixture
def receiver():
    """Makes web receivers: receiver(500, 200, tls=True)."""
    made = []

    def make(*answers, **keywords):
        made.append(WebReceiver(*answers, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def mail():
    """Makes mail receivers."""
    made = []

    def make(*arguments, **keywords):
        made.append(MailReceiver(*arguments, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def notified(tmp_path):
    """Makes a project that notifies one channel: notified(channel, row, row …)."""

    def make(channel, *rows, **manifest):
        return NotifiedProject(tmp_path, list(rows), {"ops": channel}, **manifest)

    return make


def webhook(receiver, **more):
    return {"kind": "webhook", "url": receiver.url, "on": ALL, **more}


def failing(name, message):
    def fn():
        raise ValueError(message)

    return row(name, fn)


# -- what a message says -----------------------------------------------------------------------


def test_a_failed_row_and_its_run_are_one_message_each(notified, receiver):
    """A message has project, environment, row, error in one line, owner, the command to look, and the log."""
    web = receiver(tls=True)
    p = notified(webhook(web), row("A", broken), row("B", lambda: None), owner="team-energy")
    result = p.run(retry=0)
    assert statuses(result)["A"] == "FAILED"
    assert result.warnings == []
    one, end = web.bodies
    assert (one["event"], one["transformation_id"]) == ("row_failed", "A")
    assert one["facts"] | {"function": ""} == {
        "project": "P",
        "environment": "qat",
        "run": result.run_id,
        "layer": "Silver_1",
        "row": "A",
        "function": "",
        "attempts": "1",
        "error": "KeyError: 'ghi'",
        "owner": "team-energy",
        "look at it": f"%odibi show {result.run_id} --project P --env qat",
        "log": f"config_driven.TransformationRunLog; {p.state_dir}/runs/{result.run_id}/journal.jsonl",
    }
    assert end["event"] == "run_failed"
    assert end["title"] == "✖ run failed: 1 row failed · P · qat"
    assert end["facts"]["A"] == "KeyError: 'ghi'"


def test_only_the_events_of_on_are_reported(notified, receiver):
    """`on` selects the events: a channel for the end of every run gets one message for each run."""
    web = receiver()
    p = notified(webhook(web, on=["run_finished"]), row("A", lambda: None))
    p.run()
    p.rows[:] = [row("A", broken)]
    p.run(retry=0)
    assert [body["event"] for body in web.bodies] == ["run_finished", "run_failed"]
    p = notified(webhook(web, on=["run_failed"]), row("A", lambda: None))
    p.run()
    assert len(web.requests) == 2


def test_a_retried_attempt_is_no_message(notified, receiver):
    """A row that succeeds at its second attempt gives no message of a failure."""
    web, attempts = receiver(), []

    def second_time():
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")

    p = notified(webhook(web, on=["row_failed"]), row("A", second_time, constants={}))
    p.run(retry={"max_retries": 1, "base_delay": 0})
    assert web.requests == []


def test_secrets_of_errors_and_channels_are_hidden(notified, receiver, tmp_path):
    """Neither the message nor a warning has a password, a token, or the URL of a webhook."""
    web = receiver(404)
    said = f"no login: password=hunter22 at {web.url}\nsecond line"
    p = notified(
        webhook(web, headers={"Authorization": "Bearer abcdef-123456"}), failing("A", said)
    )
    result = p.run(retry=0)
    _, headers, body = web.requests[0]
    assert headers["Authorization"] == "Bearer abcdef-123456"
    assert body["facts"]["error"] == "ValueError: no login: password=*** at ***"
    (warning,) = result.warnings
    assert "127.0.0.1 answered 404" in warning
    assert "t0p-secret" not in warning
    stored = b"".join(f.read_bytes() for f in p.state_dir.rglob("*") if f.is_file())
    assert b"hunter22" not in stored
    assert b"abcdef-123456" not in stored
    assert b"t0p-secret" not in stored


def test_slack_gets_plain_text(notified, receiver):
    """Texts of rows cannot mention people or make a link in Slack."""
    web = receiver()
    name = "<!channel> <https://evil.example|here> ü★"
    p = notified(
        webhook(web, kind="slack", on=["row_failed"]), failing(name, "*bold* & <b>" + "x" * 9000)
    )
    p.run(retry=0)
    (body,) = web.bodies
    assert body["text"].startswith("✖ &lt;!channel&gt; &lt;https")
    kinds = {block["text"]["type"] for block in body["blocks"]}
    assert kinds == {"plain_text"}
    assert all(len(block["text"]["text"]) <= 3000 for block in body["blocks"])


def test_teams_gets_an_adaptive_card_of_plain_text(notified, receiver):
    """A Teams workflow gets a message with one Adaptive Card, in which no text is Markdown."""
    web = receiver(202)
    p = notified(
        webhook(web, kind="teams", on=["row_failed"]), failing("A", "[a](https://evil.example)")
    )
    assert p.run(retry=0).warnings == []
    (attachment,) = web.bodies[0]["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], {part["type"] for part in card["body"]}) == (
        "AdaptiveCard",
        {"RichTextBlock"},
    )
    texts = [run["text"] for part in card["body"] for run in part["inlines"]]
    assert "ValueError: [a](https://evil.example)" in texts


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_is_encrypted_and_logged_in(notified, mail, security):
    """A mail is sent through STARTTLS or TLS, with a login. A row's name cannot add a header."""
    server = mail(security)
    channel = {
        "kind": "email",
        "server": server.address,
        "security": security,
        "user": "odibi",
        "password": "right-password",
        "sender": "odibi@plant.example",
        "to": ["a@plant.example", "b@plant.example"],
        "on": ["row_failed"],
    }
    p = notified(channel, failing("A\r\nBcc: thief@evil.example", "größer ★"))
    assert p.run(retry=0).warnings == []
    (found,) = server.mails
    assert server.logins == [(("odibi", "right-password"), True)]
    assert len(server.recipients) == 2
    assert found["Bcc"] is None
    assert "Bcc: thief" in found["Subject"]
    assert found["Message-ID"].endswith("@plant.example>")
    assert "error: ValueError: größer ★" in found.get_content()


def test_no_mail_goes_without_encryption(notified, mail, monkeypatch):
    """A mail server without STARTTLS, perhaps an impostor, gets neither password nor mail."""
    server = mail("none")
    monkeypatch.setattr(notifiers, "PATIENCE_SECONDS", 0.2)
    channel = {
        "kind": "email",
        "server": server.address,
        "user": "odibi",
        "password": "right-password",
        "sender": "odibi@plant.example",
        "to": ["a@plant.example"],
    }
    (warning,) = notified(channel, row("A", broken)).run(retry=0).warnings
    assert "STARTTLS" in warning
    assert (server.logins, server.mails) == ([], [])


def test_a_refused_login_is_one_warning(notified, mail):
    """If a mail server refuses the password, the run succeeds, and no text has the password."""
    server = mail("tls")
    channel = {
        "kind": "email",
        "server": server.address,
        "security": "tls",
        "user": "odibi",
        "password": "wrong-password",
        "sender": "odibi@plant.example",
        "to": ["a@plant.example"],
    }
    p = notified(channel, row("A", broken))
    (warning,) = p.run(retry=0).warnings
    assert "localhost refused the login" in warning
    assert "wrong-password" not in warning


# -- receivers that do not work ----------------------------------------------------------------


def test_an_overloaded_receiver_is_asked_again(notified, receiver):
    """After a 500 or a 429, the message is sent again at the time that the receiver asks for, once."""
    web = receiver(500, (429, {"Retry-After": "1"}))
    p = notified(webhook(web, on=["run_failed"]), row("A", broken))
    assert p.run(retry=0).warnings == []
    assert len(web.requests) == 3
    assert len({*web.keys}) == 1
    assert [body["repeated"] for body in web.bodies] == [False] * 3


def test_a_receiver_that_wants_to_wait_gets_it_at_a_later_start(notified, receiver, monkeypatch):
    """A run does not wait for minutes: it warns, and a later start sends the message."""
    web = receiver((429, {"Retry-After": "300"}))
    p = notified(webhook(web, on=["run_failed"]), row("A", broken))
    monkeypatch.setattr(notifiers, "PATIENCE_SECONDS", 0.2)
    (warning,) = p.run(retry=0).warnings
    assert warning.startswith("notify: 1 message to 'ops' not sent: 127.0.0.1 answered 429")
    p.rows[:] = [row("A", lambda: None)]
    p.run()
    assert len(web.requests) == 1  # 300 seconds have not passed
    for pace in (p.state_dir / "notify").glob("*.json"):
        pace.unlink()
    assert p.run().warnings == []
    assert len(web.requests) == 2
    assert web.bodies[1]["event"] == "run_failed"


def test_a_redirection_is_not_followed(notified, receiver):
    """A message and its headers are sent only to the host in the manifest."""
    other = receiver()
    web = receiver((307, {"Location": other.url}))
    p = notified(webhook(web, on=["run_failed"]), row("A", broken))
    (warning,) = p.run(retry=0).warnings
    assert "a redirection, which odibi_nb does not follow" in warning
    assert other.requests == []


def test_a_hanging_receiver_does_not_delay_the_rows(notified, receiver, monkeypatch):
    """While a receiver hangs, the run continues. The repeated message is marked as possibly a duplicate."""
    web = receiver("hang")
    monkeypatch.setattr(notifiers, "PATIENCE_SECONDS", 0.2)
    later = threading.Event()

    def after_it_came():
        assert web.came.acquire(timeout=20)
        later.set()

    p = notified(
        webhook(web, on=["row_failed"]), row("A", broken), row("B", after_it_came, layer="Gold_1")
    )
    (warning,) = p.run(retry=0).warnings
    assert later.is_set()
    assert "the receiver has not answered yet" in warning


def test_an_untrusted_certificate_is_refused(notified, receiver, monkeypatch):
    """TLS is checked: a receiver with an unknown certificate gets nothing."""
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(notifiers, "PATIENCE_SECONDS", 0.5)
    web = receiver(tls=True)
    p = notified(webhook(web, on=["run_failed"]), row("A", broken))
    (warning,) = p.run(retry=0).warnings
    assert "CERTIFICATE_VERIFY_FAILED" in warning
    assert web.requests == []


def test_an_outbox_that_cannot_be_written_is_one_warning(notified, receiver, monkeypatch):
    """A full disk fails no run."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outboxes.Outbox, "put", full)
    p = notified(webhook(receiver()), row("A", broken), row("B", broken))
    (warning,) = p.run(retry=0).warnings
    assert (
        warning == "notify: a message to 'ops' was not written: [Errno 28] No space left on device"
    )


# -- the limit ---------------------------------------------------------------------------------


def test_the_limit_holds_messages_back_and_says_how_many(notified, receiver):
    """At most `most` messages are sent. The last one is reserved for the end of the run, and has
    the number of the others.
    """
    web = receiver()
    rows = [row(f"R{i}", broken) for i in range(10)]
    p = notified(webhook(web, most=4), *rows)
    assert p.run(retry=0).warnings == []
    assert [body["event"] for body in web.bodies] == [*["row_failed"] * 3, "run_failed"]
    assert web.bodies[-1]["held_back"] == 7
    assert web.bodies[-1]["facts"]["held back"] == "7 further messages, by the channel's limit"
    p.run(retry=0)
    assert len(web.requests) == 4
    for pace in (p.state_dir / "notify").glob("*.json"):  # as if the time had passed
        pace.unlink()
    p.rows[:] = [row("R0", broken)]
    p.run(retry=0)
    assert web.bodies[4]["held_back"] == 11
    assert web.bodies[5]["held_back"] == 0


# -- exactly one message -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        "before the message is written",
        "before it is sent",
        "between claim and request",
        "before the run's end is reported",
        "after everything",
    ],
)
def test_each_event_is_one_message_after_kill_9(tmp_path, receiver, moment):
    """After a kill at any moment, the next start sends the missing messages, and none twice."""
    web = receiver()
    _killed(tmp_path, web, moment)
    p = project_with_failure(tmp_path, web.url)
    p.rows[:] = [row("B", lambda: None)]
    p.run()
    p.run()
    row_message, end = sorted(body["event"] for body in web.bodies)
    assert row_message == "row_failed"
    assert end in {"run_abandoned", "run_failed"}  # the run may have ended before its process did
    assert len({*web.keys}) == 2


def test_a_message_that_may_have_arrived_is_sent_again_under_its_key(tmp_path, receiver):
    """After a kill between the receiver's answer and its note, the receiver can recognise the duplicate."""
    web = receiver()
    _killed(tmp_path, web, "between answer and note")
    p = project_with_failure(tmp_path, web.url)
    p.rows[:] = [row("B", lambda: None)]
    p.run()
    p.run()
    first, second, *others = web.bodies
    assert [first["event"], second["event"]] == ["row_failed"] * 2
    assert [first["repeated"], second["repeated"]] == [False, True]
    assert web.keys[0] == web.keys[1]
    assert len({*web.keys[1:]}) == 1 + len(others)


def _killed(folder, web, moment):
    program = Path(__file__).with_name("notified_project.py")
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    ended = subprocess.run(
        [sys.executable, program, folder, web.url, moment],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr


def test_a_run_of_another_machine_has_no_journal_here(notified, receiver):
    """A message about a run without a folder here is sent once, whatever its id."""
    web = receiver()
    p = notified(webhook(web, on=["run_abandoned"]), row("A", lambda: None))
    p.run()
    for _ in range(2):
        notifier = make_notifier(p.orchestrator().place())
        for run_id in ("20260101-elsewhere", "../../outside", ".."):
            notifier._put(notifier._write.run_abandoned(run_id, []))
        assert notifier.finish() == []
    assert sorted(body["run_id"] for body in web.bodies) == [
        "..",
        "../../outside",
        "20260101-elsewhere",
    ]
    assert not list(p.state_dir.parent.parent.glob("outside*"))
    assert {path.name for path in p.state_dir.iterdir()} <= {*OWN_FOLDERS, "notify"}


def test_rows_of_another_machine_are_in_the_message_about_its_run(notified, receiver):
    """The other machine may have sent its messages about rows. The message about the run names them."""
    web = receiver()
    p = notified(webhook(web), row("A", broken))
    result = p.run(retry=0)
    record = {**result.records[0], "run_id": "20260101-elsewhere"}
    dead = {"run_id": "20260101-elsewhere", "status": "failed", "warnings": as_json([DIED])}
    notifier = make_notifier(p.orchestrator().place())
    notifier.on_dead_run(dead, [record])
    assert notifier.finish() == []
    assert [body["event"] for body in web.bodies] == ["row_failed", "run_failed", "run_abandoned"]
    assert web.bodies[-1]["facts"]["A"] == "KeyError: 'ghi'"


@pytest.mark.parametrize("warnings", ["oops", "3", "null", "[" * 5_000, None])
def test_a_dead_run_with_damaged_warnings_keeps_no_next_run_from_starting(
    notified, receiver, warnings
):
    """A journal's record of a dead run is untrusted. Without readable warnings, the run has not died."""
    web = receiver()
    p = notified(webhook(web), row("A", broken))
    notifier = make_notifier(p.orchestrator().place())
    notifier.on_dead_run({"run_id": "R", "status": "failed", "warnings": warnings}, [])
    assert notifier.finish() == []
    assert "run_abandoned" not in [body["event"] for body in web.bodies]


def test_two_processes_send_a_message_once(notified, receiver):
    """Only the process that holds the channel sends a message."""
    web = receiver()
    p = notified(webhook(web, on=["run_failed"]), row("A", broken))
    one, two = (make_notifier(p.orchestrator().place()) for _ in range(2))
    for name in ("A", "B", "C"):
        (p.state_dir / "runs" / name).mkdir(parents=True)
        one._put(one._write.run_ended(name, "failed", {"FAILED": 1}, []))
    two.deliver()
    assert one.finish() == []
    assert two.finish() == []
    assert len(web.requests) == len({*web.keys}) == 3


# -- the manifest ------------------------------------------------------------------------------


MAIL = {"kind": "email", "server": "h.example", "sender": "a@b", "to": ["a@b"]}
HOOK = {"kind": "webhook", "url": "https://hooks.example"}
SLACK = {"kind": "slack"}


@pytest.mark.parametrize(
    ("channel", "where", "problem"),
    [
        ({"kind": "pager"}, ".kind", "expected 'webhook' or 'slack'"),
        (SLACK, ".url", "is missing"),
        ({**SLACK, "url": "http://hooks.example/x"}, ".url", "is not encrypted"),
        ({**SLACK, "url": "file:///etc/passwd"}, ".url", "expected https://"),
        ({**SLACK, "url": "https://u:p@hooks.example/x"}, ".url", "has a user name"),
        ({**SLACK, "url": "https://hooks.example/\r\nHost: x"}, ".url", "has a blank, a control"),
        ({**SLACK, "url": "https://hooks.example:port/"}, ".url", "is not a URL"),
        ({**HOOK, "headers": {"A": "b\nc"}}, ".headers.A", "has a character"),
        ({**HOOK, "on": ["runs_failed"]}, ".on[0]", "expected 'run_failed' or"),
        ({**HOOK, "on": []}, ".on", "names no event: choose among run_failed,"),
        ({**HOOK, "most": 0}, ".most", "expected at least 1"),
        ({**HOOK, "per_seconds": 0}, ".per_seconds", "expected seconds above 0, found 0"),
        ({**HOOK, "headers": {"A b": "c"}}, ".headers", "a name is not the name of an HTTP header"),
        ({**HOOK, "to": ["a@b"]}, ".to", "belongs to kind 'email', not to 'webhook'"),
        (
            {**HOOK, "kind": "slack", "headers": {"A": "b"}},
            ".headers",
            "belongs to kind 'webhook', not to 'slack'",
        ),
        ({**MAIL, "url": "https://hooks.example"}, ".url", "does not belong to kind 'email'"),
        ({**MAIL, "sender": ""}, ".sender", "is missing"),
        ({**MAIL, "to": []}, ".to", "names no address"),
        ({**MAIL, "to": ["a@b\nBcc: c@d"]}, ".to", "expected an address"),
        ({**MAIL, "server": "h.example/x"}, ".server", "expected HOST"),
        ({**MAIL, "user": "a"}, "", "expected both 'user' and 'password'"),
        ({**MAIL, "security": "none"}, ".security", "'none' is only allowed for this machine"),
    ],
)
def test_a_wrong_channel_is_a_problem_of_the_manifest(channel, where, problem):
    """A plan finds a wrong key, a URL without encryption and an address with a line break."""
    raw = {"project": "P", "environments": {"qat": {"notify": {"ops": channel}}}}
    with pytest.raises(ManifestError) as excinfo:
        ProjectManifest.from_dict(raw)
    (found,) = excinfo.value.problems
    assert found.where == f"$.environments.qat.notify.ops{where}"
    assert found.message.startswith(problem)
    assert "hooks.example" not in str(excinfo.value)


def test_a_channel_has_a_name():
    """A message about a channel needs the channel's name, so a blank name is a problem of the manifest."""
    raw = {"project": "P", "environments": {"qat": {"notify": {" ": MAIL}}}}
    with pytest.raises(ManifestError) as excinfo:
        ProjectManifest.from_dict(raw)
    (found,) = excinfo.value.problems
    assert found.where == "$.environments.qat.notify"
    assert found.message == "a channel's name is empty, or has a control character"


def test_a_mail_server_from_a_variable_is_judged_when_it_is_used():
    """A manifest may take the mail server from a variable that this machine does not have."""
    channel = {**MAIL, "server": "${MAIL_SERVER}", "security": "none"}
    raw = {"project": "P", "environments": {"qat": {"notify": {"ops": channel}}}}
    assert ProjectManifest.from_dict(raw).environments


def test_a_url_comes_from_a_variable(monkeypatch):
    """A channel's secrets are variables that only the running environment needs."""
    raw = {
        "project": "P",
        "environments": {"qat": {"notify": {"ops": {"kind": "slack", "url": "${SLACK_URL}"}}}},
    }
    manifest = ProjectManifest.from_dict(raw)
    with pytest.raises(ManifestError, match="SLACK_URL is not set"):
        manifest.environment("qat")
    monkeypatch.setenv("SLACK_URL", "http://hooks.example/T0/B0")
    with pytest.raises(ManifestError, match="is not encrypted"):
        manifest.environment("qat")
    monkeypatch.setenv("SLACK_URL", "https://hooks.example/T0/B0-secret")
    channel = manifest.environment("qat").notify["ops"]
    assert (channel.host, repr(channel)) == ("hooks.example", "<Channel slack to hooks.example>")
    assert "secret" not in manifest._repr_html_()


def test_a_test_message_needs_no_run(notified, receiver):
    """A test message is sent at once. If it fails, the error is the reason."""
    web = receiver(200, 403)
    p = notified(webhook(web), row("A", broken))
    notifier = make_notifier(p.orchestrator().place())
    assert notifier.test("ops") == ""
    assert web.bodies[0]["facts"]["message"] == "This channel works. No run has failed."
    assert notifier.test("ops") == "127.0.0.1 answered 403 Forbidden: ok"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 1.0), ("7", 7.0), ("soon", 1.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0)],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    """For a date that has passed, or a missing one, the wait is a second."""
    assert sending._seconds(header) == seconds
