"""A user's dump of classicmodels: read without running it, the same in both engines, and refused when it is damaged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.mariadb_server import missing
from heimdall_nb.engines.sql import Database
from heimdall_nb.engines.sql_dump import read_dump
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput

# The form of the well-known sample and of mysqldump: conditional comments, several rows an INSERT, escapes, keys.
HEAD = """/*
*****  a sample; with a semicolon
*/
-- MySQL dump
/*!40101 SET NAMES utf8 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
CREATE DATABASE /*!32312 IF NOT EXISTS*/`classicmodels` /*!40100 DEFAULT CHARACTER SET latin1 */;
USE `classicmodels`;

DROP TABLE IF EXISTS `employees`;
CREATE TABLE `employees` (
  `employeeNumber` int(11) NOT NULL,
  `lastName` varchar(50) NOT NULL,
  `reportsTo` int(11) DEFAULT NULL,
  `officeCode` varchar(10) NOT NULL,
  `pay` decimal(10,2) DEFAULT '0.00',
  `hired` date DEFAULT NULL,
  PRIMARY KEY (`employeeNumber`),
  KEY `reportsTo` (`reportsTo`),
  CONSTRAINT `a` FOREIGN KEY (`reportsTo`) REFERENCES `employees` (`employeeNumber`),
  CONSTRAINT `b` FOREIGN KEY (`officeCode`) REFERENCES `offices` (`officeCode`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
LOCK TABLES `employees` WRITE;
/*!40000 ALTER TABLE `employees` DISABLE KEYS */;
insert  into `employees`(`employeeNumber`,`lastName`,`reportsTo`,`officeCode`,`pay`,`hired`) values

(1056,'O\\'Hara; -- no comment',1002,'1',10.50,'2003-01-31'),

(1002,'d''Arc /* no */',NULL,'1',-3,NULL);
/*!40000 ALTER TABLE `employees` ENABLE KEYS */;
UNLOCK TABLES;
DELIMITER ;;
CREATE TRIGGER t AFTER INSERT ON offices FOR EACH ROW BEGIN INSERT INTO log VALUES (NEW.x); END ;;
DELIMITER ;
CREATE TABLE `offices`
(`officeCode` varchar(10) NOT NULL, `city` varchar(50), `photo` blob, PRIMARY KEY (`officeCode`));
"""
OFFICES = "INSERT INTO `offices` VALUES ('1','Zürich\\n(\\\"HQ\\\")',0x00FF),('2',NULL,NULL);\n"
AFTER = HEAD.count("\n") + 1  # the line that follows


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "dump.sql"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_tables_and_rows_are_read(tmp_path: Path) -> None:
    database = read_dump(write(tmp_path, HEAD + OFFICES))
    assert [table.name for table in database.tables] == ["offices", "employees"]  # parents first
    employees = database.table("employees")
    assert [(c.name, c.type, c.nullable) for c in employees.columns][:3] == [
        ("employeeNumber", "int(11)", False),
        ("lastName", "varchar(50)", False),
        ("reportsTo", "int(11)", True),
    ]
    assert employees.primary_key == ("employeeNumber",)
    assert employees.references == {
        "reportsTo": ("employees", "employeeNumber"),
        "officeCode": ("offices", "officeCode"),
    }
    assert database.rows["employees"] == [
        (1056, "O'Hara; -- no comment", 1002, "1", 10.5, "2003-01-31"),
        (1002, "d'Arc /* no */", None, "1", -3, None),
    ]
    assert database.rows["offices"] == [("1", 'Zürich\n("HQ")', b"\x00\xff"), ("2", None, None)]


def test_keys_that_come_by_alter_table(tmp_path: Path) -> None:
    text = """CREATE TABLE a (x int, y int); CREATE TABLE b (x int);
    INSERT INTO a (y, x) VALUES (1, 2); INSERT INTO b VALUES (1);
    ALTER TABLE a ADD PRIMARY KEY (x); ALTER TABLE b ADD PRIMARY KEY (x);
    ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (y) REFERENCES b (x);"""
    database = read_dump(write(tmp_path, text))
    assert database.table("a").references == {"y": ("b", "x")}
    assert database.rows["a"] == [(2, 1)]


ONE = "CREATE TABLE a (x int PRIMARY KEY);\n"
DAMAGED = {
    "cut in a text": (HEAD + OFFICES[:40], "inside a text", f"line {AFTER}"),
    "cut in a statement": (HEAD + "INSERT INTO `offices` VALUES ('1','a',NULL),('2'", "in the middle", f"line {AFTER}"),
    "cut before a comment ends": (HEAD + "/* half", "inside a comment", f"line {AFTER}"),
    "cut between statements": (HEAD, "references offices '1'", "dump.sql"),
    "cut between tables": (HEAD[: HEAD.index("CREATE TABLE `offices`")], "not in the file", "dump.sql"),
    "a value is missing": (HEAD + OFFICES.replace("'1',", "", 1), "has 2 values, not 3", f"line {AFTER}"),
    "a value is garbage": (HEAD + OFFICES.replace("NULL", "NU\x00L", 1), "neither number", f"line {AFTER}"),
    "an unknown column": (
        "CREATE TABLE a (x int PRIMARY KEY);\nINSERT INTO a (z) VALUES (1);",
        "no column 'z'",
        "line 2",
    ),
    "an unknown table": ("CREATE TABLE a (x int PRIMARY KEY);\nINSERT INTO b VALUES (1);", "not created", "line 2"),
    "no table": ("SELECT 1;", "no CREATE TABLE", "dump.sql"),
    "no SQL": ("CREATE TABLE ((;", "no statement of MySQL", "line 1"),
    "empty": ("", "no CREATE TABLE", "dump.sql"),
    "not text": (b"\xff\xfe\x00binary", "no UTF-8", "dump.sql"),
    "a loop of keys": (
        "CREATE TABLE a (x int PRIMARY KEY, FOREIGN KEY (x) REFERENCES b (x));"
        "CREATE TABLE b (x int PRIMARY KEY, FOREIGN KEY (x) REFERENCES a (x));",
        "reference each other",
        "dump.sql",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_dump_ends_in_one_sentence(case: str, tmp_path: Path) -> None:
    text, what, where = DAMAGED[case]
    with pytest.raises(BadInput) as problem:
        read_dump(write(tmp_path, text))
    assert what in str(problem.value) and where in str(problem.value)
    assert "\n" not in str(problem.value) and problem.value.remedy


def test_a_missing_file_ends_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_dump(tmp_path / "nothing.sql")


@given(st.integers(1, len((HEAD + OFFICES).rstrip()) - 1))
def test_no_prefix_of_a_dump_is_taken_for_a_whole_one(length: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.raises(BadInput):
        read_dump(write(Path(folder), (HEAD + OFFICES)[:length]))


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" if isinstance(value, str) else repr(value)


def dump_of(database: Database) -> str:
    """A dump as mysqldump writes it: one INSERT a table."""
    parts = []
    for table in database.tables:
        rows = ",".join("(" + ",".join(map(literal, row)) + ")" for row in database.rows[table.name])
        parts += [
            f"DROP TABLE IF EXISTS `{table.name}`;",
            table.create() + ";",
            f"INSERT INTO `{table.name}` VALUES {rows};",
        ]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    database = classicmodels(7)
    yield database, read_dump(write(tmp_path_factory.mktemp("dump"), dump_of(database)))


def test_a_dump_of_classicmodels_gives_classicmodels(classic: tuple[Database, Database]) -> None:
    made, read = classic
    assert {t.name: (t.primary_key, dict(t.references)) for t in read.tables} == {
        t.name: (t.primary_key, dict(t.references)) for t in made.tables
    }
    assert {name: [tuple(row) for row in rows] for name, rows in made.rows.items()} == dict(read.rows)


QUERY = "SELECT country, COUNT(*) AS n, SUM(creditLimit) FROM customers GROUP BY country ORDER BY n DESC, country"


def test_a_dump_in_the_embedded_engine(classic: tuple[Database, Database]) -> None:
    with SQLite(classic[0]) as made, SQLite(classic[1]) as read:
        assert read.run(QUERY) == made.run(QUERY)


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_dump_on_mariadb(classic: tuple[Database, Database]) -> None:
    with SQLite(classic[0]) as made, MariaDB(classic[1], PRIVATE) as read:
        assert read.run(QUERY).rows == made.run(QUERY).rows
