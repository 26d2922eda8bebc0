"""The SQL engine on a server: values, limits, loading, accounts, and what happens when the server goes away."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import psutil
import pymysql
import pytest
from test_mariadb_hostile import OFFICES, SMALL

from heimdall_nb.engines import sql_connect
from heimdall_nb.engines.choose import sql_engine
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.mariadb_server import PrivateServer, missing
from heimdall_nb.engines.mariadb_statement import Statement
from heimdall_nb.engines.sql import Column, Database, Table
from heimdall_nb.engines.sql_connect import target
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput, HeimdallError

needs_server = pytest.mark.skipif(bool(missing()), reason=missing())
PASSWORD = "hush-Hush/7@secret"
CODED = PASSWORD.replace("/", "%2F").replace("@", "%40")  # as it stands in a URL
VARIABLES = ("HEIMDALL_SQL_URL", "HEIMDALL_SQL_SCRATCH", "DB_USER", "DB_PASS", "DB_NAME")
CLOUD = ("INSTANCE_CONNECTION_NAME", "GOOGLE_CLOUD_PROJECT")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *CLOUD):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def engine() -> Iterator[MariaDB]:
    with MariaDB(SMALL, PRIVATE) as started:
        yield started


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateServer]:
    """A server as a user has one: an account with SELECT alone, one that may do all in `scratch`, and a password."""
    with PrivateServer() as started, pymysql.connect(unix_socket=started.socket, user="root") as root:
        for statement in (
            "CREATE DATABASE shop",
            "CREATE TABLE shop.offices (officeCode varchar(10) PRIMARY KEY, city varchar(50))",
            "INSERT INTO shop.offices VALUES ('1', 'Paris'), ('2', 'Oslo')",
            "CREATE DATABASE scratch",
            f"CREATE USER looker@localhost IDENTIFIED BY '{PASSWORD}'",
            "GRANT SELECT ON shop.* TO looker@localhost",
            f"CREATE USER maker@localhost IDENTIFIED BY '{PASSWORD}'",
            "GRANT ALL ON scratch.* TO maker@localhost",
            "GRANT ALL ON shop.* TO maker@localhost",
        ):
            with root.cursor() as cursor:
                cursor.execute(statement)
        yield started


def url(server: PrivateServer, database: str = "shop", account: str = "looker") -> str:
    return f"mysql://{account}@localhost/{database}?unix_socket={server.socket}"


def kill_connections(server: PrivateServer, user: str) -> None:
    with pymysql.connect(unix_socket=server.socket, user="root") as root, root.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (user,))
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number}")


@needs_server
def test_values_are_plain(engine: MariaDB) -> None:
    query = (
        "SELECT n, pay, SUM(n) OVER (), pay / 3, CAST('2004-01-31' AS DATE), TIMESTAMP('2004-01-31 10:00:00'), "
        "TIMEDIFF('10:00:00', '11:30:00'), NULL, CURDATE(), NOW(), SYSDATE() FROM employees WHERE n = 1"
    )
    row = engine.run(query).rows[0]
    assert row[:3] == (1, 10.5, 1) and abs(row[3] - 3.5) < 1e-9
    assert row[4:8] == ("2004-01-31", "2004-01-31 10:00:00", "-01:30:00", None)
    assert row[8:] == ("2005-06-01", "2005-06-01 00:00:00", "2005-06-01 00:00:00")
    assert [type(value) for value in row[:3]] == [int, float, int]


@needs_server
@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT nothing FROM offices", "schema"),
        ("SELECT * FROM nothing", "schema"),
        ("SELECT city FROM offices GROUP BY", "syntax"),
        ("SELECT city, SUM(COUNT(*)) FROM offices", "syntax"),
        ("SELECT ANY_VALUE(city) FROM offices", "engine"),
        ("SELECT NO_SUCH(city) FROM offices", "schema"),
        ("SELECT * FROM offices o, LATERAL (SELECT o.city AS c) t", "engine"),
        ("SELECT COUNT(*) FROM big a, big b, big c, big d", "timeout"),
        ("SELECT n FROM big", "limit"),
        ("SELECT a.n FROM big a, big b LIMIT 30000", "limit"),
        ("DELETE FROM offices", "write"),
    ],
)
def test_refusals_have_their_kind(engine: MariaDB, query: str, kind: str) -> None:
    found = engine.run(query, seconds=0.5, max_rows=150)
    assert isinstance(found, Refusal) and found.kind == kind, found
    assert engine.run("SELECT COUNT(*) FROM offices").rows == ((2,),)


@needs_server
def test_rows_up_to_the_limit_come_through(engine: MariaDB) -> None:
    assert len(engine.run("SELECT n FROM big", max_rows=200).rows) == 200
    assert engine.run("SELECT n FROM big", max_rows=199).kind == "limit"
    assert engine.run("SELECT city FROM SMALL.Offices WHERE city LIKE 'p%'").rows == (("Paris",),)


@needs_server
def test_explain_checks_without_running(engine: MariaDB) -> None:
    assert engine.parse("SELECT COUNT(*) FROM big a, big b, big c, big d") is None
    assert engine.parse("SELECT nothing FROM offices").kind == "schema"
    assert engine.parse("DELETE FROM offices").kind == "write"
    assert engine.parse("SELECT city FROM offices;") is None


@needs_server
def test_one_database_after_the_other(engine: MariaDB) -> None:
    other = Database("other_%1", (OFFICES,), {"offices": [("9", "Rome")]})
    strange = Table("a%s", (Column("x%", "int", False), Column("t", "text")), ("x%",))
    try:
        engine.load(other)
        assert engine.run("SELECT city FROM offices").rows == (("Rome",),)
        assert engine.run("SELECT * FROM small.offices").kind == "schema"
        engine.load(Database("other_%1", (OFFICES,), {"offices": [("8", "Köln"), ("7", None)]}))  # the same tables
        assert engine.run("SELECT city FROM offices ORDER BY officeCode").rows == ((None,), ("Köln",))
        engine.load(Database("odd", (strange,), {"a%s": [(1, "100 % of 'it'")]}))
        assert engine.run("SELECT * FROM `a%s`").rows == ((1, "100 % of 'it'"),)
    finally:
        engine.load(SMALL)
    assert engine.run("SELECT COUNT(*) FROM big").rows == ((200,),)


@needs_server
@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ({"employees": [(1, "7", None)]}, "references offices '7'"),
        ({"offices": [("1", "x" * 60)]}, "Data too long"),
        ({"offices": [("1", "a"), ("1", "b")]}, "Duplicate"),
        ({"offices": [("1", "x" * 40_000)]}, "has 40001 bytes"),
    ],
)
def test_rows_that_do_not_fit_are_one_sentence(engine: MariaDB, rows: dict, what: str) -> None:
    try:
        with pytest.raises(BadInput, match="small") as problem:
            engine.load(Database("small", SMALL.tables, rows))
        assert what in str(problem.value)
    finally:
        engine.load(SMALL)


@needs_server
def test_a_users_server_is_read_and_not_written(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASS", PASSWORD)
    monkeypatch.setenv("DB_USER", "looker")
    with sql_engine(url(server)) as engine:
        assert engine.run("SELECT city FROM shop.offices ORDER BY 1").rows == (("Oslo",), ("Paris",))
        with pytest.raises(BadInput, match="2 tables|1 tables"):
            engine.load(SMALL)
        assert engine._limited("DELETE FROM offices", 1, 10).kind == "write"


@needs_server
def test_a_session_may_only_read_where_the_account_may_write(
    server: PrivateServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEIMDALL_SQL_URL", url(server, account=f"maker:{CODED}"))
    with sql_engine() as engine:
        assert "may write" in caplog.text
        assert "READ ONLY" in engine._limited("DELETE FROM offices", 1, 10).message
        assert "READ ONLY" in engine._limited("DROP TABLE offices", 1, 10).message
        with pytest.raises(BadInput, match="not ours"):
            engine.load(SMALL)
        assert engine.run("SELECT COUNT(*) FROM offices").rows == ((2,),)


@needs_server
def test_a_scratch_database_is_loaded(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASS", PASSWORD)
    monkeypatch.setenv("DB_USER", "maker")
    with MariaDB(SMALL, url(server, "scratch", "maker")) as engine:
        assert engine.run("SELECT COUNT(*) FROM big").rows == ((200,),)
        engine.load(SMALL)
        assert engine.run("SELECT COUNT(*) FROM scratch.big").rows == ((200,),)
        with pytest.raises(BadInput, match="3 tables that are not ours.*HEIMDALL_SQL_SCRATCH"):
            MariaDB(SMALL, url(server, "scratch", "maker"))
        with pytest.raises(BadInput, match="x: the server refuses this database .*Duplicate"):
            engine.load(Database("x", (OFFICES,), {"offices": [("1", "a"), ("1", "b")]}))
        with pytest.raises(BadInput, match="no database is loaded"):
            engine.run("SELECT 1")
        engine.load(SMALL)
    monkeypatch.setenv("HEIMDALL_SQL_SCRATCH", "yes")
    with MariaDB(Database("x", (OFFICES,), {"offices": [("1", "Rome")]}), url(server, "scratch", "maker")) as engine:
        assert engine.run("SELECT city FROM offices").rows == (("Rome",),)
        assert engine.run("SELECT * FROM big").kind == "schema"
    with MariaDB(address=url(server, "scratch", "maker")) as engine:
        assert engine.run("SELECT * FROM offices").kind == "schema"  # what was loaded is gone


def failures(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, BaseException]]:
    """Every way in which connecting fails, with the password in use."""
    monkeypatch.setenv("DB_PASS", PASSWORD)
    cases = {
        "refuses the user name or the password": [
            url(server, account="looker:wrong" + CODED),
            url(server, account=f"nobody:{CODED}"),
        ],
        "there is no database 'nothing'": [url(server, "nothing", f"looker:{CODED}")],
        "no SQL server answers here": [
            f"mysql://looker:{CODED}@localhost/shop?unix_socket=/tmp/no-such-socket",
            f"mysql+pymysql://looker:{CODED}@127.0.0.1:9/shop",
        ],
        "no address of a MySQL": [f"postgresql://looker:{CODED}@localhost/shop", f"mysql://looker:{CODED}@/shop"],
        "no address of a SQL server": [f"looker:{PASSWORD}", f"mysql://looker:{CODED}@localhost:port/shop"],
        "an option local_infile": [f"mysql://looker:{CODED}@localhost/shop?local_infile=1"],
    }
    for what, addresses in cases.items():
        for address in addresses:
            with pytest.raises(BadInput) as problem:
                MariaDB(address=address)
            yield what, problem.value


@needs_server
def test_failed_connections_are_one_sentence_without_the_password(
    server: PrivateServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = ("hush", "secret")
    for what, problem in failures(server, monkeypatch):
        shown = "".join(traceback.format_exception(problem)) + str(problem) + repr(problem)
        assert what in str(problem) and "\n" not in str(problem)
        assert not any(word in shown.lower() for word in secret), shown
    monkeypatch.setenv("DB_USER", "looker")
    with MariaDB(address=url(server)) as engine:
        engine.run("SELECT nothing FROM offices")
        engine.run("SELECT city FROM offices")
        told = repr([engine, engine._writer, engine._reader, engine._reader.url, engine._reader.pool])
    told += caplog.text + "".join(capfd.readouterr())
    assert not any(word in told.lower() for word in secret)


@needs_server
def test_a_dropped_connection_is_opened_again(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_USER", "looker")
    monkeypatch.setenv("DB_PASS", PASSWORD)
    with MariaDB(address=url(server)) as engine:
        before = engine.run("SELECT city FROM offices ORDER BY city")
        kill_connections(server, "looker")
        assert engine.run("SELECT city FROM offices ORDER BY city") == before
        assert engine.run("SELECT CURDATE()").rows == (("2005-06-01",),)  # the new session has its settings
        lost = []

        def lose(*_: object) -> Rows:
            lost.append(1)
            kill_connections(server, "looker")
            return original(*_)

        original = Statement._read
        monkeypatch.setattr(Statement, "_read", lose)
        with pytest.raises(HeimdallError, match="was lost, twice in a row") as problem:
            engine.run("SELECT city FROM offices")
        assert len(lost) == 2 and PASSWORD not in str(problem.value)
        monkeypatch.setattr(Statement, "_read", original)
        assert engine.run("SELECT city FROM offices ORDER BY city") == before


@needs_server
def test_a_stopped_server_is_one_error() -> None:
    with MariaDB(SMALL, PRIVATE) as engine:
        folder = Path(engine.server.socket).parent
        os.kill(engine.server.pid, signal.SIGKILL)
        with pytest.raises(HeimdallError, match="no SQL server answers here"):
            engine.run("SELECT 1")
        with pytest.raises(HeimdallError):
            engine.load(SMALL)
    assert not folder.exists()
    engine.close()


KEPT = """
import sys, time
from heimdall_nb.engines.mariadb_server import PrivateServer
server = PrivateServer()
print(server.pid, server.keeper, server.socket, flush=True)
time.sleep(600)
"""


@needs_server
@pytest.mark.parametrize("victim", ["parent", "keeper"])
def test_nothing_is_left_when_a_process_is_killed(victim: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", KEPT], stdout=subprocess.PIPE, text=True)
    try:
        pid, keeper, socket = parent.stdout.readline().split()
        assert psutil.pid_exists(int(pid)) and Path(socket).exists()
        os.kill(parent.pid if victim == "parent" else int(keeper), signal.SIGKILL)
        until = time.monotonic() + 60
        while alive(int(pid)) or (victim == "parent" and Path(socket).parent.exists()):
            assert time.monotonic() < until, "the server outlived its parent"
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
        if victim == "keeper":
            subprocess.run(["rm", "-rf", str(Path(socket).parent)], check=True)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@needs_server
def test_servers_that_start_at_once_do_not_disturb_each_other() -> None:
    with ExitStack() as servers, ThreadPoolExecutor(6) as pool:
        started = [pool.submit(PrivateServer) for _ in range(6)]  # in one /tmp, half of six lost their temporary tables
        wait(started)
        for server in started:
            if not server.exception():
                servers.callback(server.result().close)
        assert len({server.result().socket for server in started}) == 6


@needs_server
def test_a_server_that_does_not_start_says_why() -> None:
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 30; exec {sys.executable} -c '{KEPT}'"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the private server does not start" in done.stderr and "Too many open files" in done.stderr


def test_without_mariadb_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall_nb.engines.mariadb_server._program", lambda name: None)
    with pytest.raises(BadInput, match="mariadbd is missing.*apt-get install mariadb-server-core"):
        MariaDB(SMALL)


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert target() is None
    assert isinstance(sql_engine(), SQLite)
    monkeypatch.setenv("DB_USER", "u")
    monkeypatch.setenv("DB_PASS", PASSWORD)
    monkeypatch.setenv("DB_NAME", "shop")
    assert target() is None  # an account alone names no server
    found = target("mariadb://db.example:3307")
    assert (found.shown, found.user, found.password) == ("db.example:3307/shop", "u", PASSWORD)
    assert target("mysql://db.example/other").database == "other"
    assert target("mysql://v@db.example/other").password == ""  # DB_PASS belongs to DB_USER
    monkeypatch.setenv("HEIMDALL_SQL_URL", "mysql://db.example/third")
    assert target().shown == "db.example:3306/third"
    monkeypatch.delenv("HEIMDALL_SQL_URL")
    monkeypatch.setenv("INSTANCE_CONNECTION_NAME", "europe-west2:classic")
    with pytest.raises(BadInput, match="project:region:name"):
        target()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    assert (target().instance, target().project) == ("mine:europe-west2:classic", "mine")
    assert PASSWORD not in repr(target())
    monkeypatch.delenv("DB_NAME")
    with pytest.raises(BadInput, match="DB_NAME is not set"):
        target()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"DB_USER": "looker", "DB_PASS": PASSWORD, "DB_NAME": "shop", "GOOGLE_CLOUD_PROJECT": "mine"}
    for name, value in (values | {"INSTANCE_CONNECTION_NAME": "mine:europe-west2:classic"}).items():
        monkeypatch.setenv(name, value)


@needs_server
def test_cloud_sql_with_the_connectors_call_replaced(
    server: PrivateServer, cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the way to Google's network is real: `Connector.connect` and the credentials are replaced."""
    connector = pytest.importorskip("google.cloud.sql.connector", reason="the extra cloudsql is not installed")
    google = pytest.importorskip("google.auth")
    from google.auth.credentials import AnonymousCredentials

    asked = []

    def connect(self: object, instance: str, driver: str, **settings: object) -> pymysql.Connection:
        asked.append((instance, driver, {k: v for k, v in settings.items() if k in ("user", "password", "database")}))
        return pymysql.connect(unix_socket=server.socket, **settings)

    monkeypatch.setattr(google, "default", lambda **_: (AnonymousCredentials(), "mine"))
    monkeypatch.setattr(connector.Connector, "connect", connect)
    with sql_engine() as engine:
        assert engine.run("SELECT COUNT(*) FROM offices").rows == ((2,),)
        assert repr(engine) == "MariaDB('mine:europe-west2:classic/shop')"
    account = {"user": "looker", "password": PASSWORD, "database": "shop"}
    assert asked and all(call == ("mine:europe-west2:classic", "pymysql", account) for call in asked)

    def refuse(self: object, *_: object, **settings: object) -> None:
        raise RuntimeError(f"an error of the connector that tells {settings}")

    monkeypatch.setattr(connector.Connector, "connect", refuse)
    with pytest.raises(BadInput, match="Cloud SQL does not let us in") as problem:
        sql_engine()
    assert "secret" not in "".join(traceback.format_exception(problem.value))


def test_cloud_sql_without_credentials(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    google = pytest.importorskip("google.auth", reason="the extra cloudsql is not installed")
    from google.auth.exceptions import DefaultCredentialsError

    def none(**_: object) -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(google, "default", none)
    with pytest.raises(BadInput, match="no Google credentials.*gcloud auth"):
        sql_connect.open_engine(target())


def test_cloud_sql_without_its_package(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.sql.connector", None)
    with pytest.raises(BadInput, match="not installed.*cloudsql"):
        sql_connect.open_engine(target())


RUN = [sys.executable, "-m", "heimdall_nb", "query"]


def query(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=240)


def test_the_verb_query_shows_rows_and_refuses_writes(tmp_path: Path) -> None:
    done = query("SELECT city, NULL AS missing FROM offices WHERE officeCode = '1'")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].split() == ["city", "missing"] and "NULL" in done.stdout
    done = query("DROP TABLE offices")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "heimdall: refused (write): DROP is not a SELECT statement.\n"
    dump = tmp_path / "half.sql"
    dump.write_text("CREATE TABLE t (a int PRIMARY KEY);\nINSERT INTO t VALUES (1),(", encoding="utf-8")
    done = query("SELECT 1", "--dump", str(dump))
    assert done.returncode == 2 and "line 2" in done.stderr and done.stderr.count("\n") == 1


@needs_server
def test_the_verb_query_on_a_private_server(tmp_path: Path) -> None:
    dump = tmp_path / "whole.sql"
    dump.write_text("CREATE TABLE t (a int PRIMARY KEY);\nINSERT INTO t VALUES (1),(2);\n", encoding="utf-8")
    done = query("SELECT COUNT(*) AS n FROM t", "--dump", str(dump), "--engine", "private")
    assert (done.returncode, done.stdout.split()) == (0, ["n", "2", "1", "rows"])
