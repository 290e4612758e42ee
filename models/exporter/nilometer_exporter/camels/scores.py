"""Scores of a simulation against discharge, a value a catchment."""

from __future__ import annotations

import numpy as np


def nse(simulated: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Nash-Sutcliffe efficiency ``[C]`` over the days where ``observed [T, C]`` is finite; NaN without variance."""
    valid = np.isfinite(observed)
    mean = np.mean(observed, axis=0, where=valid)
    error = np.sum((simulated - observed) ** 2, axis=0, where=valid)
    variance = np.sum((observed - mean) ** 2, axis=0, where=valid)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, 1 - error / variance, np.nan)
