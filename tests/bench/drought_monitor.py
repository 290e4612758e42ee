"""Droughts of an archive beside the US Drought Monitor, county by county.

    python tests/bench/drought_monitor.py STORE USDM [FROM]

STORE is what a hindcast with [drought] left; USDM a folder with usdm_county_weekly.parquet (fips, date, d0_pct_x100 ... d4_pct_x100, the share of a
county in each class) and basin_county.csv (basin, fips). Needs numpy and pyarrow.
"""

import csv
import glob
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DAY_US = 86_400_000_000


def ranks(values):
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    first = np.searchsorted(sorted_values, values, side="left")
    last = np.searchsorted(sorted_values, values, side="right")
    return (first + last - 1) / 2.0


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    return np.corrcoef(a, b)[0, 1] if a.std() > 0 and b.std() > 0 else np.nan


def main(store, usdm, since="2003-10-01"):
    with open(f"{usdm}/basin_county.csv") as file:
        rows = list(csv.DictReader(file))
    counties = {row["basin"].zfill(8): int(row["fips"]) for row in rows}
    begin = np.datetime64(since).astype("datetime64[D]").astype(int)

    weekly = pq.read_table(f"{usdm}/usdm_county_weekly.parquet")
    weekly = weekly.filter(pc.is_in(weekly["fips"], value_set=pa.array(sorted(set(counties.values())), weekly["fips"].type)))
    day = weekly["date"].cast(pa.date32()).cast(pa.int32()).to_numpy()
    shares = np.stack([weekly[f"d{c}_pct_x100"].fill_null(0).to_numpy() / 100.0 for c in range(5)], axis=1)
    # Severity and coverage: 0 for none, 500 for all of a county in D4.
    severity = (shares * np.arange(1, 6)).sum(axis=1)
    severe = shares[:, 2:].sum(axis=1) >= 50.0
    monitor = {}
    for f, d, s, x in zip(weekly["fips"].to_numpy(), day, severity, severe):
        monitor.setdefault(int(f), {})[int(d)] = (s, x)

    columns = ["catchment", "index", "valid_time", "percentile", "class"]
    files = sorted(glob.glob(f"{store}/archive/drought.v1/*/*.parquet"))
    found = {"streamflow": {}, "root_zone": {}}
    weeks = pa.array(sorted(set(day.tolist())), pa.int64())
    for file in files:
        table = pq.read_table(file, columns=columns)
        days = pc.subtract(pc.divide(table["valid_time"].cast(pa.int64()), DAY_US), 1)
        table = table.append_column("day", days)
        wanted = pc.and_(pc.is_in(table["index"], value_set=pa.array(list(found))), pc.is_in(days, value_set=weeks))
        table = table.filter(wanted)
        for c, i, d, p, k in zip(*(table[n].to_pylist() for n in ("catchment", "index", "day", "percentile", "class"))):
            if p is not None and d >= begin:
                found[i].setdefault(c, {})[int(d)] = (p, -1 if k is None else int(k[1]))

    for index, basins in found.items():
        correlations, table = [], np.zeros((2, 2), dtype=int)
        for basin, days in basins.items():
            weeks = monitor.get(counties.get(basin), {})
            pairs = [(100.0 - days[d][0], days[d][1] >= 2, *weeks[d]) for d in weeks if d in days]
            if len(pairs) < 52:
                continue
            simulated, warned, severity, severe = (np.array(column) for column in zip(*pairs))
            correlations.append(spearman(simulated, severity))
            for w, s in zip(warned, severe):
                table[int(w), int(s)] += 1
        correlations = np.array([c for c in correlations if not np.isnan(c)])
        hit = table[1, 1] / max(table[:, 1].sum(), 1)
        false = table[1, 0] / max(table[1].sum(), 1)
        low, middle, high = np.percentile(correlations, [25, 50, 75])
        print(f"{index}: {len(correlations)} basins, weeks from {since}: rank correlation {middle:.2f} (median; {low:.2f} to {high:.2f})")
        print(f"  D2 or worse: {table[:, 1].sum()} weeks by the monitor, {table[1].sum()} here; hit rate {hit:.2f}, false-alarm ratio {false:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
