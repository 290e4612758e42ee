"""Prints the golden values of ``tests/forecasts.rs``.

    python forecasts.py PATH/return_period_metrics.py

Needs properscoring 0.1, scoringrules 0.10.0, scores 2.7.0, xskillscore 0.0.29, scipy 1.17, and for the flood events the file of that
name of github.com/google-research-datasets/global_streamflow_model_paper at 8e492ec. The flatness of rank histograms is by the closed
forms of SpecsVerification (R, CRAN), the rest is written down here from its definition, over numpy's quantiles and interpolation.
"""

import ast
import datetime
import math
import sys

import numpy as np
import properscoring
import scoringrules
import scores.categorical
import scores.probability
import xarray
import xskillscore
from scipy.stats import chisquare


def numbers(seed: int, count: int) -> np.ndarray:
    """Uniform numbers from a linear congruential generator: the same ones in every language."""
    values = []
    for _ in range(count):
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
        values.append(seed / 2_147_483_648)
    return np.array(values)


def show(name: str, *values: object) -> None:
    print(name, *(np.asarray(value, dtype=float).tolist() for value in values))


forecasts, members = 200, 11
centre = numbers(1, forecasts)
ensemble = centre[:, None] + numbers(2, forecasts * members).reshape(forecasts, members)
observed = centre + numbers(3, forecasts)
threshold = 1.25

probabilities = (ensemble >= threshold).mean(axis=1)
occurred = observed >= threshold
as_array = xarray.DataArray(ensemble, dims=["time", "member"])
show(
    "Brier score",
    scoringrules.brier_score(occurred.astype(float), probabilities).mean(),
    properscoring.threshold_brier_score(observed, ensemble, threshold).mean(),
    scores.probability.brier_score_for_ensemble(
        as_array, xarray.DataArray(observed, dims="time"), "member", threshold, fair_correction=False
    ),
)
reliability = resolution = 0.0
for value in np.unique(probabilities):
    same = probabilities == value
    reliability += same.mean() * (value - occurred[same].mean()) ** 2
    resolution += same.mean() * (occurred[same].mean() - occurred.mean()) ** 2
show("Brier parts", reliability, resolution, occurred.mean() * (1 - occurred.mean()))

yes = probabilities >= 0.5
table = scores.categorical.BinaryContingencyManager(
    xarray.DataArray(yes.astype(float), dims="time"), xarray.DataArray(occurred.astype(float), dims="time")
).transform()
show("contingency", [(occurred & yes).sum(), (occurred & ~yes).sum(), (~occurred & yes).sum(), (~occurred & ~yes).sum()])
show("POD, FAR, CSI, F1", [table.probability_of_detection(), table.false_alarm_ratio(), table.critical_success_index(), table.f1_score()])

histogram = xskillscore.rank_histogram(
    xarray.DataArray(observed, dims="time"), as_array, dim="time", member_dim="member"
).values
bins, total = len(histogram), histogram.sum()
rank = np.arange(1, bins + 1)
deviations = (histogram - total / bins) / math.sqrt(total / bins)
linear = 2 * math.sqrt(3 / (bins**3 - bins)) * rank - math.sqrt(3) * (bins + 1) / math.sqrt(bins * (bins + 1) * (bins - 1))
square = 6 * math.sqrt(5 / (bins**5 - 5 * bins**3 + 4 * bins)) * (rank - (bins + 1) / 2) ** 2 - math.sqrt(5) / 2 * (
    bins**2 - 1
) / math.sqrt((bins - 2) * (bins - 1) * bins * (bins + 1) * (bins + 2))
show("rank histogram", histogram)
show("flatness", chisquare(histogram).statistic, (deviations * linear).sum(), (deviations * square).sum())

levels = np.round(np.arange(0.05, 0.951, 0.05), 2)
quantiles = np.array([0.1 + 0.15 * i + 0.01 * i * i for i in range(19)])
show("exceedance within", 1 - np.interp([0.1, 1.0, 3.33, 6.04], quantiles, levels))
scale = [(quantiles[9] - quantiles[0]) / math.log(10), (quantiles[18] - quantiles[9]) / math.log(10)]
show("exceedance beyond", 1 - 0.05 * math.exp((-0.4 - quantiles[0]) / scale[0]), 0.05 * math.exp(-(9.0 - quantiles[18]) / scale[1]))

functions = {"np": np}
tree = ast.parse(open(sys.argv[1]).read())
found = [node for node in tree.body if getattr(node, "name", "") == "_true_positives_fraction_in_window"]
exec(compile(ast.Module(found, []), sys.argv[1], "exec"), functions)


def crossings(series: np.ndarray, threshold: float) -> np.ndarray:
    return np.maximum(0, np.diff(np.where(np.isnan(series), np.nan, (series >= threshold).astype(float))))


flow, model = numbers(4, 400), numbers(5, 400)
model[::3] = flow[::3]
flow[50:57], flow[200], flow[390:] = np.nan, np.nan, np.nan
for above in (0.9, 0.97, 2.0):
    seen, said = crossings(flow, above), crossings(model, above - 0.02)
    hits = functions["_true_positives_fraction_in_window"]
    for window in (0, 1, 2):
        show(f"events {above} {window}", hits(said, seen, True, window), hits(seen, said, False, window))

start = datetime.date(1998, 3, 7)
values = numbers(7, 1500) * 10
days = [start + datetime.timedelta(days=i) for i in range(1500)]
print("first day", (start - datetime.date(1970, 1, 1)).days)
of_year = np.array([day.timetuple().tm_yday for day in days])
for day in (1, 60, 200, 366):
    apart = np.abs(of_year - day)
    near = values[np.minimum(apart, 366 - apart) <= 15]
    show(f"climate of day {day}", near.mean(), np.quantile(near, [0.05, 0.5, 0.95]))
for lead in (1, 4):
    ratios = (values[lead:] + 0.1) / (values[:-lead] + 0.1)
    error = np.exp(np.quantile(np.log(ratios), [0.05, 0.5, 0.95]))
    show(f"persistence {lead}", np.maximum(3.1 * ratios.mean() - 0.1, 0), np.maximum(3.1 * error - 0.1, 0))
