"""Surveys from Python: simulated, converted and shown, as the verbs do it."""

import pytest

import clustersweep as cs


def test_paths_are_shown_as_they_are(tmp_path):
    folder = tmp_path / ":x:[b]"  # to rich a picture and a tag
    assert repr(cs.simulate(folder, clusters=10, pixels=4, jobs=1)) == f"{folder}/images.fits\n{folder}/catalogue.fits"


def test_a_survey_is_simulated_and_converted_and_shows_what_was_taken(tmp_path):
    made = cs.simulate(tmp_path / "survey", clusters=20, pixels=6, jobs=1)
    assert repr(made) == f"{tmp_path}/survey/images.fits\n{tmp_path}/survey/catalogue.fits"
    done = cs.convert(made.images, tmp_path / "survey.npz", catalogue=str(made.catalogue))
    assert (done.clusters, done.to) == (20, tmp_path / "survey.npz")
    assert repr(done).startswith(
        f"{tmp_path}/survey.npz: 20 clusters, digest {done.digest}\ntaken from {made.catalogue}: "
    )
    with pytest.raises(ValueError, match="at least 10 clusters of 4 pixels a side are simulated, not 9 of 6"):
        cs.simulate(tmp_path / "few", clusters=9, pixels=6)
    with pytest.raises(cs.ClusterSweepError, match="is there already"):
        cs.convert(tmp_path / "survey", tmp_path / "survey.npz")


def test_a_survey_is_shown_by_its_numbers_and_a_page(tmp_path):
    made = cs.simulate(tmp_path / "survey", clusters=20, pixels=6, jobs=1)
    shown = cs.show(tmp_path / "survey", tmp_path / "page.html")
    assert (shown.summary.clusters, shown.html) == (20, tmp_path / "page.html")
    assert f"columns                  {shown.columns}\n" in repr(shown)
    assert repr(shown).endswith("page.html")
    assert str(made.images.parent) in shown.html.read_text()
