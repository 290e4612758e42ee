"""P-RNN against values computed with the published code's equations by an independent implementation."""

import numpy as np
from numpy.testing import assert_allclose

from nilometer_exporter.exphydro import Snow, Soil, hamon_pet, run_daily, soil_step

SOIL = Soil(f=0.05, smax=750.0, qmax=25.0)
SNOW = Snow(degree_day=2.5, tmax=1.5, tmin=-1.5)
PRECIPITATION = np.array([10.0, 0.0, 20.0, 5.0, 30.0])
TEMPERATURE = np.array([-5.0, -2.0, 3.0, 8.0, 12.0])
DAY_LENGTH = np.array([0.4, 0.4, 0.45, 0.5, 0.55])


def test_hamon_pet():
    assert_allclose(hamon_pet(TEMPERATURE, DAY_LENGTH), [0.449112, 0.556388, 0.883602, 1.366015, 1.937906], atol=5e-7)


def test_daily_model_with_snow():
    snow, soil, flow = run_daily((50.0, 800.0), PRECIPITATION, TEMPERATURE, DAY_LENGTH, SNOW, SOIL)
    assert_allclose(snow, [60, 60, 56.250001, 40.000001, 13.750001], atol=6e-7)
    assert_allclose(soil, [724.550888, 717.009808, 735.111470, 743.147406, 779.729681], atol=6e-7)
    assert_allclose(flow, [7.003571, 4.803603, 11.875166, 17.747526, 54.729681], atol=6e-7)


def test_soil_step_without_snow():
    """The published form of the equations, both smooth steps written out, in plain NumPy."""

    def gate(x):
        return (np.tanh(5 * x) + 1) / 2

    store = np.array([0.05, 3.0, 400.0, 749.8, 750.0, 750.4, 790.0])
    rain, pet = 7.0, 2.0
    above, below = gate(store - SOIL.smax), gate(SOIL.smax - store)
    lost = gate(store) * (above * pet + below * pet * store / SOIL.smax)
    base = gate(store) * (above * SOIL.qmax + below * SOIL.qmax * np.exp(-SOIL.f * (SOIL.smax - store)))
    spill = gate(store) * above * (store - SOIL.smax)
    store_next, evapotranspiration, outflow = soil_step(store, rain, pet, SOIL)
    assert_allclose(evapotranspiration, lost, rtol=1e-12)
    assert_allclose(outflow, base + spill, rtol=1e-12)
    assert_allclose(store_next, store + rain - lost - base - spill, rtol=1e-12)
