"""What snow that is assimilated is worth for the flow of April to July.

    python tests/bench/snow_assimilation.py NILOMETER CAMELS SWE OUT

NILOMETER is the binary, CAMELS a folder in the CAMELS-US layout, SWE one with swe_huc*.parquet (basin, date, swe_uaz_mm_x100), OUT a folder
for definitions and stores. Runs hybrid-regional with 32 members twice over October 1980 to July 1989 on the basins whose mean water
equivalent is above 5 mm: without snow, and with that of each seventh day from October 1981 up to 1 April of each year. The gauge is given
an error so large that it says next to nothing, and the weather of April to July is that which came, so that the difference is what the snow of 1 April is worth. Volumes of April
to July 1982 to 1989 are held against the gauges. Needs numpy and pyarrow.
"""

import glob
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LEAST_MM = 5.0
# A tenth of the water and 10 mm: a reanalysis of stations, taken as it is.
ERRORS = {"relative_error": 0.1, "absolute_error_mm": 10.0}
YEARS = range(1982, 1990)
DAY_US = 86_400_000_000

DEFINITION = """
name = "snow"
data = "{data}"
[time]
step = "1d"
from = "1980-10-01T00:00:00Z"
to = "1989-08-01T00:00:00Z"
[source]
kind = "camels"
path = "{camels}"
only = [{only}]
{source}
[model]
package = "{root}/models/zoo/hybrid-regional"
[assimilation]
method = "etkf"
members = 32
seed = 1
# The gauge says next to nothing, so that errors of the output would be noise alone.
discharge_relative_error = 10.0
discharge_absolute_error_mm = 10.0
error_learning_rate = 0.0
output_error_dry = {{ sigma = 0.001, tau = "20d" }}
output_error_wet = {{ sigma = 0.001, tau = "3d" }}
# What a season's snow is off by lasts; errors from day to day cancel over a winter.
precipitation_tau = "30d"
{snow}
[forecast]
horizon = "1d"
every = "1d"
scenario = "perfect"
wait = "0s"
calibration_rate = 0.0
score = false
[log]
store = "{out}/store"
snapshot_every = 365
retention = "36500d"
"""
SOURCE = """[source.swe]
kind = "table"
path = "swe.parquet"
station = {{ column = "basin" }}
time = {{ column = {{ name = "time", format = "%Y-%m-%d" }} }}
value = "swe_mm"
variable = "snow_water_equivalent"
unit = "mm"
"""


def snow(swe):
    """Basin, day and water equivalent (mm) of October 1981 to July 1989, basins above LEAST_MM on average."""
    tables = [pq.read_table(file, columns=["basin", "date", "swe_uaz_mm_x100"]) for file in sorted(glob.glob(f"{swe}/swe_huc*.parquet"))]
    table = pa.concat_tables(tables).drop_null()
    basins = np.array([str(basin).zfill(8) for basin in table["basin"].to_pylist()])
    days = table["date"].cast(pa.date32()).to_numpy().astype("datetime64[D]")
    mm = table["swe_uaz_mm_x100"].to_numpy() / 100.0
    inside = (days >= np.datetime64("1981-10-01")) & (days < np.datetime64("1989-08-01"))
    basins, days, mm = basins[inside], days[inside], mm[inside]
    kept = [basin for basin in np.unique(basins) if mm[basins == basin].mean() > LEAST_MM]
    inside = np.isin(basins, kept)
    return kept, basins[inside], days[inside], mm[inside]


def weeks_to_april(days):
    """Each seventh day from October on, the last of a winter 1 April."""
    year = days.astype("datetime64[Y]").astype(int) + 1970
    april = np.array([np.datetime64(f"{y}-04-01") for y in range(year.min(), year.max() + 2)])
    left = (april[year - year.min()] - days).astype(int)
    left = np.where(left < 0, (april[year - year.min() + 1] - days).astype(int), left)
    return (left <= 182) & (left % 7 == 0)


def hindcast(binary, camels, out, only, data, given):
    os.makedirs(out, exist_ok=True)
    errors = "".join(f"{key} = {value}\n" for key, value in ERRORS.items())
    definition = DEFINITION.format(
        data=os.path.abspath(data),
        camels=os.path.abspath(camels),
        root=os.path.abspath(ROOT),
        out=os.path.abspath(out),
        only=", ".join(f'"{basin}"' for basin in only),
        source=SOURCE.format() if given else "",
        snow="[assimilation.snow]\n" + errors if given else "",
    )
    with open(f"{out}/definition.toml", "w") as file:
        file.write(definition)
    subprocess.run([binary, "hindcast", f"{out}/definition.toml", "--out", f"{out}/store"], cwd=ROOT, check=True)


def archived(out, topic, columns):
    files = sorted(glob.glob(f"{out}/store/archive/{topic}/**/*.parquet", recursive=True))
    return pa.concat_tables([pq.read_table(file, columns=columns) for file in files])


def by_year(basins, times_us, values):
    """Mean of each basin and April to July, {(basin, year): mean}; whole seasons only."""
    days = (times_us // DAY_US - 1).astype("datetime64[D]")
    month = days.astype("datetime64[M]").astype(int) % 12 + 1
    year = days.astype("datetime64[Y]").astype(int) + 1970
    inside = (month >= 4) & (month <= 7) & np.isin(year, YEARS)
    means = {}
    keys = np.char.add(np.char.add(basins[inside].astype(str), "/"), year[inside].astype(str))
    names, where = np.unique(keys, return_inverse=True)
    sums, counts = np.bincount(where, values[inside]), np.bincount(where)
    for name, total, count in zip(names, sums, counts):
        if count >= 120:
            basin, of_year = name.split("/")
            means[basin, int(of_year)] = total / count
    return means


def flows(out):
    table = archived(out, "forecast.v1", ["catchment", "valid_time", "simulated"])
    times = table["valid_time"].cast(pa.int64()).to_numpy()
    return by_year(np.array(table["catchment"].to_pylist()), times, table["simulated"].to_numpy())


def gauged(out):
    table = archived(out, "observation.v1", ["station", "variable", "valid_time", "value"]).drop_null()
    table = table.filter(pc.equal(table["variable"], "discharge"))
    times = table["valid_time"].cast(pa.int64()).to_numpy()
    return by_year(np.array(table["station"].to_pylist()), times, table["value"].to_numpy())


def held_on_first_of_april(out):
    """Simulated snow (mm) of each basin and 1 April."""
    table = archived(out, "state.v1", ["catchment", "valid_time", "store", "mean"])
    stores = pc.is_in(table["store"], pa.array(["snow_store", "melt_water_store"]))
    table = table.filter(stores)
    days = (table["valid_time"].cast(pa.int64()).to_numpy() // DAY_US - 1).astype("datetime64[D]")
    held = {}
    for year in YEARS:
        at = np.nonzero(days == np.datetime64(f"{year}-04-01"))[0]
        for basin, mm in zip(table["catchment"].take(at).to_pylist(), table["mean"].take(at).to_pylist()):
            held[basin, year] = held.get((basin, year), 0.0) + mm
    return held


def scores(simulated, observed, basins):
    """Of each basin with six years or more: mean absolute error of volumes over their mean, correlation, and bias, all of basins."""
    rows = {}
    for basin in basins:
        years = [year for year in YEARS if (basin, year) in simulated and (basin, year) in observed]
        if len(years) >= 6:
            s = np.array([simulated[basin, year] for year in years])
            o = np.array([observed[basin, year] for year in years])
            rows[basin] = (np.abs(s - o).mean() / o.mean(), np.corrcoef(s, o)[0, 1], s.mean() / o.mean() - 1.0)
    return rows


def main(binary, camels, swe, out):
    binary = os.path.abspath(binary)
    basins, of, days, mm = snow(swe)
    os.makedirs(out, exist_ok=True)
    table = os.path.abspath(f"{out}/swe.parquet")
    taken = weeks_to_april(days)
    ends = (days[taken] + 1).astype("datetime64[us]")
    columns = {"basin": of[taken], "time": pa.array(ends, pa.timestamp("us", "UTC")), "swe_mm": mm[taken]}
    pq.write_table(pa.table(columns), table)
    for name, given in (("without", False), ("with", True)):
        hindcast(binary, camels, f"{out}/{name}", basins, out, given)
    observed = gauged(f"{out}/without")
    first = {(basin, int(str(day)[:4])): value for basin, day, value in zip(of, days, mm) if str(day)[5:] == "04-01"}
    print(f"{len(basins)} basins, {int(taken.sum())} water equivalents")
    results = {}
    for name in ("without", "with"):
        results[name] = scores(flows(f"{out}/{name}"), observed, basins)
        held = held_on_first_of_april(f"{out}/{name}")
        off = np.array([held[key] - first[key] for key in first if key in held])
        error, correlation, bias = np.median(np.array(list(results[name].values())), axis=0)
        print(f"{name:<8} snow on 1 April, mm off: {np.abs(off).mean():6.1f} (mean {off.mean():+6.1f})   "
              f"volume, medians of {len(results[name])}: error {100 * error:5.1f} %, r {correlation:.3f}, bias {100 * bias:+5.1f} %")
    for at, what in ((0, "error of the volume"), (1, "correlation")):
        pairs = [(results["with"][basin][at], results["without"][basin][at]) for basin in results["with"]]
        better = sum((after < before) if at == 0 else (after > before) for after, before in pairs)
        print(f"{what}: better in {better} of {len(pairs)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
