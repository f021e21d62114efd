"""What is wrong with a study that names a function: its code, its axes, its settings and what it excludes."""

import pytest
from own_study import problems


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "nowhere:train"}, "task = nowhere:train: there is no nowhere.py beside the study"),
        ({"task": "nets:fit"}, "task = nets:fit: "),
        ({"task": "nets"}, "task = nets: must be `module:function`"),
        ({"task": 3}, "task = 3: must be text"),
        ({"feasible": "nets:train"}, "feasible = nets:train: train in "),
        ({"version": 0}, "version = 0: must be at least 1"),
        ({"settings": [1]}, "settings = [1]: must be a section with keys of its own"),
        ({"search_space": {"width": 3}}, "search_space.width = 3: must be a list. Write it as [a, b, c], or move the "
                                         "one value to `settings`."),
        ({"search_space": {"width": [1, "a"]}}, "must have values of one kind: numbers, words, or true and false"),
        ({"search_space": {"width": [1, True]}}, "must have values of one kind"),
        ({"search_space": {"width": [[1]]}}, "search_space.width[0] = [1]: must be a number, a word, or true or false"),
        ({"search_space": {"width": [1, 1]}}, "search_space.width[1] = 1: is given twice"),
        ({"search_space": {"width": []}}, "must have at least one value"),
        ({"search_space": {}}, "search_space: must have at least one axis"),
        ({"search_space": {"seed": [1]}}, "search_space.seed = [1]: is no axis: every combination is trained"),
        ({"search_space": {"epochs": [1]}}, "settings.epochs = 5: is also an axis of `search_space`"),
        ({"objective": {"metric": "kind"}}, "objective.metric = kind: is an axis of `search_space`"),
        ({"objective": {"direction": "up"}}, "objective.direction = up: must be minimize or maximize"),
        ({"exclude": [{"when": {}}]}, "exclude[0].when = {}: must name an axis"),
        ({"exclude": [{"when": {"depth": 3}}]}, "exclude[0].when.depth: is no axis of `search_space`. Name one of"),
        ({"exclude": [{"when": {"width": [1, 3]}}]}, "must be a value of the axis width, and 3 is none. Write one of"),
        ({"exclude": [{"reason": "x"}]}, "exclude[0].when: is missing"),
        ({"network": {"filters": 3}}, "network: is no key of a study"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_study_of_ones_own_is_told_with_its_place_and_remedy(tmp_path, changes, words):
    told = problems(tmp_path, **changes)
    assert any(words in one for one in told), told
    assert all(one.split(":")[0].isdigit() for one in told)  # the line
