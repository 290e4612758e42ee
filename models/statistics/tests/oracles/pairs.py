"""Prints the golden values of ``tests/wres.rs`` that the archive itself does not hold: python pairs.py FOLDER/wres_hefs

Needs hydroeval 0.1.0, properscoring 0.1, scoringrules 0.10.0, scores 2.7.0 and xskillscore 0.0.29.
"""

import csv
import pathlib
import sys

import hydroeval
import numpy as np
import properscoring
import scores.categorical
import scoringrules
import xarray
import xskillscore

for scenario in ("scenario001", "scenario300"):
    rows = list(csv.reader((pathlib.Path(sys.argv[1]) / scenario / "benchmarks/sorted_pairs.csv").open()))[1:]
    observed = np.array([float(row[12]) for row in rows])
    members = np.array([[float(value) for value in row[13:]] for row in rows])
    mean = members.mean(axis=1)
    print(scenario, len(observed), members.shape[1])
    print("CRPS", properscoring.crps_ensemble(observed, members).mean(), scoringrules.crps_ensemble(observed, members).mean())
    print("fair", scoringrules.crps_ensemble(observed, members, estimator="fair").mean())
    print("NSE, KGE", hydroeval.evaluator(hydroeval.nse, mean, observed), hydroeval.evaluator(hydroeval.kge, mean, observed)[0])
    above = 18.59037 if scenario == "scenario001" else 1.24
    table = scores.categorical.BinaryContingencyManager(
        xarray.DataArray((mean >= above).astype(float), dims="time"), xarray.DataArray((observed >= above).astype(float), dims="time")
    ).transform()
    print("POD, FAR, CSI", *(float(v) for v in (table.probability_of_detection(), table.false_alarm_ratio(), table.critical_success_index())))
    ties = (members == observed[:, None]).any(axis=1)
    ranks = xskillscore.rank_histogram(
        xarray.DataArray(observed[~ties], dims="time"), xarray.DataArray(members[~ties], dims=["time", "member"]), dim="time", member_dim="member"
    ).values
    print("ranks without ties", ties.sum(), [int(n) for n in ranks])
