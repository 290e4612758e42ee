"""Fits the shares of a blend: which mixture of several models' hindcasts is nearest to what the gauges read.

Each hindcast is the archive that ``nilometer hindcast`` wrote, so that the models are judged as they run. A blend's quantile is the
weighted mean of its members'; shares are at least 0, sum to 1 and minimise the mean over catchments of CRPS over mean flow.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pyarrow as pa
import pyarrow.dataset as ds

from .camels.data import Catchments, load, period
from .camels.lstm import LEVELS
from .camels.scores import nse
from .package import toml_table

VERSION = "1.0.0"
DAY_S = 86_400
QUANTILES = [f"q{round(100 * level):02d}" for level in LEVELS]
MM_KM2_A_DAY = 86.4  # of one m³ s⁻¹
# Days between two that are fitted: neighbours tell the same.
EVERY = 5


def fit(hindcasts: list[Path], data: Path, left_out: Path | None, window: tuple[date, date], leads: list[int], out: Path) -> None:
    """Fits the shares of the hindcasts' models over ``window``, each of ``leads`` (days) alike, and writes ``out/blend.toml``; a member's
    package is ``../NAME``."""
    unjudged = set(left_out.read_text().split()) if left_out else set()
    observed = load(data)
    observed = observed.chosen([name for name in observed.names if name not in unjudged])
    days = period(window)
    members = [read(folder, observed, days, leads) for folder in hindcasts]
    discharge = observed.discharge[days]
    shares = shares_of(np.stack([member.quantiles for member in members]), np.tile(discharge[::EVERY], (len(leads), 1)))
    mean = sum(share * member.mean for share, member in zip(shares, members))
    scores = nse(mean, discharge)
    judged = int(np.isfinite(scores).sum())
    skill = {"NSE": float(np.nanmedian(scores)), "share of NSE below 0": float(np.mean(scores[np.isfinite(scores)] < 0))}
    for member, share in zip(members, shares):
        print(f"{member.name:<20} share {share:.4f}   NSE {np.nanmedian(nse(member.mean, discharge)):.4f}")
    print(f"{'blend':<20} {'':<12} NSE {skill['NSE']:.4f}, below 0 in {skill['share of NSE below 0']:.4f} of {judged} catchments")
    write(out, members, shares, window, leads, judged, skill)


class Member:
    """One model's hindcast, mm a day: ``mean [T, C]`` of the first lead time, and of every one, behind each other, each ``EVERY``-th
    day's ``quantiles [L T / EVERY, Q, C]``."""

    def __init__(self, name: str, sha256: str, mean: np.ndarray, quantiles: np.ndarray) -> None:
        self.name, self.sha256, self.mean, self.quantiles = name, sha256, mean, quantiles


def read(folder: Path, catchments: Catchments, days: slice, leads: list[int]) -> Member:
    """The forecasts so many days ahead that an archive holds of these catchments and days."""
    files = sorted(map(str, (folder / "archive" / "forecast.v1").glob("*/*.parquet")))
    rows = ds.dataset(files).to_table(
        columns=["catchment", "valid_time", "lead_time_s", "mean", *QUANTILES, "model", "weights_sha256"],
        filter=ds.field("lead_time_s").isin([lead * DAY_S for lead in leads]),
    )
    models, hashes = (rows[column].unique().to_pylist() for column in ("model", "weights_sha256"))
    if len(models) != 1 or len(hashes) != 1:
        raise ValueError(f"{folder} holds forecasts {leads} days ahead of models {models}, weights {hashes}; accepted is one of each")
    (name,), (sha256,) = models, hashes
    place = {catchment: i for i, catchment in enumerate(catchments.names)}
    codes = rows["catchment"].combine_chunks().dictionary_encode()
    column = np.array([place.get(c, -1) for c in codes.dictionary.to_pylist()])[codes.indices.to_numpy()]
    begin = datetime(1980, 1, 1, tzinfo=timezone.utc).timestamp()
    # A day is valid at its end.
    day = (rows["valid_time"].cast(pa.int64()).to_numpy() // 1_000_000 - int(begin)) // DAY_S - 1
    judged = (column >= 0) & (day >= days.start) & (day < days.stop)
    ahead = rows["lead_time_s"].to_numpy() // DAY_S
    count = days.stop - days.start

    def series(name: str, lead: int) -> np.ndarray:
        kept = judged & (ahead == lead)
        to_mm = (MM_KM2_A_DAY / catchments.area_km2)[column[kept]]
        values = np.full((count, len(catchments.names)), np.nan, np.float32)
        values[day[kept] - days.start, column[kept]] = rows[name].to_numpy()[kept] * to_mm
        return values

    quantiles = [np.stack([series(quantile, lead)[::EVERY] for quantile in QUANTILES], axis=1) for lead in leads]
    return Member(name, sha256, series("mean", leads[0]), np.concatenate(quantiles))


def shares_of(quantiles: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Shares ``[M]`` of ``quantiles [M, T, Q, C]``, of what was observed ``[T, C]``."""
    valid = np.isfinite(observed) & np.isfinite(quantiles).all(axis=(0, 2))
    scale = np.where(valid, observed, 0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    weight = valid / (np.maximum(scale, 1e-3) * np.maximum(valid.sum(axis=0), 1)) * (scale > 1e-3)
    levels = jnp.asarray(LEVELS, jnp.float32)[None, :, None]

    def crps(raw: jax.Array, quantiles: jax.Array, observed: jax.Array, weight: jax.Array) -> jax.Array:
        mixed = jnp.einsum("m,mtqc->tqc", jax.nn.softmax(raw), quantiles)
        error = observed[:, None] - mixed
        pinball = jnp.where(error > 0, levels * error, (levels - 1) * error)
        return 2 * (pinball.mean(axis=1) * weight).sum()

    optimiser = optax.adam(0.1)
    slope = jax.jit(jax.grad(crps))
    given = [jnp.asarray(np.nan_to_num(a), jnp.float32) for a in (quantiles, observed, weight)]
    raw = jnp.zeros(len(quantiles))
    memory = optimiser.init(raw)
    for _ in range(150):
        change, memory = optimiser.update(slope(raw, *given), memory)
        raw = optax.apply_updates(raw, change)
    return np.asarray(jax.nn.softmax(raw))


def write(
    out: Path,
    members: list[Member],
    shares: np.ndarray,
    window: tuple[date, date],
    leads: list[int],
    judged: int,
    skill: dict[str, float],
) -> None:
    """Writes ``blend.toml``."""
    rounded = [round(float(share), 4) for share in shares]
    rounded[0] = round(rounded[0] + 1 - sum(rounded), 4)
    tables = [
        toml_table(None, {
            "name": out.name, "version": VERSION, "licence": "Apache-2.0",
            "summary": f"Weighted mixture of {', '.join(member.name for member in members)}.",
        })
    ]  # fmt: skip
    for member, share in zip(members, rounded):
        if share <= 0:
            continue  # no part of the blend
        tables.append(
            toml_table("[[member]]", {"package": f"../{member.name}", "weight": share, "weights_sha256": member.sha256})
        )
    tables.append(toml_table("[training]", {
        "data": f"CAMELS-US, as the members' cards say; their hindcasts {', '.join(map(str, leads))} day(s) ahead.",
        "from": f"{window[0]}T00:00:00Z", "to": f"{window[1]}T23:59:59Z",
        "method": "Shares that minimise the mean over catchments of CRPS over mean flow, quantiles averaged, every fifth day.",
    }))  # fmt: skip
    for metric, value in skill.items():
        tables.append(toml_table("[[skill]]", {
            "catchment": f"{'share' if metric.startswith('share') else 'median'} of {judged}",
            "period": f"{window[0]}/{window[1]}, years that its members were not trained on and its shares were fitted on",
            "metric": metric, "value": value,
        }))  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "blend.toml").write_text("\n".join(tables), encoding="utf-8")
