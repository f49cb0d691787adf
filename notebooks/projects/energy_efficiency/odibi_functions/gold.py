"""Gold: energy per day, performance ratio, hourly metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from odibi_nb import pandas_function, spark_function

if TYPE_CHECKING:
    from odibi_nb import ExecutionContext

Constants = dict[str, Any]
HOURS = 0.25
"""Hours of one row of Silver: a quarter of an hour."""


@pandas_function
def aggregate_hourly(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> pd.DataFrame:
    """Means of every sensor per ``window``, such as ``1H`` or ``15min``.

    Returns columns window_start (UTC), readings (their number) and each sensor's mean in its
    own unit. A stamp is the end of an average, so 11:00 still belongs to the hour from 10:00.
    """
    sensors: pd.DataFrame = context.read(inputs[0])
    context.logger.info("  → Aggregating with window=%s", constants["window"])
    window: Any = pd.Timedelta(constants["window"].lower())
    start = (sensors["measured_on"] - pd.Timedelta(seconds=1)).dt.floor(window)
    grouped = sensors.drop(columns="measured_on").groupby(start.rename("window_start"))
    means = grouped.mean()
    means.insert(0, "readings", grouped.size())
    return means.reset_index()


@spark_function("aggregate_hourly")
def aggregate_hourly_on_spark(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> Any:
    """As `aggregate_hourly`."""
    from pyspark.sql import functions as sf

    sensors = context.read(inputs[0])
    context.logger.info("  → Aggregating with window=%s", constants["window"])
    seconds = int(pd.Timedelta(constants["window"].lower()).total_seconds())
    start = sf.window(sf.expr("measured_on - INTERVAL 1 SECOND"), f"{seconds} seconds")["start"]
    means = [sf.avg(name).alias(name) for name in sensors.columns if name != "measured_on"]
    return sensors.groupBy(start.alias("window_start")).agg(sf.count("*").alias("readings"), *means)


@pandas_function
def daily_energy(inputs: list[str], context: ExecutionContext) -> pd.DataFrame:
    """The energy of every array on every day of the campus's calendar.

    Returns columns site, date, energy_kwh (kWh) and hours: the part of the day with
    readings.
    """
    columns = ["site", "interval_start", "ac_power_kw"]
    power: pd.DataFrame = pd.concat([context.read(table)[columns] for table in inputs])
    local = power["interval_start"].dt.tz_convert(context.parameters["timezone"])
    power = power.assign(date=local.dt.date, energy_kwh=power["ac_power_kw"] * HOURS, hours=HOURS)
    return power.groupby(["site", "date"], as_index=False)[["energy_kwh", "hours"]].sum()


@spark_function("daily_energy")
def daily_energy_on_spark(inputs: list[str], context: ExecutionContext) -> Any:
    """As `daily_energy`."""
    from pyspark.sql import functions as sf

    power = all_of(inputs, context, ["site", "interval_start", "ac_power_kw"])
    energy = sf.sum(sf.col("ac_power_kw") * HOURS).alias("energy_kwh")
    hours = (sf.count("*") * HOURS).alias("hours")
    return power.groupBy("site", local_date(context).alias("date")).agg(energy, hours)


def all_of(tables: list[str], context: ExecutionContext, columns: list[str]) -> Any:
    """These columns of all rows of several tables, a Spark DataFrame."""
    first, *others = (context.read(table).select(*columns) for table in tables)
    for other in others:
        first = first.unionByName(other)
    return first


def local_date(context: ExecutionContext) -> Any:
    """The day of the campus's calendar, a Spark column."""
    from pyspark.sql import functions as sf

    return sf.to_date(sf.from_utc_timestamp("interval_start", context.parameters["timezone"]))


@pandas_function
def performance_ratio(inputs: list[str], context: ExecutionContext) -> pd.DataFrame:
    """The energy of every array per day, as a share of its capacity's energy under that day's sun.

    Returns columns site, date, energy_kwh (kWh), insolation_kwh_m2 (kWh/m² in the plane of the
    array), idle_hours (sunny, but hardly any power), ambient_c (°C, null without weather) and
    performance_ratio (1 = nothing lost). Days without sun in the data are left out.
    """
    quarters: pd.DataFrame = pd.concat([context.read(table) for table in inputs])
    local = quarters["interval_start"].dt.tz_convert(context.parameters["timezone"])
    quarters = quarters.assign(
        date=local.dt.date,
        energy_kwh=quarters["ac_power_kw"] * HOURS,
        insolation_kwh_m2=quarters["poa_w_m2"] * HOURS / 1000,
        idle_hours=quarters["idle_in_sun"] * HOURS,
    )
    sums = dict.fromkeys(["energy_kwh", "insolation_kwh_m2", "idle_hours"], "sum")
    days = quarters.groupby(["site", "date"], as_index=False)
    ratio = days.agg({**sums, "ambient_c": "mean"})
    ratio = ratio[ratio["insolation_kwh_m2"] > 0].reset_index(drop=True)
    capacity_kw = ratio["site"].map(context.parameters["capacity_kw_dc"])
    promised_kwh = capacity_kw * ratio["insolation_kwh_m2"]
    return ratio.assign(performance_ratio=ratio["energy_kwh"] / promised_kwh)


@spark_function("performance_ratio")
def performance_ratio_on_spark(inputs: list[str], context: ExecutionContext) -> Any:
    """As `performance_ratio`."""
    from pyspark.sql import functions as sf

    columns = ["site", "interval_start", "ac_power_kw", "poa_w_m2", "idle_in_sun", "ambient_c"]
    quarters = all_of(inputs, context, columns)
    days = quarters.groupBy("site", local_date(context).alias("date")).agg(
        sf.sum(sf.col("ac_power_kw") * HOURS).alias("energy_kwh"),
        sf.sum(sf.col("poa_w_m2") * HOURS / 1000).alias("insolation_kwh_m2"),
        sf.sum(sf.col("idle_in_sun").cast("double") * HOURS).alias("idle_hours"),
        sf.avg("ambient_c").alias("ambient_c"),
    )
    capacities = context.parameters["capacity_kw_dc"]
    known = [sf.lit(value) for site in capacities for value in (site, float(capacities[site]))]
    promised_kwh = sf.create_map(*known)[sf.col("site")] * sf.col("insolation_kwh_m2")
    ratio = sf.col("energy_kwh") / promised_kwh
    return days.filter("insolation_kwh_m2 > 0").withColumn("performance_ratio", ratio)


@pandas_function
def daily_clipping(inputs: list[str], context: ExecutionContext) -> pd.DataFrame:
    """The hours per day, by its own clock, in which an inverter limited its power.

    Returns columns date, hours (with readings), clipped_hours, clipped_share (of those hours).
    """
    readings: pd.DataFrame = context.read(inputs[0])
    readings = readings.assign(
        date=readings["interval_start"].dt.date,
        hours=HOURS,
        clipped_hours=readings["clipped"] * HOURS,
    )
    days = readings.groupby("date", as_index=False)[["hours", "clipped_hours"]].sum()
    return days.assign(clipped_share=days["clipped_hours"] / days["hours"])


@spark_function("daily_clipping")
def daily_clipping_on_spark(inputs: list[str], context: ExecutionContext) -> Any:
    """As `daily_clipping`."""
    from pyspark.sql import functions as sf

    clipped = sf.sum(sf.col("clipped").cast("double") * HOURS).alias("clipped_hours")
    hours = (sf.count("*") * HOURS).alias("hours")
    days = context.read(inputs[0]).groupBy(sf.to_date("interval_start").alias("date"))
    share = sf.col("clipped_hours") / sf.col("hours")
    return days.agg(hours, clipped).withColumn("clipped_share", share)
