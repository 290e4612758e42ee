import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

from models import CAMELS, CANCE, NWRFC  # noqa: E402 -- after the configuration


@pytest.fixture(params=[*CANCE, *CAMELS, *NWRFC])
def kind(request) -> str:
    """Every kind of model."""
    return request.param


@pytest.fixture(params=CANCE)
def cance_kind(request) -> str:
    """The Cance's kinds, which conserve and are monotone by construction."""
    return request.param
