"""Selection: which rows a project's user means, and what is said when that is not clear."""

from __future__ import annotations

import time

import pytest
from fakes import FakeProject, MemorySink, row, statuses
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.planning.graph import passed_over
from odibi_nb.core.planning.selection import Population, Selectable, exactly, reached, select
from odibi_nb.errors import PlanError

LAYERS = ("Bronze", "Silver_1", "Gold_1")


def selectable(layer="Silver_1", function="clean", engine="pandas", tags=(), plant=None):
    return Selectable(layer, "plant.silver", function, engine, tuple(tags), (plant, None, "Line 1"))


ROWS = {
    "BRONZE_1": selectable("Bronze", "load", tags=["daily"], plant="Plant_A"),
    "BRONZE_2": selectable("Bronze", "load", plant="Plant_B"),
    "SILVER_1": selectable(tags=["daily", "Slow one"], plant="Plant_A"),
    "SILVER_2": selectable(function="clean_all", engine="spark"),
    "GOLD_1": selectable("Gold_1", "sum", plant="Plant_A"),
    "odd, name+1": selectable(),
    "layer:Silver_1": selectable("Gold_1"),
    'say "hi"': selectable(),
}
UPSTREAM = {
    "BRONZE_1": (),
    "BRONZE_2": (),
    "SILVER_1": ("BRONZE_1",),
    "SILVER_2": ("BRONZE_2",),
    "GOLD_1": ("SILVER_1", "SILVER_2"),
}
STATES = {
    "last": {"BRONZE_1": "SUCCESS", "SILVER_1": "FAILED", "GOLD_1": "SKIPPED", "OLD": "FAILED"},
    "r1": {"BRONZE_2": "ABANDONED", "SILVER_2": "CANCELLED", "OFF": "FAILED"},
}


def states(run):
    if run not in STATES:
        raise LookupError(f"no run {run!r}")
    return STATES[run]


POPULATION = Population(
    rows=ROWS,
    upstream=UPSTREAM,
    layers=LAYERS,
    engines=("pandas", "spark"),
    disabled={"OFF"},
    labels={"werk": "entity_1", "line": "entity_3"},
    states=states,
)


def chosen(*include, exclude=()):
    found = select(POPULATION, include, exclude)
    assert found.problems == []
    return sorted(found.ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SILVER_1", "SILVER_1"),
        ("SILVER_?", "SILVER_1 SILVER_2"),
        ("*_[2]", "BRONZE_2 SILVER_2"),
        ("+GOLD_1", "BRONZE_1 BRONZE_2 GOLD_1 SILVER_1 SILVER_2"),
        ("1+GOLD_1", "GOLD_1 SILVER_1 SILVER_2"),
        ("0+GOLD_1", "GOLD_1"),
        ("BRONZE_1+", "BRONZE_1 GOLD_1 SILVER_1"),
        ("BRONZE_1+1", "BRONZE_1 SILVER_1"),
        ("+SILVER_1+", "BRONZE_1 GOLD_1 SILVER_1"),
        ("BRONZE_1 GOLD_1", "BRONZE_1 GOLD_1"),
        ("layer:bronze", "BRONZE_1 BRONZE_2"),
        ("layer:*_1,GOLD*", "GOLD_1"),
        ("tag:DAILY", "BRONZE_1 SILVER_1"),
        ('tag:"slow one"', "SILVER_1"),
        ("plant:plant_a", "BRONZE_1 GOLD_1 SILVER_1"),
        ("entity_1:Plant_B", "BRONZE_2"),
        ("WERK:Plant_B", "BRONZE_2"),
        ('line:"Line 1",engine:spark', "SILVER_2"),
        ("engine:spark", "SILVER_2"),
        ("function:load", "BRONZE_1 BRONZE_2"),
        ("function:clean_*", "SILVER_2"),
        ("function:plant.silver.sum", "GOLD_1"),
        ("state:failed", "SILVER_1"),
        ("state:failed+", "GOLD_1 SILVER_1"),
        ("state:unfinished", "GOLD_1 SILVER_1"),
        ("state:any", "BRONZE_1 GOLD_1 SILVER_1"),
        ("state:success", "BRONZE_1"),
        ("state:failed@r1", "BRONZE_2"),
        ("state:cancelled@r1,engine:spark", "SILVER_2"),
        ("+GOLD_1,plant:Plant_A", "BRONZE_1 GOLD_1 SILVER_1"),
    ],
)
def test_what_is_meant(text, expected):
    """Ids, patterns, ``+``, methods, a space for "or" and a comma for "and"; from text or a list."""
    assert chosen(text) == expected.split()
    assert chosen(f"  {text}\n") == expected.split()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_an_id_is_an_id(name):
    """An argument that equals an id selects that row, with or without quotes, whatever its characters."""
    assert chosen(name) == [name]
    assert chosen(exactly(name)) == [name]
    assert chosen(f"{exactly(name)},*") == [name]


def test_without_a_selection_all_rows_are_meant():
    """Nothing selected is everything, and ``exclude`` takes away from it."""
    assert chosen() == sorted(ROWS)
    assert chosen(exclude=["layer:Bronze"]) == sorted(ROWS.keys() - {"BRONZE_1", "BRONZE_2"})
    assert chosen("SILVER_*", exclude=["SILVER_2 GOLD_1"]) == ["SILVER_1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SILVR_1", "no transformation 'SILVR_1' (did you mean 'SILVER_1'?)"),
        ("silver_1", "no transformation 'silver_1' (did you mean 'SILVER_1'?)"),
        ("+SILVR_1+", "no transformation 'SILVR_1' (did you mean 'SILVER_1'?)"),
        ("SLV_*", "no transformation id matches 'SLV_*'"),
        ('"SILVER_*"', "no transformation 'SILVER_*' (did you mean"),
        ("OFF", "transformation 'OFF' is disabled"),
        (
            "lyer:Bronze",
            "unknown method 'lyer:' (did you mean 'layer'?); the methods are layer:, tag:",
        ),
        ("layer:Bonze", "no row has layer 'Bonze' (did you mean 'Bronze'?)"),
        ("layer:xyz", "no row has layer 'xyz': choose from Bronze, Silver_1, Gold_1"),
        ("layer:", "layer: needs a value"),
        ("tag:dayly", "no row has tag 'dayly' (did you mean 'daily'?)"),
        ("plant:Plant_C", "no row has plant 'Plant_C' (did you mean 'Plant_"),
        ("engine:sprak", "no row has engine 'sprak' (did you mean 'spark'?)"),
        ("function:lod", "no row has function 'lod' (did you mean 'load'?)"),
        ("state:faild", "unknown state 'faild' (did you mean 'failed'?)"),
        ("state:xyz", "unknown state 'xyz': choose from success, failed"),
        ("state:failed@r9", "no run 'r9'"),
        ("SILVER_1,", "a name is missing"),
        ("+", "a name is missing"),
        ("", "is empty"),
    ],
)
def test_what_is_not_meant(text, problem):
    """An unknown word is a problem with a suggestion."""
    (found,) = select(POPULATION, [text]).problems
    assert found.message.startswith(problem)
    assert found.where == "select"
    (found,) = select(POPULATION, [], [text]).problems
    assert found.where == "exclude"


def test_an_exclusion_of_a_word_that_no_row_has_excludes_nothing():
    """``--exclude tag:nothing`` keeps all rows, with a notice; a word that resembles a row's is a mistake."""
    for term in ("tag:nothing", "plant:zzz", "function:qqqqqq"):
        found = select(POPULATION, [], [term])
        assert (found.ids, found.problems) == (set(ROWS), [])
        assert found.notices[0].endswith(": this excludes nothing")
        assert select(POPULATION, [term]).problems
    assert select(POPULATION, [], ["tag:dayly"]).problems


def test_all_problems_are_told_together():
    """Several mistakes, in ``select`` and ``exclude``, are told at once, each once."""
    found = select(POPULATION, ["A1 A1", "layr:x"], ["B1"])
    assert [(p.where, p.message[:20]) for p in found.problems] == [
        ("select", "no transformation 'A"),
        ("select", "unknown method 'layr"),
        ("exclude", "no transformation 'B"),
    ]


def test_rows_that_a_run_had_and_that_are_gone_are_named():
    """``state:`` says which rows of that run cannot be selected any more, and why."""
    assert select(POPULATION, ["state:failed"]).notices == [
        "OLD, failed before, is gone from the registry: left out"
    ]
    assert select(POPULATION, ["state:failed@r1"]).notices == [
        "OFF, failed before, is disabled: left out"
    ]
    assert select(POPULATION, ["state:any"]).notices == []


# -- laws --------------------------------------------------------------------------------------

NAMES = [f"R{i}" for i in range(8)]


@st.composite
def populations(draw):
    """Rows in a random graph without cycles, with random layers and tags."""
    rows, upstream = {}, {}
    for i, name in enumerate(NAMES):
        tags = draw(st.sets(st.sampled_from("abc")))
        rows[name] = selectable(draw(st.sampled_from(LAYERS)), tags=tags)
        upstream[name] = tuple(draw(st.sets(st.sampled_from(NAMES[:i])))) if i else ()
    return Population(rows=rows, upstream=upstream, layers=LAYERS)


ATOMS = st.one_of(
    st.sampled_from([*NAMES, "R*", "R[0-3]", "*"]), st.sampled_from(LAYERS).map("layer:{}".format)
)
TERMS = st.tuples(st.sampled_from(["", "+", "1+", "2+"]), ATOMS, st.sampled_from(["", "+", "+1"]))
ARGUMENTS = st.lists(TERMS.map("".join), min_size=1, max_size=3).map(",".join)


def ids(population, *include, exclude=()):
    return select(population, include, exclude).ids


@given(populations(), ARGUMENTS, ARGUMENTS)
def test_the_laws_of_selection(population, a, b):
    """Arguments are a union, a comma is an intersection, exclude is a difference; order is nothing."""
    only_a, only_b = ids(population, a), ids(population, b)
    assert ids(population, a, b) == ids(population, f"{b} {a}") == only_a | only_b
    assert ids(population, f"{a},{b}") == ids(population, f"{b},{a}") == only_a & only_b
    assert ids(population, a, exclude=[b]) == only_a - only_b
    assert ids(population, exclude=[b]) == population.rows.keys() - only_b
    assert ids(population, a, exclude=[a]) == set()
    assert only_a <= ids(population, "*") == population.rows.keys()


def ancestors(population, name):
    found = set()
    for other in population.upstream[name]:
        found |= {other} | ancestors(population, other)
    return found


@given(populations(), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_plus_is_everything_upstream_or_downstream(population, name, other):
    """``+id`` is the row with all its ancestors; ``id+`` the rows that have it among theirs."""
    assert ids(population, f"+{name}") == {name} | ancestors(population, name)
    assert (other in ids(population, f"{name}+")) == (name in ids(population, f"+{other}"))
    assert ids(population, f"+{name}+") == ids(population, f"+{name}", f"{name}+")
    assert ids(population, f"1+{name}") == {name, *population.upstream[name]}
    assert ids(population, f"{len(NAMES)}+{name}") == ids(population, f"+{name}")


@given(populations(), st.sets(st.sampled_from(NAMES)))
def test_order_survives_what_is_left_out(population, kept):
    """A row needs a selected row exactly if it did before, also through rows that are left out."""
    edges = {name: set(needed) for name, needed in population.upstream.items()}
    among = passed_over(edges, kept)
    assert among.keys() == kept
    for name in kept:
        assert reached([name], among) == ancestors(population, name) & kept


# -- in a plan and a run -----------------------------------------------------------------------


def fine():
    pass


def fails():
    raise KeyError("broken")


@pytest.fixture
def project(tmp_path):
    """B1 → S1 → G1, B2 → S2; B2 fails, S2 depends on it; OFF is disabled."""
    rows = [
        row("B1", fine, layer="Bronze", outputs=[{"table": "b.x"}], constants={"tags": "daily"}),
        row("B2", fails, layer="Bronze", outputs=[{"table": "b.y"}], constants={"retry": 0}),
        row("S1", fine, inputs=["b.x"], outputs=[{"table": "s.x"}], entity_1="Plant_A"),
        row("S2", fine, inputs=["b.y"], constants={"tags": ["daily", "slow"]}),
        row("G1", fine, layer="Gold_1", inputs=["s.x"], outputs=[{"table": "g.x"}]),
        row("OFF", fine, enabled=0),
    ]
    return FakeProject(tmp_path, rows, {"entity_labels": {"entity_1": "werk", "entity_9": "x"}})


def planned(project, **options):
    plan = project.orchestrator().plan(**options)
    assert plan.problems == ()
    return {name: list(row.upstream) for name, row in plan.rows.items()}


def test_rows_that_are_not_selected_are_no_part_of_the_plan(project):
    """Upstream outside the selection is taken as there; what connects two selected rows still does."""
    assert planned(project, select="S1") == {"S1": []}
    assert planned(project, select=["+G1"]) == {"B1": [], "S1": ["B1"], "G1": ["S1"]}
    assert planned(project, select="B1 G1") == {"B1": [], "G1": ["B1"]}
    assert planned(project, select="tag:daily werk:plant_a") == {"B1": [], "S1": ["B1"], "S2": []}


def test_layers_restrict_what_is_selected(project):
    """The graph goes across all layers; target_layers then says which of the selected rows run."""
    plan = project.orchestrator().plan(select="+G1", target_layers=["Bronze", "Gold_1"])
    assert list(plan.rows) == ["B1", "G1"]
    assert plan.layers == ("Bronze", "Gold_1")
    plan = project.orchestrator().plan(select="+G1", target_layers=["silver_1"])
    assert plan.layers == ("Silver_1",)


def test_layers_without_a_selected_row_are_not_run(project):
    """Layers without selected rows cause no notice."""
    result = project.run(select="S1")
    assert statuses(result) == {"S1": "SUCCESS"}
    assert result.layers_executed == ["Silver_1"]
    assert result.warnings == []


def test_the_plan_says_what_was_selected(project):
    """A plan and a run's record spell the selection as a command would."""
    plan = project.orchestrator().plan(select=["+G1", "tag:daily"], exclude="S*")
    assert plan.selection == "--select +G1 tag:daily --exclude 'S*'"
    assert project.orchestrator().plan().selection == ""
    project.run(select="S1")
    assert project.sink.run_records[-1]["options"] == '{"select":["S1"]}'


def test_selecting_nothing_is_a_problem(project):
    """A selection without a row is one clear problem; so is one whose rows' layers are not run."""
    with pytest.raises(PlanError, match=r"--select S1,G1 selects nothing$"):
        project.run(select="S1,G1")
    with pytest.raises(PlanError, match=r"--select S1 selects nothing in Gold_1$"):
        project.run(select="S1", target_layers=["Gold_1"])
    with pytest.raises(PlanError, match="transformation 'OFF' is disabled - at select"):
        project.run(select="OFF")


def test_only_selected_rows_must_be_right(project):
    """A problem of an unselected row does not count; a malformed row is named."""
    project.rows += [
        row("WRONG", fine, function="no_such_function"),
        row("ODD", fine, constants="{", layer="Gold_1"),
        row("TWICE", fine, outputs=[{"table": "b.x"}], constants={"depends_on": ["NOBODY"]}),
    ]
    plan = project.orchestrator().plan(select="+G1", exclude="TWICE")
    assert plan.problems == ()
    assert list(plan.rows) == ["B1", "S1", "G1"]
    (notice,) = plan.notices
    assert notice.startswith("row 'ODD', which is not selected, is malformed: ")
    plan = project.orchestrator().plan(select="WRONG ODD TWICE")
    assert len(plan.problems) == 3
    assert len(project.orchestrator().plan(select="B1 TWICE").problems) == 2


def test_overrides_of_rows_that_are_not_selected(project):
    """Constants for a row that does not run are a problem that says why."""
    plan = project.orchestrator().plan(select="S1", overrides={"G1": {}, "S1": {"a": 1}})
    assert [str(p) for p in plan.problems] == [
        "no transformation 'G1' in this run: it is not selected - at overrides.G1"
    ]


def test_the_state_is_that_of_the_last_run(project):
    """`state:failed` is what failed in the newest run, or in the one that is named."""
    with pytest.raises(PlanError, match="the run log has no run of 'P', env qat - at select"):
        project.run(select="state:failed")
    first = project.run()
    assert statuses(first)["B2"] == "FAILED"
    assert list(planned(project, select="state:failed")) == ["B2"]
    assert list(planned(project, select="state:failed+")) == ["B2", "S2"]
    assert list(planned(project, select="state:skipped")) == ["S2"]
    project.run(select="S1")
    with pytest.raises(PlanError, match="--select state:failed selects nothing"):
        project.run(select="state:failed")
    assert list(planned(project, select=f"state:failed@{first.run_id}")) == ["B2"]
    with pytest.raises(PlanError, match="has no run 'never' - at select"):
        project.run(select="state:failed@never")


def test_durations_are_expected_after_many_small_runs(project):
    """Runs of a few rows do not make a plan forget how long the others take."""
    project.run()
    for _ in range(8):
        project.run(select="S1")
    plan = project.orchestrator().plan()
    assert plan.rows["G1"].expected_seconds is not None
    assert plan.rows["B2"].expected_seconds is None


def test_a_selection_is_text_or_a_list_of_text(project):
    """Anything else is one message."""
    for wrong in (3, ["S1", 3]):
        with pytest.raises(Exception, match="select: expected text or a list of text, found"):
            project.run(select=wrong)


def test_a_log_that_cannot_be_read_has_no_states(tmp_path):
    """A sink of the user's own that only writes gives one clear problem."""

    class OnlyWrites(MemorySink):
        def runs(self, limit):
            return []

    project = FakeProject(tmp_path, [row("A", fine)], sink=OnlyWrites())
    project.run()
    with pytest.raises(PlanError, match="the run log has no run of 'P'"):
        project.run(select="state:any")


@pytest.mark.parametrize(
    "text",
    [
        ",".join(["SILVER_1"] * 30_000),
        "," * 60_000,
        'a"b ' * 15_000,
        '"' * 60_001,
        " ".join(f'"SILVER_{i}"' for i in range(10_000)),
        " ".join(["layer:Bronze"] * 20_000),
    ],
    ids=["and", "commas", "quotes", "open quote", "quoted", "repeated"],
)
def test_a_long_selection_takes_no_longer_than_its_length(text):
    """A selection of 60 kB and more is understood at once, whatever stands in it."""
    begun = time.monotonic()
    select(POPULATION, [text])
    assert time.monotonic() - begun < 5  # a part of it was compared with all that follows it


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("state:failed", "no run log is available"),
        ("state:stale", "no run log is available"),
        ("state:fresh@r1", "state:fresh takes no run: it compares with the last success"),
    ],
)
def test_states_need_a_run_log(text, problem):
    """Without a run log no row has a state; a freshness compares with the last success of each row, not with a run."""
    found = select(Population(rows=ROWS, upstream=UPSTREAM, layers=LAYERS), [text])
    assert problem in str(found.problems[0])
