"""Listeners: who is called, with what, and that none of them can change a run."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from fakes import row, statuses

from odibi_nb.core.model.events import EventType
from odibi_nb.core.running.hooks import FILTER_KEYS, RENAMED, HookManager
from odibi_nb.errors import HookError

EVENTS = [event.value for event in EventType]


def said(excinfo):
    return [str(problem) for problem in excinfo.value.problems]


def test_exercise_3(project, capsys):
    """The seed's third exercise prints what the seed expects."""
    # --- the seed's code
    from odibi_nb.hooks import HookManager

    hooks = HookManager()

    # Add listeners
    hooks.register("transform_start", lambda data: print(f"🚀 Starting: {data['function']}"))

    hooks.register(
        "transform_success",
        lambda data: print(f"✅ Completed: {data['function']} in {data['duration_seconds']:.1f}s"),
    )
    # ---
    project(
        row("ingest_sensor_data", lambda: None, outputs=[{"table": "b.x"}], layer="Bronze"),
        row("clean_sensor_data", lambda: None, inputs=["b.x"]),
        manifest={"layer_order": ["Bronze", "Silver_1"]},
    ).run(hooks=hooks, log_level="WARNING")
    shown = re.sub(r"\b\d+\.\ds$", "0.0s", capsys.readouterr().out, flags=re.MULTILINE)
    assert shown.splitlines() == [
        "🚀 Starting: ingest_sensor_data",
        "✅ Completed: ingest_sensor_data in 0.0s",
        "🚀 Starting: clean_sensor_data",
        "✅ Completed: clean_sensor_data in 0.0s",
    ]


@pytest.mark.parametrize("event", [*EVENTS, *EventType, "*"])
def test_every_event_can_be_listened_to(event):
    """Each event, by name or by type, and all of them with "*"."""
    hooks = HookManager()
    assert hooks.register(event, print) is print
    assert hooks.unregister(event, print)


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ((None, print), ["an event's name must be text, found None"]),
        ((" ", print), ["an event's name must be text, found ' '"]),
        (("run_start", None), ["a listener must be callable, found None"]),
        (("run_start", "print"), ["a listener must be callable, found 'print'"]),
        (("run_start", print, {"layr": "x"}), ["unknown filter 'layr' (did you mean 'layer'?)"]),
        (
            ("run_start", print, {"xyz": 1}),
            [f"unknown filter 'xyz': one of {', '.join(FILTER_KEYS)}"],
        ),
        (("run_start", print, ["layer"]), ["filters must be a dict, found ['layer']"]),
        (("run_start", print, {1: 2}), [f"unknown filter 1: one of {', '.join(FILTER_KEYS)}"]),
        (
            ("*", 3, {"layr": "x"}),
            [
                "a listener must be callable, found 3",
                "unknown filter 'layr' (did you mean 'layer'?)",
            ],
        ),
    ],
)
def test_mistakes_are_told_at_registration(arguments, problems):
    """An event, filter or listener that cannot be is one clear message, with all that is wrong."""
    hooks = HookManager()
    with pytest.raises(HookError) as excinfo:
        hooks.register(*arguments)
    assert said(excinfo) == problems
    assert hooks.list_hooks() == {}


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        ("transform_sucess", r"did you mean 'transform_success'\?"),
        ("Run_Start", r"did you mean 'run_start'\?"),
        ("run_strat", r"did you mean 'run_start'\?"),
        *((old, f"is called '{new.value}' here") for old, new in RENAMED.items()),
    ],
)
def test_a_name_close_to_one_of_ours_gives_a_hint(event, hint):
    """A misspelled event, or the original framework's name, is registered with a warning."""
    hooks = HookManager()
    with pytest.warns(UserWarning, match=hint):
        hooks.register(event, print)
    assert list(hooks.list_hooks()) == [event]


@pytest.mark.parametrize(
    "event", ["rows_rejected", "quality:run_start", "my.run_start", "ereignis ß", "silver_start"]
)
def test_events_of_ones_own(event):
    """Any other name is an event of one's own: registered, filtered by any key, and emitted."""
    hooks, seen = HookManager(), []
    hooks.register(event, seen.append, {"table": "a"})
    hooks.emit(event, {"table": "a"})
    hooks.emit(event, {"table": "b"})
    hooks.emit("another", {"table": "a"})
    assert seen == [{"table": "a"}]


@pytest.mark.parametrize(
    ("event", "payload", "problem"),
    [
        ("*", {}, "means all events"),
        (3, {}, "must be text"),
        ("mine", [1], "a payload must be a dict"),
    ],
)
def test_what_cannot_be_emitted(event, payload, problem):
    """An event without a name, or a payload that is no dict, is refused where it is emitted."""
    with pytest.raises(HookError, match=problem):
        HookManager().emit(event, payload)


def test_a_function_emits_events_of_its_own(project):
    """They reach listeners on the run's thread, in order, with the facts that every payload has."""
    hooks, seen = HookManager(), []

    def listen(data):
        seen.append((data["event"], data.get("n"), threading.current_thread()))

    def fn(context):
        def emit():  # on a thread of the function's own, which knows nothing of the run
            for n in range(3):
                context.hooks.emit("quality:checked", {"n": n, "layer": "mine"})

        thread = threading.Thread(target=emit)
        thread.start()
        thread.join()

    for event in ("quality:checked", "transform_success"):
        hooks.register(event, listen, {"transformation_id": "A"})
    payloads = []
    hooks.register("quality:checked", payloads.append, {"project": "p", "layer": "mine"})
    hooks.register("quality:checked", lambda data: data["nothing"])
    result = project(row("A", fn), row("B", fn)).run(hooks=hooks, max_workers=2)
    assert result["status"] == "success"
    own = [("quality:checked", n, threading.current_thread()) for n in range(3)]
    assert seen == [*own, ("transform_success", None, threading.current_thread())]
    assert len(payloads) == 6
    facts = {
        "run_id",
        "env",
        "engine",
        "timestamp",
        "transformation_id",
        "plant",
        "asset",
        "attempt",
    }
    assert facts <= payloads[0].keys()
    (warning,) = result["warnings"]
    assert "on 'quality:checked' raised KeyError: 'nothing'" in warning


def test_a_mistake_with_hooks_is_not_retried(project):
    """Errors of our own interface in a row fail at the first attempt."""

    def fn(context):
        context.hooks.emit("*")

    result = project(row("A", fn, constants={})).run(hooks=HookManager())
    assert statuses(result) == {"A": "FAILED"}
    assert [r["attempt"] for r in result.records] == [1]


def test_the_originals_keys_are_there(project):
    """transform_failure also says `error`, configs_loaded also `count`."""
    hooks, seen = HookManager(), []
    hooks.register("transform_failure", seen.append)
    hooks.register("configs_loaded", seen.append)
    project(row("A", lambda: 1 / 0)).run(hooks=hooks)
    assert seen[0]["count"] == seen[0]["transformations"] == 1
    assert seen[1]["error"] == seen[1]["error_message"] == "division by zero"


def test_what_a_listener_raises_outside_a_run_is_logged(caplog):
    """Outside a run, a listener that raises leaves a line in the log."""
    hooks = HookManager()
    hooks.register("mine", lambda data: data["x"])
    hooks.emit("mine")
    assert "raised KeyError: 'x'" in caplog.text


@pytest.mark.parametrize(
    ("filters", "called"),
    [
        (None, True),
        ({}, True),
        ({"layer": "Silver_1"}, True),
        ({"layer": "silver_1"}, True),
        ({"layer": "Gold_1"}, False),
        ({"layer": ["Gold_1", "SILVER_1"]}, True),
        ({"layer": {"Gold_1"}}, False),
        ({"layer": []}, False),
        ({"layer": "Silver_1", "plant": "A"}, False),
        ({"plant": None}, True),
        ({"status": "SUCCESS"}, False),
    ],
)
def test_filters(filters, called):
    """All filters must match; several values mean any of them; text is compared without case."""
    hooks, seen = HookManager(), []
    hooks.register("transform_start", seen.append, filters)
    hooks.emit("transform_start", {"layer": "Silver_1", "plant": None})
    assert bool(seen) is called


def test_order_and_all_events():
    """Listeners are called in the order of their registration, those of "*" among them."""
    hooks, seen = HookManager(), []
    for i, event in enumerate(["run_start", "*", "run_end", "run_start"]):
        hooks.register(event, lambda _, i=i: seen.append(i))
    hooks.emit("run_start", {})
    assert seen == [0, 1, 3]


def test_a_listener_that_is_registered_twice_is_called_twice_and_removed_at_once():
    """Unregistering ends all registrations of the listener for the event, and no other."""
    hooks, seen = HookManager(), []
    for _ in range(2):
        hooks.register("run_start", seen.append)
    hooks.register("run_end", seen.append)
    hooks.emit("run_start", {})
    assert len(seen) == 2
    assert hooks.unregister("run_start", seen.append)
    assert not hooks.unregister("run_start", seen.append)
    hooks.emit("run_start", {})
    hooks.emit("run_end", {})
    assert len(seen) == 3


def test_listing():
    """list_hooks shows each listener with its name and filters."""
    hooks = HookManager()
    hooks.register("run_start", test_listing, {"env": "qat"})
    (listed,) = hooks.list_hooks()["run_start"]
    assert listed == {"callback": test_listing, "name": "test_listing", "filters": {"env": "qat"}}


def test_a_listener_may_unregister_itself():
    """A listener can end its own registration, or add another, while it is called."""
    hooks, seen = HookManager(), []

    def once(payload):
        seen.append(1)
        hooks.unregister("run_start", once)
        hooks.register("run_start", lambda _: seen.append(2))

    hooks.register("run_start", once)
    hooks.emit("run_start", {})
    assert seen == [1]
    hooks.emit("run_start", {})
    assert seen == [1, 2]


def test_each_listener_has_its_own_payload():
    """A listener's changes to its payload, at any depth, reach no other listener."""
    hooks, seen = HookManager(), []
    payload = {"layers": ["Bronze"], "counts": {"SUCCESS": 1}, "a": 1}

    def vandal(data):
        data["layers"].clear()
        data["counts"]["SUCCESS"] = 99
        data.pop("a")

    hooks.register("*", vandal)
    hooks.register("*", seen.append)
    hooks.emit("run_end", payload)
    expected = {"layers": ["Bronze"], "counts": {"SUCCESS": 1}, "a": 1}
    assert seen == [expected]
    assert payload == expected


def test_a_vandal_does_not_change_the_result(project):
    """A listener that empties every payload changes neither the run nor what is told of it."""

    def vandal(data):
        for value in data.values():
            if isinstance(value, (list, dict)):
                value.clear()
        data.clear()

    hooks = HookManager()
    hooks.register("*", vandal)
    p = project(row("A", lambda: None), row("B", lambda: None, layer="Gold_1"))
    result = p.run(hooks=hooks)
    assert result["layers_executed"] == ["Silver_1", "Gold_1"]
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert p.sink.run_records[0]["layers"] == "Bronze, Silver_1, Gold_1"


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(1), asyncio.CancelledError(), GeneratorExit(), Unspeakable()],
    ids=lambda e: type(e).__name__,
)
def test_a_raising_listener_is_a_warning(project, error):
    """A listener that raises, whatever it is, is reported once, called again, and changes nothing."""
    calls = []

    def bad(data):
        calls.append(data["event"])
        raise error

    hooks = HookManager()
    hooks.register("*", bad)
    result = project(row("A", lambda: None), row("B", lambda: None)).run(hooks=hooks)
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert [r["attempt"] for r in result.records] == [1, 1]
    assert len(calls) > 6
    (warning,) = result["warnings"]
    assert warning.startswith(
        "listener test_a_raising_listener_is_a_warning.<locals>.bad on '*' raised"
    )
    assert type(error).__name__ in warning


def test_each_raising_listener_is_reported(project):
    """Two listeners of the same name, such as two lambdas, are two; each is reported, once."""
    hooks = HookManager()
    hooks.register("transform_start", lambda data: data["one"])
    hooks.register("transform_start", lambda data: data["two"])
    result = project(row("A", lambda: None), row("B", lambda: None)).run(hooks=hooks)
    assert [w.rpartition(" ")[2] for w in result["warnings"]] == ["'one'", "'two'"]


def test_messages_that_vary_are_reported_once(project):
    """A listener whose error is another one each time is still one warning."""
    hooks, count = HookManager(), iter(range(100))

    def bad(data):
        raise ValueError(next(count))

    hooks.register("*", bad)
    result = project(row("A", lambda: None)).run(hooks=hooks)
    assert len(result["warnings"]) == 1


def test_a_view_that_varies_is_reported_once(project):
    """A view that raises something else each time is one warning, too."""

    class Bad:
        def __init__(self):
            self.count = 0

        def __getattr__(self, name):
            def fail(*_):
                self.count += 1
                raise ValueError(self.count)

            return fail

    result = project(row("A", lambda: print("x"))).run(views=[Bad()])
    assert statuses(result) == {"A": "SUCCESS"}
    assert len(result["warnings"]) == 1


def test_listeners_are_called_from_one_thread(project):
    """Hooks are called by the thread that called run, in order; they need no locks."""
    threads, hooks = set(), HookManager()
    hooks.register("*", lambda _: threads.add(threading.current_thread()))
    project(*(row(f"A{i}", lambda: None) for i in range(8))).run(hooks=hooks, max_workers=4)
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("event", ["run_start", "layer_start", "transform_start", "run_end"])
def test_what_every_payload_has(project, event):
    """Every payload says which event of which run, where, when; transform events of which row."""
    hooks, seen = HookManager(), []
    hooks.register(event, seen.append)
    p = project(row("A", lambda: None, entity_1="Plant_A", entity_2="Dryer_1"))
    result = p.run(hooks=hooks)
    for data in seen:
        assert data["event"] == event
        assert data["run_id"] == result.run_id
        assert (data["project"], data["env"], data["engine"]) == ("P", "qat", "pandas")
        assert "layer" in data
        assert data["timestamp"].utcoffset().total_seconds() == 0
    if event == "transform_start":
        assert (data["plant"], data["asset"], data["attempt"]) == ("Plant_A", "Dryer_1", 1)
        assert (data["transformation_id"], data["function"]) == ("A", "A")
        assert {"error_type", "error_message", "rows_in", "rows_out"} <= data.keys()


def test_text_that_is_no_unicode_breaks_nothing(project):
    """A file name in another encoding, in an error or a print, ends in the log as an escape."""

    def fn():
        print("caf\udce9")
        raise OSError("cannot open caf\udce9.csv")

    hooks, seen = HookManager(), []
    hooks.register("transform_failure", seen.append)
    p = project(row("A", fn))
    result = p.run(hooks=hooks)
    assert statuses(result) == {"A": "FAILED"}
    assert result["warnings"] == []
    assert seen[0]["error_message"] == "cannot open caf\\udce9.csv"
    assert result.transformations["A"].log == "caf\\udce9"
    assert p.sink.records[0]["error_message"] == "cannot open caf\\udce9.csv"


def test_no_secret_reaches_a_listener(project):
    """An error that carries a URL with a password is told without it: to hooks, log and result."""

    def fn():
        print("using postgresql://u:hunter2@h/db")
        raise OSError("cannot reach postgresql://u:hunter2@h/db, password=hunter2")

    hooks, seen = HookManager(), []
    hooks.register("transform_failure", seen.append)
    p = project(row("A", fn))
    result = p.run(hooks=hooks)
    told = [seen, p.sink.records, result, result.transformations["A"].traceback]
    told += [result.transformations["A"].log, result._repr_html_(), result.summary()]
    assert "hunter2" not in "".join(map(str, told))
    assert "u:***@h/db" in seen[0]["error_message"]
    journal = next(p.state_dir.rglob("journal.jsonl")).read_text()
    assert "hunter2" not in journal


def test_a_listener_that_cannot_even_be_named(project):
    """A listener whose own attributes raise is called, and named in the warning by its type."""

    class Broken:
        def __getattr__(self, name):
            raise SystemExit(name)

        def __call__(self, payload):
            raise ValueError("no")

    hooks = HookManager()
    hooks.register("run_start", Broken())
    result = project(row("A", lambda: None)).run(hooks=hooks)
    assert statuses(result) == {"A": "SUCCESS"}
    assert "listener a Broken on 'run_start' raised ValueError: no" in result.warnings


def test_an_event_of_a_function_that_is_spelled_almost_like_ours_gives_a_hint(project):
    """A function that emits it gets the warning where it emits, and its listeners get the event."""
    hooks, seen = HookManager(), []
    with pytest.warns(UserWarning, match="did you mean 'layer_start'"):
        hooks.register("layer_strat", lambda payload: seen.append(payload["x"]))

    def fn(context):
        with pytest.warns(UserWarning, match="did you mean 'layer_start'"):
            context.hooks.emit("layer_strat", {"x": 1})

    assert statuses(project(row("A", fn)).run(hooks=hooks)) == {"A": "SUCCESS"}
    assert seen == [1]


def test_an_interrupt_ends_an_emit_outside_a_run():
    """Without a run, `emit` raises an interrupt of a listener. It only logs other errors."""
    hooks, called = HookManager(), []

    def interrupted(payload):
        called.append(payload)
        raise KeyboardInterrupt

    hooks.register("mine", lambda payload: payload["missing"])
    hooks.register("mine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hooks.emit("mine", {"x": 1})
    assert called == [{"x": 1}]
