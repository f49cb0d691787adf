"""Plans: what would run, in which order, and everything that is wrong, before anything runs."""

from __future__ import annotations

import random
import unicodedata

import pytest
from fakes import MODULE, row, statuses
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from thorough import examples

from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.planning.make_plan import make_plan
from odibi_nb.core.planning.plan import PlanRequest
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.errors import MAX_HINTS, ConfigurationError, CycleError, ManifestError, PlanError
from odibi_nb.views.plan.plan_html import plan_html
from odibi_nb.views.plan.plan_text import plan_text

LAYERS = ("Bronze", "Silver_1", "Gold_1")


def works():
    pass


def out(*tables, mode="overwrite"):
    keys = {"keys": ["id"]} if mode == "merge" else {}
    return [{"table": table, "mode": mode, **keys} for table in tables]


def plan_of(*rows, manifest=None, layers=LAYERS, **request):
    """The plan of *rows*, on a manifest that allows everything."""
    REGISTRY.register("works", "any", works, module=MODULE)
    manifest = ProjectManifest.from_dict(
        {"project": "P", "layer_order": LAYERS, **(manifest or {})}
    )
    wanted = {"env": "qat", "engine": "pandas", "source": "a list", "resolve": REGISTRY.resolve}
    return make_plan(manifest, rows, PlanRequest(**{**wanted, "layers": layers, **request}))


def r(name, **columns):
    """A row whose function works."""
    return row(name, **{"function": "works", **columns})


def problems(*rows, **keywords):
    return [str(problem) for problem in plan_of(*rows, **keywords).problems]


def upstream(*rows, **keywords):
    plan = plan_of(*rows, **keywords)
    assert plan.problems == ()
    return {name: list(planned.upstream) for name, planned in plan.rows.items()}


# -- functions, modules, engines ---------------------------------------------------------------


def test_what_a_planned_row_knows():
    """A planned row has its function, its keywords, its engine and its policy."""
    plan = plan_of(r("A", constants={"timeout_seconds": 5, "retry": {"max_retries": 1}}))
    planned = plan.rows["A"]
    assert planned.fn is works
    assert planned.keywords == ()
    assert planned.engine == "pandas"
    assert planned.retry.max_retries == 1
    assert planned.timeout_seconds == 5
    assert planned.layer == "Silver_1"


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"module": "no_such_module"},
            "no module 'no_such_module': it must be beside the manifest or installed",
        ),
        (
            {"module": "odibi_nb.ingset"},
            "no module 'odibi_nb.ingset' (did you mean 'odibi_nb.ingest'?)",
        ),
        (
            {"module": "json", "function": "lods"},
            "module 'json' has no function 'lods' (did you mean",
        ),
        ({"module": "json", "function": "xyz"}, "module 'json' has no function 'xyz'"),
        (
            {"module": "os.path", "function": "join"},
            "os.path.join cannot be called: its parameters 'a' cannot be filled",
        ),
        ({"constants": {"engine": "sparkk"}}, "unknown engine 'sparkk' (did you mean 'spark'?)"),
        ({"constants": {"engine": "xyz"}}, "unknown engine 'xyz': expected 'pandas' or 'spark'"),
        ({"constants": {"engine": 3}}, "unknown engine 3: expected 'pandas' or 'spark'"),
    ],
)
def test_what_is_not_there(columns, problem):
    """An unknown module, function or engine is one problem, with what was probably meant."""
    (found,) = problems(r("A", **columns))
    assert found.startswith(problem)
    assert " - at row 'A'" in found


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError"])
def test_a_module_may_raise_at_the_name_of_a_function(tmp_path, monkeypatch, error):
    """A module that makes its functions when they are asked for may fail: the row has a problem, and no other row."""
    name = f"makes_functions_{error.lower()}"
    text = f"def __getattr__(name):\n    raise {error}(name + ' is not ready')\n"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert problems(r("A", module=name), r("B")) == [
        f"{name}.works cannot be called: works is not ready - at row 'A'"
    ]


def test_modules_that_are_not_allowed():
    """With transformation_modules a row may only name those; the ready-made ingest always."""
    manifest = {"transformation_modules": ["fake", MODULE]}
    assert (
        problems(r("A"), r("B", module="odibi_nb.ingest", function="load_csv"), manifest=manifest)
        == []
    )
    assert problems(r("A", module="os", function="system"), manifest=manifest) == [
        (
            "module 'os' is not allowed: the manifest's transformation_modules are fake, "
            f"{MODULE} - at row 'A'"
        )
    ]


def test_a_module_that_is_not_allowed_is_not_imported(tmp_path, monkeypatch):
    """Nothing of a module that is not allowed is executed."""
    (tmp_path / "evil_module.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = problems(r("A", module="evil_module"), manifest={"transformation_modules": [MODULE]})
    assert "is not allowed" in found


def test_the_rows_own_engine():
    """constants.engine overrides the run's engine for one row, in any case."""
    plan = plan_of(r("A", constants={"engine": "Spark"}), r("B"))
    assert plan.problems == ()
    assert {name: planned.engine for name, planned in plan.rows.items()} == {
        "A": "spark",
        "B": "pandas",
    }


# -- policies ----------------------------------------------------------------------------------


def test_whose_retry_counts():
    """A row's retry goes before its layer's, the layer's before the run's; each overlays."""
    plan = plan_of(
        r("A", constants={"retry": {"base_delay": 1}}),
        r("B", constants={"retry": 0}),
        r("C", constants={"retry": False}),
        r("D", constants={}),
        r("E", constants={}, layer="Gold_1"),
        r("F", constants={"retry": 7}),
        manifest={"layers": {"Silver_1": {"retry": {"max_retries": 5}}}},
        retry={"max_retries": 2, "jitter": 0},
    )
    assert plan.problems == ()
    found = {
        n: (p.retry.max_retries, p.retry.base_delay, p.retry.jitter) for n, p in plan.rows.items()
    }
    assert found == {
        "A": (5, 1, 0),
        "B": (0, 2, 0),
        "C": (0, 2, 0),
        "D": (5, 2, 0),
        "E": (2, 2, 0),
        "F": (7, 2, 0),
    }


def test_whose_timeout_counts():
    """A row's timeout goes before its layer's, the layer's before the run's."""
    plan = plan_of(
        r("A", constants={"timeout_seconds": 1.5}),
        r("B"),
        r("C", layer="Gold_1"),
        manifest={"layers": {"Silver_1": {"timeout_seconds": 5}}},
        timeout_seconds=9,
    )
    assert {n: p.timeout_seconds for n, p in plan.rows.items()} == {"A": 1.5, "B": 5, "C": 9}


@pytest.mark.parametrize(
    ("constants", "problem"),
    [
        (
            {"retry": {"max_retrys": 1}},
            "(did you mean 'max_retries'?) - at row 'A', constants.retry.",
        ),
        (
            {"retry": "often"},
            "expected `int`, got `str`, found 'often' - at row 'A', constants.retry",
        ),
        ({"retry": []}, "expected `int`, got `array`, found [] - at row 'A', constants.retry"),
        ({"retry": -1}, "expected `int` >= 0, found -1 - at row 'A', constants.retry"),
        (
            {"retry": {"base_delay": -1}},
            "expected `float` >= 0.0, found -1 - at row 'A', constants.retry",
        ),
        (
            {"timeout_seconds": 0},
            "expected seconds above 0, found 0 - at row 'A', constants.timeout",
        ),
        ({"timeout_seconds": "5"}, "expected seconds above 0, found '5' - at row 'A', constants."),
        (
            {"timeout_seconds": True},
            "expected seconds above 0, found True - at row 'A', constants.",
        ),
        ({"priority": "high"}, "expected a number, found 'high' - at row 'A', constants.priority"),
        ({"priority": True}, "expected a number, found True - at row 'A', constants.priority"),
        ({"priority": 10**400}, "expected a number, found 1000"),
        ({"timeout_seconds": 10**400}, "expected seconds above 0, found 1000"),
        ({"retry": {"base_delay": 10**400}}, "constants.retry.base_delay"),
        ({"checks": [{"row_count": {"min": 10**400}}]}, "constants.checks[0]"),
        ({"checks": [{"fresh": {"at": f"{10**400} days"}}]}, "constants.checks[0]"),
        (
            {"depends_on": 3},
            "expected a list of transformation ids, found 3 - at row 'A', constants.",
        ),
        (
            {"depends_on": [3]},
            "expected a list of transformation ids, found [3] - at row 'A', const",
        ),
    ],
)
def test_reserved_constants_that_cannot_be(constants, problem):
    """A reserved constant with a value it cannot have is a problem with its place."""
    (found,) = problems(r("A", constants=constants))
    assert problem in found


def test_a_layers_retry_is_blamed_on_the_layer():
    """A problem of a layer's retry is reported once, with its place in the manifest."""
    rows = [r(f"A{i}", constants={"retry": {"jitter": i}} if i % 2 else {}) for i in range(4)]
    found = problems(*rows, manifest={"layers": {"Silver_1": {"retry": {"max_retrys": 1}}}})
    assert found == [
        (
            "unknown field 'max_retrys' (did you mean 'max_retries'?)"
            " - at manifest, $.layers.Silver_1.retry.max_retrys"
        )
    ]


# -- edges -------------------------------------------------------------------------------------


def test_edges_from_outputs_to_inputs():
    """A row waits for the rows that write its inputs: in its layer, and in earlier layers."""
    assert upstream(
        r("B", layer="Bronze", outputs=out("bronze.raw")),
        r("S1", inputs=["Bronze.RAW"], outputs=out("silver.x")),
        r("S2", inputs=[{"table": "`silver`.`x`"}], outputs=out("silver.y")),
        r("G", layer="Gold_1", inputs=["silver.y ", "bronze.raw"]),
        r("other"),
    ) == {"B": [], "S1": ["B"], "other": [], "S2": ["S1"], "G": ["B", "S2"]}


def test_a_name_without_schema_is_in_the_default_one():
    """`x` and `default.x` are the same table."""
    assert upstream(r("A", outputs=out("x")), r("B", inputs=["default.X"]))["B"] == ["A"]
    assert upstream(r("A", outputs=out("default.x")), r("B", inputs=["x"]))["B"] == ["A"]


def test_queries_wait_for_the_tables_they_mention():
    """A query's edges come from its tables, not from its literals and comments."""
    sql = """
        SELECT 'silver.literal', a.x -- silver.comment isn't read
        FROM Silver.A a /* silver.comment */ JOIN `silver`.`b` ON a.x = b.x
    """
    tables = ["a", "b", "literal", "comment"]
    rows = [r(name, outputs=out(f"silver.{name}")) for name in tables]
    assert upstream(*rows, r("Q", inputs=[{"type": "query", "sql": sql}]))["Q"] == ["a", "b"]


def test_a_row_that_reads_what_it_writes():
    """A row that reads its own output does not wait for itself."""
    assert upstream(r("A", inputs=["t.a"], outputs=out("t.a", mode="merge"))) == {"A": []}


def test_a_row_that_reads_what_a_later_layer_writes():
    """A Silver row that reads a Gold table reads what is there: it does not wait for a later layer."""
    assert upstream(
        r("S", inputs=["gold.x"], outputs=out("silver.x")),
        r("G", layer="Gold_1", inputs=["silver.x"], outputs=out("gold.x")),
    ) == {"S": [], "G": ["S"]}


def test_several_writers_of_one_table():
    """A reader waits for all that write its table."""
    assert upstream(
        r("A", outputs=out("t.x")),
        r("B", outputs=out("t.x", mode="append")),
        r("C", outputs=out("t.x", mode="merge")),
        r("D", inputs=["t.x"]),
    )["D"] == ["A", "B", "C"]


def test_two_that_overwrite_one_table():
    """Two rows that overwrite the same table, however spelt, are a problem that names both."""
    assert problems(
        r("A", outputs=out("t.x")),
        r("B", outputs=out("`T`.X"), layer="Gold_1"),
        r("C", outputs=out("t.x", mode="append")),
    ) == ["is overwritten by more than one row: A, B - at table t.x"]


def test_a_row_that_overwrites_a_table_twice():
    """A row that names the same output twice would overwrite itself."""
    assert problems(r("A", outputs=out("t.x", "T.x"))) == [
        "is named by more than one of its outputs - at row 'A', table t.x"
    ]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("reads", [True, False])
def test_names_that_only_look_alike(forms, reads):
    """A row that reads or writes a table which only looks like another row's, by decomposed accents, is a problem."""
    first, second = (unicodedata.normalize(form, "silver.mätning") for form in forms)
    two = r("B", inputs=[second]) if reads else r("B", outputs=out(second))
    (problem,) = problems(r("A", outputs=out(first)), two)
    assert problem.startswith("only looks like the table that row 'A' writes")
    assert f"row 'B', table {second}" in problem
    same = r("B", inputs=[first]) if reads else r("B", outputs=out(first, mode="append"))
    assert problems(r("A", outputs=out(first, mode="append")), same) == []


def test_depends_on():
    """constants.depends_on adds edges that no table tells of; one id or several."""
    assert upstream(
        r("A"),
        r("B", constants={"depends_on": "A"}),
        r("C", constants={"depends_on": ["A", "B", "A"]}),
        r("G", layer="Gold_1", constants={"depends_on": ["A"]}),
    ) == {"A": [], "B": ["A"], "C": ["A", "B"], "G": ["A"]}


def test_depends_on_what_does_not_run():
    """To wait for a row that is disabled, or whose layer is not run, is to wait for nothing."""
    rows = [
        r("off", enabled=0),
        r("B", layer="Bronze"),
        r("A", constants={"depends_on": ["off", "B"]}),
    ]
    assert upstream(*rows, layers=("Silver_1",)) == {"A": []}


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            ["A10"],
            "unknown transformation 'A10' (did you mean 'A1'?) - at row 'X', constants.depends_on",
        ),
        (["xyz"], "unknown transformation 'xyz' - at row 'X', constants.depends_on"),
        (
            ["G"],
            "'G' is in layer Gold_1, which runs after Silver_1 - at row 'X', constants.depends_on",
        ),
        (["X"], "transformations wait for each other: X -> X"),
    ],
)
def test_depends_on_what_cannot_be(names, problem):
    """An id that does not exist, runs later or is the row itself is a problem."""
    rows = [r("A1"), r("G", layer="Gold_1"), r("X", constants={"depends_on": names})]
    assert problems(*rows) == [problem]


def test_guesses_are_made_for_the_first_problems_only():
    """Among thousands of unknown ids each is told, but what was meant is only guessed for some."""
    rows = [r(f"ROW_{i:03}", constants={"depends_on": [f"ROWS_{i:03}"]}) for i in range(60)]
    found = problems(*rows, overrides={"ROWZ_001": {}})
    assert len(found) == 61
    assert sum("did you mean" in problem for problem in found) == MAX_HINTS


def test_a_cycle_is_told_with_its_path():
    """Rows that wait for each other are a problem that names them in their order."""
    rows = [
        r("A", inputs=["t.c"], outputs=out("t.a")),
        r("B", inputs=["t.a"], outputs=out("t.b")),
        r("C", inputs=["t.b"], outputs=out("t.c")),
        r("D", inputs=["t.c"]),
    ]
    plan = plan_of(*rows)
    assert plan.cycle == ("A", "C", "B", "A")
    with pytest.raises(CycleError) as excinfo:
        plan.raise_for_problems()
    assert excinfo.value.cycle == ("A", "C", "B", "A")
    assert str(excinfo.value) == "a list: transformations wait for each other: A -> C -> B -> A"
    for _ in range(5):
        random.shuffle(rows)
        assert plan_of(*rows).cycle == ("A", "C", "B", "A")


def test_every_cycle_is_told():
    """Two cycles are two problems, beside all others."""
    rows = [r(n, constants={"depends_on": [m]}) for n, m in ("AB", "BA", "CD", "DC", "EE")]
    found = problems(*rows, r("F", module="nowhere"))
    assert found[0].startswith("no module 'nowhere'")
    assert found[1:] == [
        "transformations wait for each other: A -> B -> A",
        "transformations wait for each other: C -> D -> C",
        "transformations wait for each other: E -> E",
    ]


# -- which rows --------------------------------------------------------------------------------


def test_ids_that_stand_twice():
    """An id that two enabled rows share is a problem; a disabled copy is none."""
    assert problems(r("A"), r("A"), r("A ")) == ["duplicate transformation_id - at row 'A'"]
    assert problems(r("A"), r("A", enabled=0)) == []
    assert problems(r("A"), r("A", layer="Gold_1")) == ["duplicate transformation_id - at row 'A'"]


def test_an_own_id_column_does_not_hide_the_transformation_id():
    """A table with a column `id` besides transformation_id is planned by transformation_id."""
    plan = plan_of({"id": 1, **r("A")}, {**r("B"), "id": 2})
    assert list(plan.rows) == ["A", "B"]
    assert [p.id for p in plan.rows.values()] == ["A", "B"]


def test_layers_are_compared_without_case():
    """A row's layer may be spelt in any case; the plan spells it as the manifest does."""
    plan = plan_of(r("A", layer="SILVER_1"), r("B", layer="gold_1 "))
    assert [p.layer for p in plan.rows.values()] == ["Silver_1", "Gold_1"]


def test_disabled_rows():
    """Disabled rows are listed and do not run; a malformed one is only a notice."""
    plan = plan_of(
        r("A"),
        r("B", enabled=False, module="nowhere"),
        r("C", enabled="0", inputs="["),
        r("D", enabled=None, constants="[]"),
        r("E", enabled=0.0, constants="[]"),
    )
    assert plan.problems == ()
    assert list(plan.rows) == ["A"]
    assert plan.disabled == ("B", "C", "D", "E")
    assert [n.partition(":")[0] for n in plan.notices] == [
        f"disabled row {n!r} is malformed" for n in "CDE"
    ]


def test_rows_of_layers_that_are_not_run():
    """Rows of layers that were not asked for are not looked at, however malformed."""
    plan = plan_of(r("A"), r("B", layer="Gold_1", inputs="["), layers=("Silver_1",))
    assert (list(plan.rows), plan.problems, plan.notices) == (["A"], (), ())


def test_rows_of_a_layer_that_does_not_exist():
    """Enabled rows whose layer the manifest does not name are a notice, with what was meant."""
    plan = plan_of(
        r("A"),
        r("B", layer="Sliver_1"),
        r("C", layer="sliver_1"),
        r("D", layer="Sliver_1", enabled=0),
    )
    assert plan.problems == ()
    assert plan.notices == (
        "2 rows of layer 'Sliver_1' never run: layer_order does not name it (did you mean 'Silver_1'?)",
    )


def test_a_layer_without_rows():
    """A layer without rows is no problem."""
    plan = plan_of(r("A"), layers=("Silver_1", "Gold_1"))
    assert plan.layers == ("Silver_1", "Gold_1")
    assert plan.by_layer()["Gold_1"] == []


def test_overrides():
    """Constants of the run replace the row's, key by key, the reserved ones too."""
    row_ = r("A", constants={"a": 1, "b": 1, "engine": "pandas"})
    plan = plan_of(row_, overrides={"A": {"b": 2, "engine": "spark"}})
    assert plan.rows["A"].transformation.constants == {"a": 1, "b": 2, "engine": "spark"}
    assert plan.rows["A"].engine == "spark"
    assert plan.plan_hash() != plan_of(row_).plan_hash()


def test_overrides_of_rows_that_do_not_run():
    """An override for an id that does not run is a problem with what was probably meant."""
    rows = [r("SILVER_001"), r("OFF", enabled=0), r("G", layer="Gold_1")]
    overrides = {"SILVER_01": {"a": 1}, "xyz": {}, "OFF": {}, "G": {}}
    assert problems(*rows, overrides=overrides, layers=("Silver_1",)) == [
        "no transformation 'SILVER_01' in this run (did you mean 'SILVER_001'?) - at overrides.SILVER_01",
        "no transformation 'xyz' in this run - at overrides.xyz",
        "no transformation 'OFF' in this run: it is disabled - at overrides.OFF",
        "no transformation 'G' in this run: its layer is not run - at overrides.G",
    ]


# -- order -------------------------------------------------------------------------------------


def ranks(plan):
    return [name for name, _ in sorted(plan.rows.items(), key=lambda item: item[1].rank)]


def test_the_longest_remaining_path_starts_first():
    """Without history each row counts a second: the longest chain starts first, then by id."""
    plan = plan_of(
        r("z1", outputs=out("t.z1")),
        r("z2", inputs=["t.z1"], outputs=out("t.z2")),
        r("z3", inputs=["t.z2"]),
        r("b"),
        r("a"),
    )
    assert ranks(plan) == ["z1", "z2", "a", "b", "z3"]
    assert [p.depth for p in plan.rows.values()] == [0, 0, 0, 1, 2]


def test_history_changes_the_ranks():
    """A row that took long in the past starts early; what is expected is in the plan."""
    rows = [r("a"), r("b"), r("c")]
    plan = plan_of(*rows, expected={"c": 60.0, "b": 5.0, "gone": 9.0})
    assert ranks(plan) == ["c", "b", "a"]
    assert plan.rows["c"].expected_seconds == 60.0
    assert plan.rows["a"].expected_seconds is None


def test_priority_goes_first():
    """constants.priority goes before everything else; negative ones come last."""
    rows = [r("a"), r("b", constants={"priority": 1}), r("c", constants={"priority": -0.5})]
    assert ranks(plan_of(*rows, expected={"c": 99.0})) == ["b", "a", "c"]


names = st.sampled_from([f"n{i}" for i in range(8)])
tables = st.lists(st.sampled_from([f"t.x{i}" for i in range(5)]), max_size=2)


@st.composite
def registries(draw):
    ids = draw(st.lists(names, unique=True, min_size=1))
    return [
        r(
            name,
            layer=draw(st.sampled_from(LAYERS)),
            inputs=draw(tables),
            outputs=out(*draw(tables), mode=draw(st.sampled_from(["overwrite", "append"]))),
            constants={
                "depends_on": draw(st.lists(names, max_size=2)),
                "priority": draw(st.integers(0, 2)),
            },
            enabled=draw(st.sampled_from([1, 1, 1, 0])),
            module=draw(st.sampled_from([MODULE, MODULE, MODULE, "nowhere"])),
        )
        for name in ids
    ]


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(rows=registries(), seed=st.integers(0, 5), expected=st.dictionaries(names, st.floats(0, 9)))
@example(rows=[r("A", constants={"depends_on": ["A"]})], seed=0, expected={})
def test_the_same_rows_make_the_same_plan(rows, seed, expected):
    """The plan does not depend on the order of the rows: order, ranks, upstream, problems."""
    one = plan_of(*rows, expected=expected)
    shuffled = random.Random(seed).sample(rows, len(rows))
    two = plan_of(*shuffled, expected=expected)
    assert list(one.rows.items()) == list(two.rows.items())
    assert sorted(one.problems) == sorted(two.problems)
    assert one.plan_hash() == two.plan_hash()
    assert sorted(p.rank for p in one.rows.values()) == list(range(len(one.rows)))
    if not one.problems:
        position = {name: i for i, name in enumerate(one.rows)}
        for name, planned in one.rows.items():
            assert all(position[other] < position[name] for other in planned.upstream)
            assert all(one.rows[other].rank != planned.rank for other in planned.upstream)


def test_everything_at_once():
    """One plan tells all: rows that cannot be parsed, found, ordered or configured."""
    found = problems(
        r("A", inputs="["),
        r("B", module="nowhere"),
        r("C", constants={"engine": "x", "retry": "y", "timeout_seconds": "z"}),
        r("D", outputs=out("t.x")),
        r("E", outputs=out("t.x")),
        r("F", constants={"depends_on": ["F"]}),
        r("F"),
        overrides={"Z": {}},
    )
    for part in (
        "row 'A', inputs",
        "row 'B'",
        "row 'C', constants.engine",
        "row 'C', constants.retry",
        "row 'C', constants.timeout_seconds",
        "table t.x",
        "F -> F",
        "duplicate transformation_id - at row 'F'",
        "overrides.Z",
    ):
        assert sum(part in problem for problem in found) == 1, part
    assert len(found) == 9
    with pytest.raises(PlanError, match="a list: 9 problems\n  - "):
        plan_of(
            r("A", inputs="["), *(r(n, module="nowhere") for n in "BCDEFGHI")
        ).raise_for_problems()


# -- through the orchestrator ------------------------------------------------------------------


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "rows",
    [
        [row("A", works, inputs="[")],
        [row("A", works), row("B", works, module="nowhere")],
        [row("A", works), row("B", works, module="beside", function="nothing")],
        [],
    ],
)
def test_a_plan_with_problems_changes_nothing(project, tmp_path, rows):
    """When the plan has problems, no function was called, no event told and no file written."""
    (tmp_path / "beside.py").write_text("def fn(): pass\n")
    calls, hooks = [], HookManager()
    hooks.register("*", calls.append)
    p = project(*rows, row("Z", lambda: calls.append("called")) if rows else r("Q", project="Q"))
    before = listing(tmp_path)
    with pytest.raises(PlanError):
        p.run(hooks=hooks)
    assert calls == []
    assert listing(tmp_path) == before
    assert p.sink.records == []
    assert p.sink.closed is bool(rows)


def test_planning_changes_nothing(project, tmp_path):
    """plan() calls no transformation and writes nothing, whether or not it finds problems."""
    calls = []
    p = project(row("A", lambda: calls.append("called")))
    before = listing(tmp_path)
    plan = p.orchestrator().plan()
    assert list(plan.rows) == ["A"]
    assert "<table" in plan._repr_html_()
    assert (calls, listing(tmp_path)) == ([], before)


@pytest.mark.parametrize(
    ("name", "env", "message"),
    [
        (
            "P",
            "qta",
            "no rows for project 'P' in env 'qta' (did you mean 'qat'?); it has rows for: qat (1",
        ),
        ("P", "xyz", "no rows for project 'P' in env 'xyz'; it has rows for: qat (1 enabled)"),
        ("Pp", "qat", "no rows for project 'Pp' (did you mean 'P'?); it has rows for: 'P'"),
    ],
)
def test_a_registry_without_rows_says_what_it_has(project, tmp_path, name, env, message):
    """If a project and environment have no rows, the message lists the ones that have."""
    p = project(row("A", works), manifest={"project": name})
    with pytest.raises(PlanError) as excinfo:
        p.orchestrator(project=name, env=env).run()
    assert message in str(excinfo.value)


def test_an_empty_registry_says_how_to_fill_it(project):
    """An empty registry ends in one message with the command that loads rows."""
    with pytest.raises(PlanError) as excinfo:
        project().run()
    text = "no rows for project 'P'. Load some: odibi registry import FILE 'P' --env qat"
    assert str(excinfo.value) == f"a list: {text}"


def test_a_selected_layer_without_rows(project, capsys):
    """A layer without enabled rows is said aloud and does not fail the run."""
    result = project(row("A", works)).run(target_layers=["gold_1"], log_level="WARNING")
    assert result["status"] == "success"
    assert result["layers_executed"] == []
    assert "No enabled transformations found for P (qat), layer Gold_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_layers": ["Glod_1"]}, "unknown layer 'Glod_1' (did you mean 'Gold_1'?)"),
        ({"target_layers": [3]}, "target_layers: expected a list of layers' names, found [3]"),
        ({"target_layers": 3}, "target_layers: expected a list of layers' names, found 3"),
        ({"cache_plan": {"Glod_1": ["t.t"]}}, "unknown layer 'Glod_1' (did you mean 'Gold_1'?)"),
        (
            {"cache_plan": ["t.t"]},
            "cache_plan: expected layers with lists of tables, found ['t.t']",
        ),
        ({"cache_plan": {"Gold_1": 3}}, "cache_plan: expected layers with lists of tables, found"),
        ({"retry": {"max_retrys": 1}}, "unknown field 'max_retrys' (did you mean 'max_retries'?)"),
        ({"retry": "often"}, "retry: expected a number of retries or an object, found 'often'"),
        ({"timeout_seconds": 0}, "timeout_seconds: expected seconds above 0, found 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds: expected seconds above 0, found nan"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds: expected seconds above 0, found inf"),
        ({"timeout_seconds": "5"}, "timeout_seconds: expected seconds above 0, found '5'"),
        ({"overrides": {"A": 3}}, "overrides: expected transformation ids with constants, found"),
        (
            {"overrides": ["A"]},
            "overrides: expected transformation ids with constants, found ['A']",
        ),
        ({"max_workers": 0}, "max_workers: expected a whole number of at least 1, found 0"),
        ({"max_workers": True}, "max_workers: expected a whole number of at least 1, found True"),
        ({"max_workers": "2"}, "max_workers: expected a whole number of at least 1, found '2'"),
        ({"on_error": "halt"}, "on_error: expected 'continue' or 'stop', found 'halt'"),
        ({"schedule": "graf"}, "schedule: expected 'layers' or 'graph', found 'graf'"),
        ({"on_erorr": "stop"}, "unknown option 'on_erorr' (did you mean 'on_error'?)"),
    ],
)
def test_options_that_cannot_be(project, tmp_path, options, message):
    """An option with a value it cannot have is one clear message; nothing has run."""
    p = project(row("A", works))
    before = listing(tmp_path)
    with pytest.raises(ConfigurationError) as excinfo:
        p.run(**options)
    assert message in str(excinfo.value)
    assert listing(tmp_path) == before


def test_options_in_any_form(project):
    """One layer or table may be given as text, retries as a number."""
    p = project(row("A", lambda: [1], outputs=out("t.a")), row("B", works, layer="Gold_1"))
    result = p.run(target_layers="silver_1", cache_plan={"silver_1": "t.a"}, retry=1)
    assert statuses(result) == {"A": "SUCCESS"}
    assert p.tables.cached == ["t.a"]


def test_all_wrong_options_are_told_at_once(project):
    """Everything wrong with the options is told together."""
    with pytest.raises(ConfigurationError) as excinfo:
        project(row("A", works)).run(max_workers=0, on_error="x", foo=1, overrides=3, retry="x")
    assert len(excinfo.value.problems) == 5


def test_an_unknown_environment_and_engine(project):
    """They are refused before anything is read."""
    p = project(row("A", works), manifest={"environments": ["qat"]})
    with pytest.raises(ManifestError, match=r"unknown env 'qta' \(did you mean 'qat'\?\)"):
        p.orchestrator(env="qta")
    with pytest.raises(
        ConfigurationError, match=r"unknown engine 'panda' \(did you mean 'pandas'\?\)"
    ):
        p.orchestrator(engine="panda")


def test_secrets_are_not_shown_by_a_plan():
    """Constants whose key looks secret, and passwords in URLs, are in no picture of a plan."""
    plan = plan_of(
        r(
            "A",
            inputs=["https://u:hunter2@h/x.csv", {"path": "https://h/x.csv?sig=hunter2"}],
            constants={"db_password": "hunter2", "source": "postgresql://u:hunter2@h/db"},
        ),
        r("B", inputs=[{"password": "hunter2"}], constants={"engine": "postgresql://u:hunter2@h"}),
    )
    for text in (plan_html(plan), plan_text(plan), "\n".join(map(str, plan.problems))):
        assert "hunter2" not in text
    assert "***" in plan_html(plan)


def test_secrets_are_not_recorded_in_a_run(project):
    """The options of a run are recorded without secrets."""
    p = project(row("A", lambda constants: None))
    p.run(overrides={"A": {"api_key": "hunter2", "url": "https://u:hunter2@h", "limit": 3}})
    recorded = p.sink.run_records[0]["options"]
    assert "hunter2" not in recorded
    assert '"limit":3' in recorded
    assert '"api_key":"***"' in recorded


def test_markup_in_a_plan_is_shown_as_text():
    """Ids, modules, constants and problems are escaped in a plan's HTML."""
    bad = "<script>alert(1)</script>"
    plan = plan_of(
        r(bad, constants={bad: bad}, inputs=[f"data/{bad}"], module=bad, layer="Bronze"),
        r("B", inputs=[bad]),
        r("off" + bad, enabled=0),
        r("C", layer=bad),
        manifest={"project": bad},
        env=bad,
        source=bad,
    )
    html = plan_html(plan)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 5


def test_steps_that_contradict_what_rows_read():
    """A row of a step cannot wait for one of a later step: a problem, where steps order the layer."""
    rows = [
        r("A", outputs=out("t.a"), step=3),
        r("B", inputs=["t.a"], outputs=out("t.b")),
        r("C", inputs=["t.b"], step=1),
    ]
    ordered = {"layers": {"Silver_1": {"ordered_by_step": True}}}
    assert problems(*rows) == []
    assert problems(*rows, manifest=ordered) == [
        (
            "step 1 comes before step 3 of 'A', which the row waits for: change a step, or "
            "layers.Silver_1.ordered_by_step in the manifest - at row 'C', step"
        )
    ]
