"""CPUs are counted as the system lets this process have them, wherever their number is a default."""

import os
import subprocess
import sys

import pytest

from clustersweep.cpus import available_cpus, cpu_model

MINE = len(os.sched_getaffinity(0))


def machine(folder, cgroup, files):
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def version_1(folder, quota):
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, MINE),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, MINE),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "50000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 1),
        ("0::/a\n", {"sys/fs/cgroup/b/cpu.max": "50000 100000\n"}, MINE),  # somebody else's
        ("3:cpu,cpuacct:/a\n0::/\n", version_1("sys/fs/cgroup/cpu,cpuacct/a", 50000), 1),
        ("3:cpu:/docker/x\n", version_1("sys/fs/cgroup/cpu", 90000), 1),
        ("3:cpu:/\n", version_1("sys/fs/cgroup/cpu", -1), MINE),
        ("3:memory:/\n", version_1("sys/fs/cgroup/memory", 50000), MINE),
        ("nonsense\n", {"sys/fs/cgroup/cpu.max": "nonsense\n"}, MINE),
    ],
)
def test_a_quota_of_a_cgroup_or_of_one_around_it_bounds_the_cpus(tmp_path, cgroup, files, expected):
    assert available_cpus(machine(tmp_path, cgroup, files)) == expected


def test_a_machine_without_cgroups_has_what_its_affinity_says(tmp_path):
    assert available_cpus(tmp_path) == MINE


def test_a_quota_is_rounded_up(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    made = machine(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"})
    assert available_cpus(made) == 3


def test_every_default_number_of_cpus_is_what_the_affinity_leaves():
    script = (
        "import os, inspect; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from clustersweep.cli import survey, training\n"
        "verbs = {training.train: 'threads', training.predict: 'threads', survey.simulate: 'jobs'}\n"
        "print([inspect.signature(verb).parameters[name].default for verb, name in verbs.items()])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[1, 1, 1]\n"


def test_the_kind_of_cpu_is_named_as_linux_has_it_and_else_as_python_knows(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) CPU @ 2GHz\n\n"
    )
    assert cpu_model(tmp_path) == "Intel(R) Xeon(R) CPU @ 2GHz"
    assert cpu_model(tmp_path / "nowhere")
