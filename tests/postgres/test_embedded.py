import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import sqlalchemy
from children import Children
from servers import owner, short_folder

from clustersweep.errors import StorageError
from clustersweep.home import Home, find_home
from clustersweep.postgres import embedded, embedded_folder
from clustersweep.postgres.embedded import ensure_running, stop_embedded
from clustersweep.postgres.location import StudyLock, open_database

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose server runs as another user")


@pytest.fixture(scope="module")
def pattern() -> Iterator[Home]:
    """A home whose server was made and stopped, to be copied: making one takes most of a test's time."""
    path = short_folder(owner())
    home = find_home(path / "home", {}, os.geteuid())
    ensure_running(home)
    stop_embedded(home)
    yield home
    shutil.rmtree(path)


@pytest.fixture
def made(home: Home, pattern: Home) -> Home:
    """A home whose server was made before, and does not run."""
    subprocess.run(["cp", "-a", pattern.database, home.database], check=True)  # whose owner is the server's user
    return home


def query(home: Home, *statements: str) -> Any:
    """Run statements on a home's running server; give the last one's first value."""
    connection = psycopg2.connect(host=str(home.database), user="clustersweep", dbname="clustersweep")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def postmaster(home: Home) -> psutil.Process:
    return psutil.Process(int((home.database / "data" / "postmaster.pid").read_text().split()[0]))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def refusal(home: Home) -> str:
    with pytest.raises(StorageError) as caught:
        ensure_running(home)
    return str(caught.value)


OPEN = (
    "import sys; from pathlib import Path; from clustersweep.home import Home;"
    "from clustersweep.postgres.embedded import ensure_running; ensure_running(Home(Path(sys.argv[1])));"
)


# Starting and stopping


@pytest.mark.integration
def test_the_first_opening_makes_the_server_and_the_next_finds_it_at_once(home: Home) -> None:
    database = open_database(None, {"CLUSTERSWEEP_STORAGE": ""}, home)
    assert database.embedded
    assert query(home, "SELECT current_database() || current_setting('server_encoding')") == "clustersweepUTF8"
    server = postmaster(home).pid
    assert open_database(None, {}, home) == database
    assert postmaster(home).pid == server


@pytest.mark.integration
def test_data_survive_a_stop(made: Home) -> None:
    ensure_running(made)
    query(made, "CREATE TABLE mass (log_mass float)", "INSERT INTO mass VALUES (14.5)")
    assert stop_embedded(made) is True
    assert stop_embedded(made) is False
    assert not (made.database / ".s.PGSQL.5432").exists()
    ensure_running(made)
    assert query(made, "SELECT log_mass FROM mass") == 14.5


def test_stopping_what_never_ran_makes_nothing(tmp_path: Path) -> None:
    assert stop_embedded(Home(tmp_path)) is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_processes_that_open_a_new_home_at_once_all_succeed(home: Home, children: Children) -> None:
    command = [sys.executable, "-c", OPEN + "print('opened')", str(home.path)]
    openers = [children(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [opener.communicate()[0] for opener in openers] == ["opened\n"] * 4
    assert len([p for p in embedded._processes(home.database) if p.ppid() == postmaster(home).pid]) > 0
    assert (home.database / "log").read_text().count("database system is ready") == 1


@pytest.mark.integration
def test_the_server_outlives_a_killed_starter(made: Home) -> None:
    script = OPEN + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    starter = subprocess.run([sys.executable, "-c", script, str(made.path)], check=False)
    assert starter.returncode == -signal.SIGKILL
    server = postmaster(made).pid
    query(made, "CREATE TABLE mass (log_mass float)", "INSERT INTO mass VALUES (14.5)")
    ensure_running(made)
    assert postmaster(made).pid == server
    assert query(made, "SELECT log_mass FROM mass") == 14.5


@pytest.mark.integration
def test_a_killed_server_is_started_again_with_its_data(made: Home) -> None:
    ensure_running(made)
    query(made, "CREATE TABLE mass (log_mass float)", "INSERT INTO mass VALUES (14.5)")
    server = postmaster(made)
    server.kill()  # leaves its socket, its pid file and, for a moment, its children
    ensure_running(made)
    assert postmaster(made).pid != server.pid
    assert query(made, "SELECT log_mass FROM mass") == 14.5


@pytest.mark.integration
def test_a_pid_file_that_names_another_living_program_is_no_obstacle(made: Home) -> None:
    ensure_running(made)
    stop_embedded(made)
    user = owner()
    sleeper = subprocess.Popen(["sleep", "60"], user=user.uid if user else None)
    try:
        pid_file = made.database / "data" / "postmaster.pid"
        pid_file.write_text(f"{sleeper.pid}\n{made.database / 'data'}\n1700000000\n5432\n\n\n\n\n")
        ensure_running(made)
        stop_embedded(made)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.integration
def test_a_creation_cut_short_is_done_again(home: Home) -> None:
    part = home.database / "data-part"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("18\n")
    ensure_running(home)
    assert not part.exists()
    # Killed after the server started and before its database was made:
    connection = psycopg2.connect(host=str(home.database), user="clustersweep", dbname="postgres")
    connection.autocommit = True
    connection.cursor().execute("DROP DATABASE clustersweep")
    connection.close()
    ensure_running(home)
    assert query(home, "SELECT current_database()") == "clustersweep"


@pytest.mark.integration
def test_what_a_killed_launch_is_still_making_stands_in_nobodys_way(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = home.database / "data-part-1"
    part.mkdir(parents=True)
    (part / "postmaster.pid").write_text("1")
    unlink = os.unlink

    def gone(name: str, **where: int) -> None:  # its own process is faster
        unlink(name, **where)
        if name == "postmaster.pid" and where:
            raise FileNotFoundError(2, "No such file or directory", name)

    monkeypatch.setattr(os, "unlink", gone)
    ensure_running(home)
    monkeypatch.undo()
    assert query(home, "SELECT current_database()") == "clustersweep"


@pytest.mark.integration
def test_a_server_that_does_not_answer_is_reported_and_can_be_stopped(
    made: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_running(made)
    (made.database / ".s.PGSQL.5432").unlink()
    monkeypatch.setattr(embedded, "_PATIENCE_S", 0.2)
    text = refusal(made)
    assert "has refused connections for 0 s. Run `clustersweep stop`, then try again" in text
    monkeypatch.undo()
    assert stop_embedded(made) is True
    ensure_running(made)


@pytest.mark.integration
def test_a_server_that_will_not_stop_in_order_is_killed(made: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_running(made)
    for process in embedded._processes(made.database):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()  # deaf to any other signal
    monkeypatch.setattr(embedded, "_PATIENCE_S", 0.2)
    assert stop_embedded(made) is True
    assert embedded._processes(made.database) == []


@pytest.mark.integration
def test_a_server_that_does_not_start_shows_its_log(made: Home) -> None:
    ensure_running(made)
    stop_embedded(made)
    with (made.database / "data" / "postgresql.conf").open("a") as settings:
        settings.write("telescope = eROSITA\n")
    text = refusal(made)
    assert f"the embedded PostgreSQL in {made.database} does not start: pg_ctl: pg_ctl: could not start server" in text
    assert "or use a PostgreSQL server of your own with --storage" in text
    assert f"{made.database}/log ends:" in text
    assert 'unrecognized configuration parameter "telescope"' in text


@pytest.mark.integration
def test_a_log_that_has_grown_large_is_put_aside_when_the_server_starts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, older = home.database / "log", home.database / "log.1"
    for expected in (False, False, True):
        ensure_running(home)
        stop_embedded(home)
        assert older.exists() is expected
        if log.read_text().count("database system is ready") == 2:
            monkeypatch.setattr(embedded, "_LOG_BYTES", log.stat().st_size - 1)
    assert older.read_text().count("database system is ready") == 2
    assert log.read_text().count("database system is ready") == 1
    assert mode(log) == mode(older) == 0o600


@pytest.mark.integration
def test_variables_for_another_server_do_not_mislead(made: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"PGHOST": "nowhere.invalid", "PGPORT": "1", "PGUSER": "x", "PGDATABASE": "x", "PGDATA": "/x"}
    for name, value in (others | {"LC_ALL": "de_DE.UTF-8"}).items():
        monkeypatch.setenv(name, value)
    ensure_running(made)


@pytest.mark.integration
def test_the_server_does_not_carry_its_starters_secrets(made: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    ensure_running(made)
    assert "PGPASSWORD" not in postmaster(made).environ()


@as_root
@pytest.mark.integration
def test_a_full_disk_says_so(folder: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=711", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    try:
        text = refusal(Home(folder / "home"))
        assert "does not start: initdb" in text
        assert "No space left on device" in text
        assert "choose another home with --home" in text
    finally:
        subprocess.run(["umount", folder], check=True)


# Who may get in


@pytest.mark.integration
def test_the_server_has_no_network_listener(embedded_home: Home) -> None:
    ensure_running(embedded_home)
    assert query(embedded_home, "SHOW listen_addresses") == ""
    assert postmaster(embedded_home).net_connections(kind="inet") == []


@pytest.mark.integration
def test_folder_socket_and_log_are_closed_to_other_users(embedded_home: Home) -> None:
    embedded_home.database.mkdir(exist_ok=True)
    embedded_home.database.chmod(0o755)  # somebody opened it; the next opening closes it
    ensure_running(embedded_home)
    assert mode(embedded_home.database) == 0o700
    assert mode(embedded_home.database / ".s.PGSQL.5432") == 0o700
    assert mode(embedded_home.database / "data") == 0o700
    assert mode(embedded_home.database / "log") == 0o600


@as_root
@pytest.mark.integration
def test_another_user_can_neither_connect_nor_open_nor_stop(embedded_home: Home) -> None:
    ensure_running(embedded_home)
    become = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534);"
    imports, _, act = OPEN.partition("ensure_running(")
    socket_path = embedded_home.database / ".s.PGSQL.5432"
    scripts = (
        f"import socket; {become} socket.socket(socket.AF_UNIX).connect('{socket_path}')",
        f"{imports} {become} ensure_running({act}",
        f"{imports.replace('ensure_running', 'stop_embedded')} {become} stop_embedded({act}",
    )
    commands = [[sys.executable, "-c", script, str(embedded_home.path)] for script in scripts]
    said = [subprocess.run(c, capture_output=True, text=True, check=False).stderr for c in commands]
    assert "PermissionError" in said[0]
    assert "cannot be made or belongs to another user: Operation not permitted. Choose another home" in said[1]
    assert "database/lock: Permission denied. Choose another home" in said[2]


# Where it may live


@as_root
@pytest.mark.integration
def test_no_folder_above_is_opened(home: Home) -> None:
    before = {parent: parent.stat().st_mode for parent in home.database.parents}
    ensure_running(home)
    assert {parent: parent.stat().st_mode for parent in home.database.parents} == before


@as_root
@pytest.mark.integration
def test_root_runs_another_users_server_as_that_user(home: Home) -> None:
    uid, gid = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid
    home.database.mkdir(mode=0o700)
    os.chown(home.database, uid, gid)
    ensure_running(home)
    assert postmaster(home).uids().effective == uid
    assert (home.database / "lock").stat().st_uid == uid


def long_home(folder: Path, socket_bytes: int) -> Home:
    return Home(folder / ("n" * (socket_bytes - len(f"{folder}//database/.s.PGSQL.5432"))))


@pytest.mark.integration
def test_the_longest_path_works_and_a_symbolic_link_shortens_a_longer_one(folder: Path) -> None:
    longest = long_home(folder, embedded_folder._SOCKET_PATH_BYTES)
    longest.path.mkdir(mode=0o711)
    ensure_running(longest)
    assert stop_embedded(longest)
    (longest.path / "longer").mkdir(mode=0o711)
    (folder / "short").symlink_to(longest.path / "longer")
    ensure_running(Home(folder / "short"))
    assert stop_embedded(Home(folder / "short"))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["two words", 'it\'s "$HOME" & \\n', "ü:5432@x%20?#=", "-D"])
def test_a_path_with_odd_characters_works(folder: Path, name: str) -> None:
    home = find_home(folder / name, {}, os.geteuid())
    database = open_database(None, {}, home)
    try:
        engine = sqlalchemy.create_engine(database.url)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
        engine.dispose()
        assert database.safe_url == database.url
    finally:
        assert stop_embedded(home)


# One process, one machine


THERE = {"hostname": "node17", "boot": "another-boot"}


@pytest.mark.integration
def test_a_home_open_on_another_machine_is_refused_until_it_is_stopped_there(made: Home) -> None:
    ensure_running(made)
    stop_embedded(made)
    record = made.database / "host"
    assert not record.exists()
    record.write_text(json.dumps(THERE))
    text = refusal(made)
    assert f"was started on node17, this is {socket.gethostname()}, and two machines must not open one data" in text
    assert "Work on node17, run `clustersweep stop` there first, choose another home with --home" in text
    assert f"If node17 is gone for good, delete {record}" in text
    with pytest.raises(StorageError, match="was started on node17"):
        stop_embedded(made)
    record.unlink()
    ensure_running(made)
    assert json.loads(record.read_text())["hostname"] == socket.gethostname()


@pytest.mark.integration
def test_the_server_is_not_stopped_under_a_launch_that_lives_unless_forced(folder: Path) -> None:
    home = find_home(folder / "home", {}, os.geteuid())
    lock = StudyLock.acquire(open_database(None, {}, home).url, "busy")
    with pytest.raises(StorageError, match=r"in use by clustersweep launch busy pid \d+ on .*, or give --force"):
        stop_embedded(home)
    assert stop_embedded(home, force=True)
    with pytest.raises(StorageError):
        lock.check()
