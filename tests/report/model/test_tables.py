"""The tables of a model's report."""

import re

from example_training import example_page, stage

from clustersweep.report.model.tables import published_html, stages_html

PAGE = example_page(resamples=100)
EVALUATION, STAGES = PAGE.evaluation, PAGE.stages


def test_the_table_of_stages_has_losses_before_and_after_and_what_was_kept() -> None:
    listed = stages_html((stage("base", loss=0.05), stage("outliers", kept=False, loss=0.06)))
    rows = [re.sub("<.*?>", " ", row).split() for row in listed.split("<tr")[2:]]
    assert rows[0][1:] == ['class="">', "0", "base", "–", "0.05000", "–", "2", "2", "3", "yes"][1:]
    assert rows[1][1:8] == ["0", "outliers", "0.05000", "0.06000", "+20.0%", "2", "2"]
    assert "NLL" not in listed.split("<tbody>")[0]
    assert '<button type="button">NLL' in stages_html((stage("probabilistic", nll=-0.2),))


def test_the_published_losses_stand_beside_ours_with_their_caveat() -> None:
    listed = published_html(EVALUATION, STAGES)
    for value in ("0.1471", "0.0533", f"{EVALUATION.test.mse.value:.4f}", "mean of its 3 seeds"):
        assert value in listed
    assert "Different data" in listed
