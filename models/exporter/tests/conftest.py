import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")


@pytest.fixture(params=["physical", "hybrid"])
def kind(request) -> str:
    return request.param
