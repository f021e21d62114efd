"""What decides numbers beside the study: versions, and the commit."""

import subprocess
from datetime import UTC, datetime, timedelta

import clustersweep
from clustersweep import provenance
from clustersweep.provenance import commit, stamp, versions


def test_provenance_names_versions_and_the_commit():
    assert versions()["tensorflow"].startswith("2.")
    found = commit()
    assert found is None or len(found.rstrip("+")) == 40


def test_a_package_that_is_not_there_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("clustersweep", "no-such-package"))
    assert versions() == {"clustersweep": clustersweep.__version__, "no-such-package": "not installed"}


def test_a_commit_has_a_plus_where_files_differ_from_it_and_there_is_none_outside_git(tmp_path, monkeypatch):
    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", *name, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    code = tmp_path / "package" / "provenance.py"
    code.parent.mkdir()
    code.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(code))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    head = git("rev-parse", "HEAD").strip()
    assert commit() == head
    (tmp_path / "elsewhere").write_text("not of the package")
    assert commit() == head
    code.write_text("changed")
    assert commit() == f"{head}+"


def test_a_stamp_has_the_moment_in_universal_time():
    made = datetime.fromisoformat(stamp()["exported"])
    assert made.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
