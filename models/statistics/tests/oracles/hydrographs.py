"""Prints the golden values of ``tests/golden.rs`` that are of a long made series.

Needs hydroeval 0.1.0, HydroErr 2.0.0, scoringrules 0.10.0 and scipy 1.17. High and low flow bias and peak timing are written down here
from their published definitions, over numpy's sorting and scipy's peaks.
"""

import hydroeval
import HydroErr
import numpy as np
import scoringrules
from scipy.signal import find_peaks


def made(keep: float) -> np.ndarray:
    """A linear reservoir under rain from a linear congruential generator: the same numbers in every language."""
    seed, flow, flows = 42, 1.0, []
    for _ in range(1500):
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
        flow = keep * flow + (1 - keep) * max(0.0, seed / 2_147_483_648 - 0.9) * 200.0
        flows.append(flow)
    return np.array(flows)


def high(observed: np.ndarray, simulated: np.ndarray) -> float:
    count = round(0.02 * len(observed))
    tops = [np.sort(series)[::-1][:count].sum() for series in (simulated, observed)]
    return 100 * (tops[0] - tops[1]) / tops[1]


def low(observed: np.ndarray, simulated: np.ndarray) -> float:
    count = round(0.3 * len(observed))
    logs = [np.log(np.maximum(np.sort(series)[:count], 1e-6)) for series in (simulated, observed)]
    rises = [(log - log.min()).sum() for log in logs]
    return -100 * (rises[0] - rises[1]) / rises[1]


def timing(observed: np.ndarray, simulated: np.ndarray, window: int = 3) -> tuple[int, float]:
    errors = []
    for peak in find_peaks(observed, distance=100, prominence=np.nanstd(observed))[0]:
        near = slice(peak - window, peak + window + 1)
        if near.start < 0 or near.stop > len(observed) or np.isnan(observed[near]).any():
            continue
        too = simulated[peak] > simulated[peak - 1] and simulated[peak] > simulated[peak + 1]
        errors.append(0 if too else abs(int(np.argmax(simulated[near])) - window))
    return len(errors), float(np.mean(errors))


observed = made(0.9)
simulated = np.concatenate([made(0.85)[2:752], made(0.92)[749:1499]])
gapped = observed.copy()
gapped[233] = np.nan
print("NSE", HydroErr.nse(simulated, observed), hydroeval.evaluator(hydroeval.nse, simulated, observed))
print("modified NSE", HydroErr.nse_mod(simulated, observed))
print("KGE 2009", HydroErr.kge_2009(simulated, observed), hydroeval.evaluator(hydroeval.kge, simulated, observed)[0])
print("KGE 2012", HydroErr.kge_2012(simulated, observed))
print("bias", hydroeval.evaluator(hydroeval.pbias, simulated, observed))
print("high, low", high(observed, simulated), low(observed, simulated))
print("timing", timing(observed, simulated), timing(gapped, simulated), timing(np.round(observed * 2) / 2, simulated))
levels = np.round(np.arange(0.05, 0.951, 0.05), 2)
quantiles = [0.1 + 0.15 * i + 0.01 * i * i for i in range(19)]
print("CRPS", [float(scoringrules.crps_quantile(y, quantiles, levels)) for y in (0.1, 1.0, 7.5)])
