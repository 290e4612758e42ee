"""Scores, and the blocks of the training window that are left out in turn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from .data import TRAINING_END, TRAINING_START, TrainingData

# Dry spell, first flood, second (larger) flood, recession: training without one of them and scoring it is the only honest
# figure inside the window.
BLOCK_STARTS = (TRAINING_START, datetime(2014, 10, 9, 12), datetime(2014, 10, 12, 8), datetime(2014, 10, 16))


def blocks(data: TrainingData) -> Iterator[tuple[str, np.ndarray]]:
    """Each block's ISO interval and its hours as a mask ``[T]``."""
    times = np.array(data.times)
    for start, end in zip(BLOCK_STARTS, (*BLOCK_STARTS[1:], TRAINING_END)):
        inside = (times >= start) & (times < end) if end != TRAINING_END else times >= start
        yield f"{start:%Y-%m-%dT%H}/{end:%Y-%m-%dT%H}", inside


def nse(simulated: np.ndarray, observed: np.ndarray) -> float:
    """Nash-Sutcliffe efficiency over the hours where ``observed [T]`` is finite."""
    valid = np.isfinite(observed)
    error = np.sum((simulated[valid] - observed[valid]) ** 2)
    return float(1 - error / np.sum((observed[valid] - observed[valid].mean()) ** 2))
