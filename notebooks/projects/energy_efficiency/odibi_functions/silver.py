"""Silver: one clock (UTC), one 15-minute grid, no negative power, and the weather beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from odibi_nb import pandas_function, spark_function

if TYPE_CHECKING:
    from odibi_nb import ExecutionContext

Constants = dict[str, Any]
QUARTER = 15 * 60
"""Seconds of a row of the 15-minute grid."""


def to_utc(stamps: pd.Series, utc_offset: str) -> pd.Series:
    """Timestamps (text) as UTC. *utc_offset*, such as ``-07:00``, is for timestamps without one."""
    times = pd.to_datetime(stamps)
    if times.dt.tz is None:
        times = times.dt.tz_localize(utc_offset)
    return times.dt.tz_convert("UTC")


def interval_start(
    readings: pd.DataFrame, constants: Constants, context: ExecutionContext
) -> pd.Series:
    """The quarter of an hour (its start, UTC) in which each reading was taken.

    ``utc_offset`` is the logger's clock, by default the project's. With ``averaged_minutes``, a
    stamp is the end of an average over so many minutes, so that 10:15 belongs to 10:00.
    """
    stamps = to_utc(
        readings["measured_on"], constants.get("utc_offset", context.parameters["utc_offset"])
    )
    return (stamps - pd.Timedelta(minutes=constants.get("averaged_minutes", 0))).dt.floor("15min")


def to_utc_on_spark(column: str, utc_offset: str) -> Any:
    """As `to_utc`, for a column of stamps such as ``1/2/2022 0:05`` or ``2022-01-02 00:05:00``."""
    from pyspark.sql import functions as sf

    stamp = sf.col(column)
    has_offset = stamp.rlike(r"(Z|[+-]\d\d:?\d\d)$")
    whole = sf.when(has_offset, stamp).otherwise(sf.concat(stamp, sf.lit(utc_offset)))
    american = sf.try_to_timestamp(whole, sf.lit("M/d/yyyy H:mmXXX"))
    return sf.when(stamp.contains("/"), american).otherwise(whole.try_cast("timestamp"))


def interval_start_on_spark(constants: Constants, context: ExecutionContext) -> Any:
    """As `interval_start`, a column."""
    from pyspark.sql import functions as sf

    offset = constants.get("utc_offset", context.parameters["utc_offset"])
    seconds = sf.unix_timestamp(to_utc_on_spark("measured_on", offset))
    begun = seconds - 60 * constants.get("averaged_minutes", 0)
    return sf.timestamp_seconds(sf.floor(begun / QUARTER) * QUARTER)


def not_negative(column: str) -> Any:
    """A Spark column with 0 for negative values. Null stays null."""
    from pyspark.sql import functions as sf

    return sf.when(sf.col(column) < 0, sf.lit(0.0)).otherwise(sf.col(column)).alias(column)


@pandas_function
def clean_sensor_data(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> pd.DataFrame:
    """The sensors' readings with ``measured_on`` in UTC, and only whole rows if ``drop_nulls``."""
    sensors: pd.DataFrame = context.read(inputs[0])
    drop_nulls = bool(constants.get("drop_nulls", False))
    context.logger.info("  → Cleaning: drop_nulls=%s", drop_nulls)
    if drop_nulls:
        sensors = sensors.dropna()
    stamps = to_utc(sensors["measured_on"], context.parameters["utc_offset"])
    return sensors.assign(measured_on=stamps).reset_index(drop=True)


@spark_function("clean_sensor_data")
def clean_sensor_data_on_spark(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> Any:
    """As `clean_sensor_data`."""
    sensors = context.read(inputs[0])
    drop_nulls = bool(constants.get("drop_nulls", False))
    context.logger.info("  → Cleaning: drop_nulls=%s", drop_nulls)
    if drop_nulls:
        sensors = sensors.dropna()
    stamps = to_utc_on_spark("measured_on", context.parameters["utc_offset"])
    return sensors.withColumn("measured_on", stamps)


@pandas_function
def weather_15min(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> pd.DataFrame:
    """Means of the weather station's 5-minute readings per quarter of an hour.

    Returns columns interval_start (UTC), ambient_c (°C), wind_m_s (m/s), ghi_w_m2 (global
    horizontal irradiance in W/m², never negative).
    """
    readings: pd.DataFrame = context.read(inputs[0])
    readings = readings.assign(
        interval_start=interval_start(readings, constants, context),
        ghi_w_m2=readings["ghi_w_m2"].clip(lower=0),
    )
    columns = ["ambient_c", "wind_m_s", "ghi_w_m2"]
    return readings.groupby("interval_start", as_index=False)[columns].mean()


@spark_function("weather_15min")
def weather_15min_on_spark(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> Any:
    """As `weather_15min`."""
    from pyspark.sql import functions as sf

    start = interval_start_on_spark(constants, context).alias("interval_start")
    columns = ["ambient_c", "wind_m_s", "ghi_w_m2"]
    readings = context.read(inputs[0]).select(start, *columns[:2], not_negative("ghi_w_m2"))
    return readings.groupBy("interval_start").agg(*(sf.avg(name).alias(name) for name in columns))


@pandas_function
def site_power_15min(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> pd.DataFrame:
    """One array's AC power and irradiance on the 15-minute grid.

    ``power`` names the column with the power and ``unit`` its unit, W or kW. At night inverters
    draw a little power; that is not the array's, so negative power counts as none.
    Returns columns site, interval_start (UTC), ac_power_kw (kW) and, if it was measured, poa_w_m2
    (irradiance in the plane of the array, W/m²).
    """
    readings: pd.DataFrame = context.read(inputs[0])
    power: str = constants["power"]
    per_kw = {"W": 1000, "kW": 1}[constants["unit"]]
    readings = readings.assign(
        interval_start=interval_start(readings, constants, context),
        ac_power_kw=readings[power] / per_kw,
    )
    columns = [name for name in ("ac_power_kw", "poa_w_m2") if name in readings]
    readings[columns] = readings[columns].clip(lower=0)
    return readings.groupby(["site", "interval_start"], as_index=False)[columns].mean()


@spark_function("site_power_15min")
def site_power_15min_on_spark(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> Any:
    """As `site_power_15min`."""
    from pyspark.sql import functions as sf

    readings = context.read(inputs[0])
    per_kw = {"W": 1000, "kW": 1}[constants["unit"]]
    readings = readings.withColumn("ac_power_kw", sf.col(constants["power"]) / per_kw)
    columns = [name for name in ("ac_power_kw", "poa_w_m2") if name in readings.columns]
    start = interval_start_on_spark(constants, context).alias("interval_start")
    readings = readings.select("site", start, *map(not_negative, columns))
    means = [sf.avg(name).alias(name) for name in columns]
    return readings.groupBy("site", "interval_start").agg(*means)


@pandas_function
def flag_clipping(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> pd.DataFrame:
    """An inverter's readings with the flag that people gave them.

    Returns columns interval_start (UTC), power_fraction (of the inverter's largest power) and
    clipped: whether the inverter held its power down at its limit.
    """
    readings: pd.DataFrame = context.read(inputs[0])
    readings = readings.assign(interval_start=interval_start(readings, constants, context))
    return readings[["interval_start", "power_fraction", "clipped"]]


@spark_function("flag_clipping")
def flag_clipping_on_spark(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> Any:
    """As `flag_clipping`."""
    start = interval_start_on_spark(constants, context).alias("interval_start")
    return context.read(inputs[0]).select(start, "power_fraction", "clipped")


@pandas_function
def join_weather(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> pd.DataFrame:
    """An array's quarters of an hour beside the weather's; null where there is no weather.

    ``idle_in_sun`` flags what needs a reason (snow, an outage): ``sunny_w_m2`` or more on the
    modules, and less than ``idle_share`` of the power that their capacity promises.
    """
    power, weather = (context.read(table) for table in inputs)
    joined: pd.DataFrame = power.merge(weather, on="interval_start", how="left")
    capacity_kw = context.parameters["capacity_kw_dc"][context.extras["asset"]]
    promised_kw = capacity_kw * joined["poa_w_m2"] / 1000
    sunny = joined["poa_w_m2"] >= constants["sunny_w_m2"]
    idle = joined["ac_power_kw"] < constants["idle_share"] * promised_kw
    return joined.assign(idle_in_sun=sunny & idle)


@spark_function("join_weather")
def join_weather_on_spark(
    inputs: list[str], constants: Constants, context: ExecutionContext
) -> Any:
    """As `join_weather`."""
    from pyspark.sql import functions as sf

    power, weather = (context.read(table) for table in inputs)
    capacity_kw = context.parameters["capacity_kw_dc"][context.extras["asset"]]
    promised_kw = sf.col("poa_w_m2") * (capacity_kw / 1000)
    sunny = sf.col("poa_w_m2") >= constants["sunny_w_m2"]
    idle = sf.col("ac_power_kw") < promised_kw * constants["idle_share"]
    flag = sf.coalesce(sunny & idle, sf.lit(False))
    return power.join(weather, "interval_start", "left").withColumn("idle_in_sun", flag)
