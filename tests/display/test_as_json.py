"""What verbs tell scripts."""

import io

from rich.console import Console
from small_study import small_plan

from clustersweep.display.as_json import status_json
from clustersweep.display.tables import print_status
from clustersweep.storage.store import Storage
from clustersweep.tasks import tasks


def test_the_json_of_status_has_the_documented_form_also_before_anything_is_complete(tmp_path):
    storage = Storage.in_memory(tasks)
    storage.begin(small_plan(tmp_path))
    shown = status_json(storage.results("small"))
    assert list(shown) == ["study", "digest", "complete", "running", "waiting", "failed", "infeasible", "stopped",
                           "interrupted", "best", "launch", "left"]  # fmt: skip
    assert (shown["waiting"], shown["infeasible"], shown["best"]) == (3, 1, None)


def test_what_a_dead_launch_left_running_is_interrupted(tmp_path):
    storage = Storage.in_memory(tasks)
    for trial in storage.begin(small_plan(tmp_path))[:2]:
        storage.start(trial)
    results, said = storage.results("small"), io.StringIO()
    print_status(results, Console(width=80, file=said))
    assert "4 combinations: 1 waiting, 1 infeasible, 2 interrupted\n" in said.getvalue()
    assert (status_json(results)["running"], status_json(results)["interrupted"]) == (0, 2)
    print_status(results, Console(width=80, file=said), "clustersweep launch small pid 7 on here")
    assert "being launched by clustersweep launch small pid 7 on here\n4 combinations: 2 running" in said.getvalue()
    assert (status_json(results, "somebody")["running"], status_json(results, "somebody")["interrupted"]) == (2, 0)
