"""Which data a study uses: what makes a simulated survey another one, and where paths begin."""

from clustersweep.survey.spec import SimulateSpec

SMALL = SimulateSpec(clusters=12, seed=3, pixels=20)


def test_every_part_of_the_recipe_changes_its_digest() -> None:
    specs = [SMALL, SimulateSpec(clusters=13, seed=3, pixels=20), SimulateSpec(clusters=12, seed=4, pixels=20),
             SimulateSpec(clusters=12, seed=3, pixels=21)]  # fmt: skip
    assert len({spec.digest for spec in specs}) == 4
