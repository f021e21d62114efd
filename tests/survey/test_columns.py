"""What is said of a column that is not there."""

import pytest

from clustersweep.survey.columns import absent, another, naming


def said(columns, option, name, **how):
    problem = absent("c.fits", columns, option, name, **{"chosen": True, "typed": False, **how})
    return problem.rule, problem.remedy


def test_a_named_column_that_is_not_there_is_told_with_those_that_are_and_the_nearest():
    rule, remedy = said(["M500c", "z_spec", "ID"], "redshift", "zspec")
    assert rule == "is not a column of the catalogue, which has: M500c, z_spec, ID"
    assert remedy.startswith("Did you mean `z_spec`? Name the column with `redshift:` in a study or configuration")


def test_where_no_usual_name_is_there_the_usual_names_are_told():
    rule, remedy = said(["A", "B"], "mass", "M500c", chosen=False)
    assert rule.startswith("no usual name of a mass (")
    assert rule.endswith(") is in the catalogue, which has: A, B")
    assert remedy.startswith("Name the column with `mass:`")


@pytest.mark.parametrize("typed", [False, True])
def test_networks_without_redshift_are_a_way_out_of_a_study_not_of_a_command(typed):
    rule, remedy = said([], "redshift", "z", chosen=False, typed=typed)
    assert rule.endswith("which has: none, and the network takes the redshift")
    assert ("Networks with `redshift: none` need none." in remedy) is not typed


def test_a_mass_of_another_overdensity_is_not_taken_for_the_one_that_is_wanted():
    _, remedy = said(["M200c", "z"], "mass", "M500c", chosen=False)
    assert "Did you mean" not in remedy
    assert remedy.endswith("`M200c` looks like a mass of another overdensity: M500c has to be computed from it.")


@pytest.mark.parametrize(("typed", "first"), [(False, "`mass:` in a study"), (True, "`--mass` on the command line")])
def test_the_way_that_the_reader_most_likely_takes_comes_first(typed, first):
    assert naming("mass", typed=typed).startswith(f"Name the column with {first}")
    assert another("mass", typed=typed).startswith(f"Name another column with {first}")
