"""The models of ``tests/bench/models.rs`` in PyTorch (eager) and NumPy: the same weights, catchments and weather, one thread.

Prints a line ``library, case, seconds, mean discharge`` (of training: the loss), separated by tabs. Whatever does not change from
step to step is prepared beforehand.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402 -- after the number of threads
import torch  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

torch.set_num_threads(1)
ROLLOUTS, STEPS, TRAINING = ((365, 500), (3650, 475)), ((1, 1), (25, 20), (500, 20), (3125, 32)), (365, 500)
FILTERS, DAYS, INPUTS = 8, 10, 7
RANGES = ((-3.0, 0.0), (0.0, 3.0), (0.0, 5.0), (0.0, 0.1), (100.0, 1500.0), (10.0, 50.0))


def weather(steps: int, catchments: int, first: int = 0) -> np.ndarray:
    """``[T, F, C]``."""
    t, c = np.arange(first, first + steps)[:, None], np.arange(catchments)[None]
    season = np.sin(2 * np.pi / 365 * t + 0.01 * c)
    rain = np.maximum(14 * np.sin(0.9 * t + 0.7 * c) - 6, 0)
    rows = rain, 2 - 9 * season, 12 - 9 * season, 0.5 - 0.1 * season, 180 - 90 * season, 900 - 400 * season
    return np.stack(rows, axis=1).astype(np.float32)


class Numpy:
    """What the models need of NumPy."""

    name = "NumPy"
    exp, tanh, log, where, sqrt = np.exp, np.tanh, np.log, np.where, np.sqrt
    array = staticmethod(np.asarray)
    concatenate = staticmethod(lambda parts, axis: np.concatenate(parts, axis=axis))
    einsum, zeros = np.einsum, staticmethod(lambda *shape: np.zeros(shape, np.float32))
    sigmoid = staticmethod(lambda x: 0.5 * (np.tanh(0.5 * x) + 1))
    stack = staticmethod(np.stack)
    minimum, maximum = np.minimum, np.maximum


class Torch:
    """The same of PyTorch."""

    name = "PyTorch eager"
    exp, tanh, log, where, sqrt = torch.exp, torch.tanh, torch.log, torch.where, torch.sqrt
    array = staticmethod(torch.as_tensor)
    concatenate = staticmethod(lambda parts, axis: torch.cat(parts, dim=axis))
    einsum, zeros = torch.einsum, staticmethod(lambda *shape: torch.zeros(*shape))
    sigmoid, stack = torch.sigmoid, torch.stack
    minimum, maximum = torch.minimum, torch.maximum


def softplus(x, to):
    zero = to.zeros(1)
    return to.maximum(x, zero) + to.log(1 + to.exp(-abs(x)))


class Lstm:
    """``lstm``: networks K beside each other, whose mean counts."""

    def __init__(self, weights: dict, attributes: np.ndarray, to) -> None:
        self.to, self.w = to, {name: to.array(value) for name, value in weights.items()}
        scaled = (attributes - weights["attribute_mean"][:, None]) / weights["attribute_deviation"][:, None]
        self.networks, _, self.hidden = weights["recurrent"].shape
        self.attributes = to.array(np.repeat(scaled[None].astype(np.float32), self.networks, axis=0))
        self.prepare()

    def prepare(self) -> None:
        """What attributes alone say; in training it is done anew each time."""
        w, to, embedded = self.w, self.to, self.attributes
        for layer in ("embedding_1", "embedding_2"):
            embedded = to.tanh(w[layer] @ embedded + w[f"{layer}_bias"][..., None])
        known = to.concatenate([self.attributes, embedded], axis=1)
        self.gates = w["static"] @ known + w["bias"][..., None]
        self.inward, self.outward = (2 * to.sigmoid(w[name] @ known) for name in ("inward", "outward"))
        self.level = w["level"] @ known + w["head_bias"][..., None]
        self.into = to.concatenate([w["recurrent"], w["input"]], axis=2)

    def state(self, columns: int):
        return tuple(self.to.zeros(self.networks, self.hidden, columns) for _ in range(2))

    def scaled(self, forcing):
        return (forcing - self.w["forcing_mean"][:, None]) / self.w["forcing_deviation"][:, None]

    def step(self, scaled, state):
        hidden, memory = state
        entering = self.to.concatenate([hidden, self.to.stack([scaled] * self.networks)], axis=1)
        gates, size = self.into @ (self.inward * entering) + self.gates, self.hidden
        enter, forget, new, out = (gates[:, i * size : (i + 1) * size] for i in range(4))
        memory = self.to.sigmoid(forget) * memory + self.to.sigmoid(enter) * self.to.tanh(new)
        return self.to.sigmoid(out) * self.to.tanh(memory), memory

    def head(self, hidden):
        raw = self.w["head"] @ (self.outward * hidden) + self.level
        steps = softplus(raw[..., 2:, :], self.to)
        root = self.to.maximum(raw[..., 1:2, :] + self.w["ladder"] @ steps, self.to.zeros(1)) * self.w["root_deviation"]
        mean = softplus(raw[..., 0, :], self.to) * self.w["discharge_deviation"]
        return mean.mean(-2), (root * root).mean(-3)

    def rollout(self, forcing, state):
        states = []
        for now in self.scaled(forcing):
            state = self.step(now, state)
            states.append(state[0])
        return self.head(self.to.stack(states))[0]


class Hybrid:
    """``hybrid-regional``."""

    def __init__(self, weights: dict, attributes: np.ndarray, to) -> None:
        self.to, self.w = to, {name: to.array(value) for name, value in weights.items()}
        scaled = (attributes - weights["attribute_mean"][:, None]) / weights["attribute_deviation"][:, None]
        self.attributes = to.array(scaled.astype(np.float32))
        self.prepare()

    def prepare(self) -> None:
        """What attributes alone say; in training it is done anew each time."""
        w, to = self.w, self.to
        network = lambda n: w[f"{n}_2"] @ to.tanh(w[f"{n}_1"] @ self.attributes + w[f"{n}_1_bias"][:, None]) + w[f"{n}_2_bias"][:, None]  # noqa: E731
        self.physical = [low + (high - low) * to.sigmoid(raw) for raw, (low, high) in zip(network("physical"), RANGES)]
        neural, size = network("neural"), FILTERS * INPUTS * DAYS
        columns = neural.shape[1]
        self.kernel = neural[:size].reshape(FILTERS, INPUTS, DAYS, columns)
        self.bias, self.mix = neural[size : size + FILTERS], neural[size + FILTERS : size + 2 * FILTERS]
        self.offset = neural[size + 2 * FILTERS]

    def state(self, columns: int):
        return self.to.zeros(columns), self.to.zeros(columns), self.to.zeros(DAYS - 1, INPUTS, columns)

    def gate(self, x):
        return self.to.sigmoid(10.0 * x)

    def discharge(self, soil):
        _, _, _, f, smax, qmax = self.physical
        excess = soil - smax
        below = qmax * self.to.exp(f * self.to.minimum(excess, excess * 0 + 10.0))
        above = qmax + self.to.maximum(excess, excess * 0 - 10.0)
        return self.gate(soil) * (below + self.gate(excess) * (above - below))

    def day(self, forcing, snow, soil):
        tmin, tmax, df, _, smax, _ = self.physical
        rain_and_snow, low, high, light = forcing[0], forcing[1], forcing[2], forcing[3]
        temperature = (low + high) / 2
        potential = 29.8 * 24.0 * light * (0.611 * self.to.exp(17.3 * temperature / (temperature + 237.3))) / (temperature + 273.2)
        melt = self.gate(temperature - tmax) * self.gate(snow) * self.to.minimum(snow, df * (temperature - tmax))
        water = self.gate(temperature - tmin) * rain_and_snow + melt
        snow = snow + (self.gate(tmin - temperature) * rain_and_snow - melt)
        wetness = soil / smax
        evaporated = potential * self.gate(soil) * (wetness + self.gate(soil - smax) * (1 - wetness))
        soil = soil + (water - evaporated - self.discharge(soil))
        return snow, soil, self.discharge(soil)

    def head(self, forcing, flow, window):
        w, to, count = self.w, self.to, len(forcing)
        scaled = (forcing - w["forcing_mean"][:, None]) / w["forcing_deviation"][:, None]
        seen = to.concatenate([window, to.concatenate([scaled, (flow / w["discharge_deviation"])[:, None]], axis=1)], axis=0)
        elu = lambda x: to.where(x > 0, x, to.exp(to.minimum(x, x * 0)) - 1)  # noqa: E731
        hidden = self.bias[None] + sum(to.einsum("fkc,tkc->tfc", self.kernel[:, :, lag], seen[lag : lag + count]) for lag in range(DAYS))
        mixed = elu((elu(hidden) * self.mix[None]).sum(1) + self.offset) * w["discharge_deviation"]
        return to.maximum(mixed, mixed * 0), seen[count:]

    def rollout(self, forcing, state):
        snow, soil, window = state
        flows = []
        for now in forcing:
            snow, soil, flow = self.day(now, snow, soil)
            flows.append(flow)
        return self.head(forcing, self.to.stack(flows), window)[0]


def seconds(runs: int, work) -> float:
    work()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2]


def measure(kind, weights: dict, golden: np.ndarray, to) -> None:
    def say(case: str, taken: float, value) -> None:
        print(to.name, case, taken, float(value), sep="\t", flush=True)

    build = lambda columns, members=1: kind(weights, np.repeat(golden[:, np.arange(columns) % golden.shape[1]], members, axis=1), to)  # noqa: E731
    with torch.no_grad():
        for steps, catchments in ROLLOUTS:
            model, forcing = build(catchments), to.array(weather(steps, catchments))
            run = lambda: model.rollout(forcing, model.state(catchments))  # noqa: B023, E731
            say(f"rollout {steps} × {catchments}", seconds(3, run), run().mean())
        for catchments, members in STEPS:
            model, columns = build(catchments, members), catchments * members
            forcing, state = to.array(np.repeat(weather(1, catchments, 3), members, axis=2)), model.state(columns)

            def step():
                if kind is Lstm:
                    after = model.step(model.scaled(forcing[0]), state)  # noqa: B023
                    return model.head(after[0])[0]  # noqa: B023
                snow, soil, flow = model.day(forcing[0], state[0], state[1])  # noqa: B023
                return model.head(forcing, flow[None], state[2])[0]  # noqa: B023

            say(f"step {columns}", seconds(10 if columns > 10_000 else 50, step), step().mean())
    if to is not Torch:
        return
    steps, catchments = TRAINING
    model, forcing = build(catchments), to.array(weather(steps, catchments))
    frozen = ("forcing_", "attribute_", "discharge_d", "root_d", "ladder")
    moving = [weight.requires_grad_() for name, weight in model.w.items() if not name.startswith(frozen)]
    optimiser = torch.optim.Adam(moving, lr=0.0)

    def train():
        optimiser.zero_grad()
        model.prepare()
        loss = ((model.rollout(forcing, model.state(catchments)) - 1.0) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        optimiser.step()
        return loss.detach()

    say(f"train_step {steps} × {catchments}", seconds(3, train), train())


def main() -> None:
    package = Path(sys.argv[1])
    weights, golden = load_file(package / "weights.safetensors"), load_file(package / "golden.safetensors")["attributes"]
    for to in (Torch, Numpy):
        measure(Lstm if package.name == "lstm" else Hybrid, dict(weights), golden, to)


main()
