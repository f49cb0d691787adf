"""The example project, against numbers computed from its files by other means."""

import csv
import datetime as dt
import json
import shutil
import statistics
from collections import defaultdict
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from odibi_nb import ExecutionContext, run_project
from odibi_nb.core.functions.registry import (
    REGISTRY,
    ProjectModules,
    accepted_keywords,
    module_allowed,
)
from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.model.transformation import parse_row
from odibi_nb.engines.pandas.engine import PandasEngine

PROJECT = Path(__file__).parents[2] / "notebooks" / "projects" / "energy_efficiency"
DATA = PROJECT / "data"
DENVER = ZoneInfo("America/Denver")


def registry_rows():
    """The rows of registry.json."""
    return json.loads((PROJECT / "registry.json").read_text(encoding="utf-8"))


def offset(hours):
    """The clock that is *hours* ahead of UTC."""
    return dt.timezone(dt.timedelta(hours=hours))


def readings(file, time_column, value_column, clock=None):
    """(time, value) of each line that has a value; *clock* is for stamps without an offset."""
    with (DATA / file).open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            stamp = line[time_column]
            american = "/" in stamp
            time = (
                dt.datetime.strptime(stamp, "%m/%d/%Y %H:%M")
                if american
                else dt.datetime.fromisoformat(stamp)
            )
            if line[value_column]:
                yield time if time.tzinfo else time.replace(tzinfo=clock), float(line[value_column])


def daily_kwh_by_hand():
    """The kWh by (site, date in Denver), straight from the files: no pandas, none of our code."""
    kilowatts = {
        "RSF II": readings("nrel_RSF_II.csv", "", "ac_power_kw_1137", offset(-5)),
        "SERF West": (
            (time, watts / 1000)
            for time, watts in readings("serf_west_15min.csv", "", "ac_power__773", offset(-7))
        ),
        "SERF East": (
            (time, watts / 1000)
            for time, watts in readings("serf_east_15min_ac_power.csv", "measured_on", "ac_power")
        ),
    }
    kwh = defaultdict(float)
    for site, series in kilowatts.items():
        for time, power in series:
            kwh[site, time.astimezone(DENVER).date()] += max(power, 0.0) * 0.25
    return dict(kwh)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project's folder, with one run."""
    folder = tmp_path_factory.mktemp("example") / "energy_efficiency"
    ignored = shutil.ignore_patterns("lake", "registry.db", ".odibi", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    result = run_project(
        "Energy Efficiency", env="qat", manifest_path=str(folder / "manifest.json")
    )
    result.raise_for_status()
    return folder


@pytest.fixture(scope="module")
def table(project):
    """Reads a table of the run's lake with deltalake alone: a list of dicts."""

    def read(schema, name):
        import pyarrow as pa
        from deltalake import DeltaTable, QueryBuilder

        delta = DeltaTable(str(project / "lake" / schema / name))
        batches = QueryBuilder().register("t", delta).execute("SELECT * FROM t")
        return pa.table(batches).to_pylist()

    return read


@pytest.fixture(scope="module")
def gold(table):
    """The rows of gold.daily_energy."""
    return table("gold", "daily_energy")


def test_every_row_parses_and_ids_are_unique():
    """Every row of registry.json is a valid registry row, and no id comes twice."""
    rows = registry_rows()
    problems = [p for n, row in enumerate(rows, 1) for p in parse_row(row, n)[1]]
    assert problems == []
    ids = [row["transformation_id"] for row in rows]
    assert len(set(ids)) == len(ids)


def test_every_row_fits_the_manifest():
    """Every row's project, environment, layer and module are ones that the manifest has."""
    manifest = ProjectManifest.from_json(PROJECT / "manifest.json")
    for row in registry_rows():
        assert row["project"] == manifest.project
        assert row["environment"] in manifest.environments
        assert row["layer"] in manifest.layer_order
        assert module_allowed(row["module"], manifest.transformation_modules)


def test_every_function_resolves_for_pandas():
    """Every row names a function that exists and can be called with the seed's keywords."""
    modules = ProjectModules(PROJECT)
    modules.prepare()
    for row in registry_rows():
        function = REGISTRY.resolve(row["module"], row["function"], "pandas")
        assert set(accepted_keywords(function)) <= {"inputs", "constants", "outputs", "context"}
    modules.remember()


def test_the_scenarios_three_rows_are_as_written():
    """The execution flow's example scenario is in the registry, word for word."""
    rows = {row["transformation_id"]: row for row in registry_rows()}
    columns = ("layer", "module", "function", "inputs", "constants", "outputs", "enabled")
    assert [
        tuple(rows[name][c] for c in columns) for name in ("BRONZE_001", "SILVER_001", "GOLD_001")
    ] == [
        (
            "Bronze",
            "odibi_functions.bronze",
            "ingest_sensor_data",
            [],
            {"source": "adls://raw/sensors.csv"},
            [{"table": "bronze.raw_sensors"}],
            1,
        ),
        (
            "Silver_1",
            "odibi_functions.silver",
            "clean_sensor_data",
            ["bronze.raw_sensors"],
            {"drop_nulls": True},
            [{"table": "silver.clean_sensors"}],
            1,
        ),
        (
            "Gold_1",
            "odibi_functions.gold",
            "aggregate_hourly",
            ["silver.clean_sensors"],
            {"window": "1H"},
            [{"table": "gold.hourly_metrics"}],
            1,
        ),
    ]


def test_daily_kwh_equals_the_computation_by_hand(gold):
    """gold.daily_energy has, for every site and day, the kWh that plain Python gets from the files."""
    found = {(row["site"], row["date"]): row["energy_kwh"] for row in gold}
    assert len(found) == len(gold)
    assert found == pytest.approx(daily_kwh_by_hand(), rel=1e-9, abs=1e-9)


def test_daily_energy_says_how_much_of_the_day_it_knows(gold):
    """Days that the files cover in part can be distinguished from whole ones."""
    hours = {(row["site"], row["date"]): row["hours"] for row in gold}
    assert hours["SERF West", dt.date(2022, 1, 2)] == 24
    assert hours["RSF II", dt.date(2022, 1, 1)] == 2
    assert hours["RSF II", dt.date(2022, 1, 6)] == 22


def test_performance_ratio_is_energy_per_promised_energy(gold, table):
    """The ratio is the day's kWh per capacity and kWh/m2 on the modules, near 0 when they were idle."""
    insolation = defaultdict(float)
    files = {
        "RSF II": ("nrel_RSF_II.csv", "poa_irradiance__1055", -5),
        "SERF West": ("serf_west_15min.csv", "poa_irradiance__771", -7),
    }
    for site, (file, column, hours) in files.items():
        for time, w_m2 in readings(file, "", column, offset(hours)):
            insolation[site, time.astimezone(DENVER).date()] += max(w_m2, 0.0) * 0.25 / 1000
    kwh = {(row["site"], row["date"]): row["energy_kwh"] for row in gold}
    capacity = {"RSF II": 408.24, "SERF West": 6.0}
    found = {
        (r["site"], r["date"]): r["performance_ratio"] for r in table("gold", "performance_ratio")
    }
    expected = {
        place: kwh[place] / (capacity[place[0]] * sun)
        for place, sun in insolation.items()
        if sun > 0
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert len(found) == 10
    assert all(0 <= ratio < 1 for ratio in found.values())
    assert found["SERF West", dt.date(2022, 1, 6)] < 0.01


def test_dropping_nulls_drops_the_sensors_gaps(table):
    """Bronze keeps the 413 rows without measurements; Silver and the hourly Gold have the others."""
    assert len(table("bronze", "raw_sensors")) == 1440
    assert len(table("silver", "clean_sensors")) == 1027
    hourly = table("gold", "hourly_metrics")
    assert sum(row["readings"] for row in hourly) == 1027
    assert max(row["readings"] for row in hourly) == 12


def test_hourly_metrics_equal_the_computation_by_hand(table):
    """An hour's metric is the mean of the readings whose averages ended within it."""
    hours = defaultdict(list)
    for time, ghi in readings("sensors.csv", "measured_on", "irradiance_ghi__7981", offset(-7)):
        begun = time - dt.timedelta(minutes=5)
        hours[begun.replace(minute=0).astimezone(dt.timezone.utc)].append(ghi)
    found = {
        row["window_start"]: row["irradiance_ghi__7981"] for row in table("gold", "hourly_metrics")
    }
    assert found == pytest.approx({hour: statistics.fmean(ghi) for hour, ghi in hours.items()})


def test_rsf_ii_runs_two_hours_ahead_of_the_campus():
    """RSF II's irradiance follows the weather station's best when its clock is taken as UTC-5."""
    station = dict(readings("rmis_weather_data.csv", "", "Global Horizontal", offset(-7)))
    likeness = {}
    for hours in (-8, -7, -6, -5, -4):
        array = dict(readings("nrel_RSF_II.csv", "", "poa_irradiance__1055", offset(hours)))
        both = sorted(array.keys() & station.keys())
        likeness[hours] = statistics.correlation(
            [array[time] for time in both], [station[time] for time in both]
        )
    assert max(likeness, key=likeness.get) == -5
    assert likeness[-5] > 0.999


def test_silver_has_no_negative_power_and_only_quarters_of_an_hour(table):
    """Power in Silver is never negative, and every row starts at a quarter of an hour, in UTC."""
    for name in ("rsf_ii", "serf_west", "serf_east"):
        rows = table("silver", name)
        assert min(row["ac_power_kw"] for row in rows) == 0
        assert {row["interval_start"].minute % 15 for row in rows} == {0}
        assert {row["interval_start"].utcoffset() for row in rows} == {dt.timedelta(0)}


def test_the_window_may_be_written_as_pandas_once_did(project):
    """The scenario's window "1H" means the same as "1h", whatever the pandas."""
    modules = ProjectModules(project)
    modules.prepare()
    aggregate = REGISTRY.resolve("odibi_functions.gold", "aggregate_hourly", "pandas")
    modules.remember()
    frames = [
        aggregate(
            inputs=["silver.clean_sensors"],
            constants={"window": window},
            context=ExecutionContext(
                engine="pandas",
                project="Energy Efficiency",
                env="qat",
                tables=PandasEngine(str(project / "lake")),
            ),
        )
        for window in ("1H", "1h")
    ]
    assert len(frames[0]) > 0
    assert frames[0].equals(frames[1])
