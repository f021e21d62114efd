"""The page of a survey: its figures, its words, and where it is written."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_survey import make_dataset

from clustersweep.errors import StorageError
from clustersweep.report.survey import example_figure, survey_page, write_survey_page
from clustersweep.survey import figures


@pytest.mark.parametrize("known", [0, 30])
def test_a_survey_with_missing_redshifts_is_summarised_and_drawn_without_a_nan(known: int) -> None:
    full = make_dataset()
    dataset = replace(full, redshift=np.where(np.arange(40) < known, full.redshift, np.nan))
    lines = dict(figures.summary(dataset).items())
    page = survey_page(dataset, "s")
    words = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", words + " ".join(lines.values()), re.IGNORECASE)
    assert "no redshift, sum" in words
    assert ("figure-plane" in page) == (known > 0)
    if known:
        assert lines["redshift"].endswith("; 10 clusters have none")
        assert "10 clusters without a redshift not drawn" in words
    else:
        assert lines["redshift"] == "none"
        assert "z, 5 25 50 75 95 %" not in lines
        assert "No cluster has a redshift" in words


def test_the_page_holds_every_figure_and_names_its_source_safely(tmp_path: Path) -> None:
    page = survey_page(make_dataset(), "images <&> catalogue")
    assert "images &lt;&amp;&gt; catalogue" in page
    names = set(re.findall(r'id="(figure-[a-z0-9-]+)"', page))
    assert names == {"figure-histograms", "figure-plane", *(f"figure-example-{n}" for n in range(1, 7))}
    assert "0.455 to 0.66 keV" in page
    assert page.count("Figure ") == 8
    assert "default-src 'none'" in page  # the browser itself refuses every request
    written = write_survey_page(make_dataset(), tmp_path / "a" / "survey.html", "source")
    assert written.read_text().startswith("<!DOCTYPE html>")


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="survey's page"):
        write_survey_page(make_dataset(), tmp_path / "file" / "survey.html", "source")


def test_one_bright_pixel_does_not_darken_the_rest_of_an_example() -> None:
    dataset = make_dataset(clusters=3, pixels=50)
    usual = figures.examples(dataset)[0].brightest
    assert 5 <= usual <= 12
    dataset.images[:, 3, 4, 1] = 255
    example = figures.examples(dataset)[0]
    assert example.brightest == usual
    assert example_figure(example).data[1].zmax == pytest.approx(np.sqrt(usual))
    assert f"Brightest colour: {usual:.3g} or more in a pixel" in survey_page(dataset, "source")
    dataset.images[:] = 0
    dataset.images[:, 3, 4, 1] = 1
    assert figures.examples(dataset)[0].brightest == 1
