"""What holds of the physics as a whole: its functions name their sources, and a real cluster has its counts."""

import inspect
import re
from types import ModuleType

import pytest

from clustersweep.survey.simulator import cosmology, gas, instrument, points, population, spectrum, verification

SOURCE = re.compile(r"\b(19|20)\d\d\b|lab report|`[a-z./_]*[a-zA-Z_0-9.]+`|docs/physics\.md|a choice")


@pytest.mark.parametrize("module", [cosmology, gas, spectrum, instrument, points, population])
def test_every_function_of_the_physics_names_its_source(module: ModuleType) -> None:
    # A paper, a table, the lab report, the page of the physics, or the function of which it is a consequence.
    own = [f for _, f in inspect.getmembers(module, callable) if getattr(f, "__module__", "") == module.__name__]
    functions = [f for f in own if not inspect.isclass(f) and not f.__name__.startswith("_")]
    assert len(functions) >= 2
    silent = [f.__name__ for f in functions if not SOURCE.search(f.__doc__ or "")]
    assert silent in ([], ["band_energies"])  # which only cuts bands into steps


def test_the_forward_model_gives_the_counts_of_a_real_cluster() -> None:
    # eFEDS J092121.2+031726: 1,181 net counts within 2'.
    assert verification.real_cluster_counts() == pytest.approx(1181, rel=0.20)
