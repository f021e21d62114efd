"""Which data a study uses: what makes a simulated survey another one, and where paths begin."""

from pathlib import Path

import pytest

from clustersweep.survey.spec import DataSpec, SimulateSpec, with_absolute_paths

SMALL = SimulateSpec(clusters=12, seed=3, pixels=20)


def test_every_part_of_the_recipe_changes_its_digest() -> None:
    specs = [SMALL, SimulateSpec(clusters=13, seed=3, pixels=20), SimulateSpec(clusters=12, seed=4, pixels=20),
             SimulateSpec(clusters=12, seed=3, pixels=21)]  # fmt: skip
    assert len({spec.digest for spec in specs}) == 4


def test_relative_paths_begin_in_the_folder_of_the_settings_file_and_absolute_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = DataSpec(images=Path("../i.fits"), catalogue=Path("/far/c.fits"), rebin=2)
    found = with_absolute_paths(spec, Path("studies/s.yaml"))
    assert (found.images, found.catalogue, found.rebin) == (tmp_path / "studies/../i.fits", Path("/far/c.fits"), 2)
    simulated = DataSpec(simulate=SMALL)
    assert with_absolute_paths(simulated, Path("studies/s.yaml")) == simulated
