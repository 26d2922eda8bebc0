"""Where the MySQL or MariaDB server is, told by an address or by environment variables, and the way to connect to it.

No message, no representation and no log line made here holds a password.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pymysql
import sqlalchemy
from sqlalchemy.exc import ArgumentError

from heimdall_nb.errors import BadInput, HeimdallError

URL = "HEIMDALL_SQL_URL"
USER, PASSWORD, DATABASE = "DB_USER", "DB_PASS", "DB_NAME"
INSTANCE, PROJECT = "INSTANCE_CONNECTION_NAME", "GOOGLE_CLOUD_PROJECT"
EXAMPLE = f"Write for example mysql://localhost:3306/classicmodels, and set {USER} and {PASSWORD}."

CONNECT = 10.0  # seconds to reach a server
PATIENCE = 60.0  # seconds without a byte after which a connection counts as dead
_SCHEMES = ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")
# What an address may ask for. Others, such as local_infile or init_command, would open what the engine keeps shut.
_QUERY = {"unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity"}

_REFUSED_ACCOUNT = {1045, 1698, 1251, 2061}
_NO_DATABASE = {1044, 1049}
_AUTHENTICATION = "authentication methods of MySQL 8 need the package cryptography"


@dataclass(frozen=True)
class Target:
    """A database on a server. `instance` names one of Cloud SQL; otherwise `host` and `port`, or `socket`."""

    host: str = ""
    port: int = 3306
    socket: str = ""
    user: str = ""
    password: str = ""
    database: str = ""
    instance: str = ""
    project: str = ""
    options: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"Target({self.shown!r})"

    @property
    def shown(self) -> str:
        """The target as messages name it: without account and password."""
        place = self.instance or self.socket or f"{self.host}:{self.port}"
        return f"{place}/{self.database}" if self.database else place


def target(address: str = "") -> Target | None:
    """The server that `address` or the environment names; None when neither names one.

    The address is a URL, else HEIMDALL_SQL_URL, else the Cloud SQL instance INSTANCE_CONNECTION_NAME (`project:region:
    name`; without a project GOOGLE_CLOUD_PROJECT comes first). DB_USER, DB_PASS and DB_NAME fill what the address does
    not say. Raises BadInput for an address that is none, and for an instance without account or database.
    """
    address = address or os.environ.get(URL, "")
    user, password, database = (os.environ.get(name, "") for name in (USER, PASSWORD, DATABASE))
    if address:
        found = _from_url(address)
        if not found.user:
            found = replace(found, user=user, password=password)
        elif not found.password and found.user == user:
            found = replace(found, password=password)
        return replace(found, database=found.database or database)
    instance, project = os.environ.get(INSTANCE, ""), os.environ.get(PROJECT, "")
    if not instance:
        return None
    if instance.count(":") == 1 and project:
        instance = f"{project}:{instance}"
    if instance.count(":") < 2:
        raise BadInput(f"{instance!r} is no instance of Cloud SQL", INSTANCE, "Write project:region:name.")
    if absent := [name for name, value in ((USER, user), (DATABASE, database)) if not value]:
        raise BadInput(f"{absent[0]} is not set", instance, f"Set {USER}, {PASSWORD} and {DATABASE}.")
    return Target(user=user, password=password, database=database, instance=instance, project=project)


def _from_url(address: str) -> Target:
    try:
        url = sqlalchemy.make_url(address)
    except (ArgumentError, ValueError):  # its message may hold the whole address
        raise BadInput("this is no address of a SQL server", "the address", EXAMPLE) from None
    socket = url.query.get("unix_socket", "")
    if url.drivername not in _SCHEMES or not (url.host or socket):
        raise BadInput("this is no address of a MySQL or MariaDB server", url.drivername, EXAMPLE)
    if unknown := sorted(set(url.query) - _QUERY):
        known = ", ".join(sorted(_QUERY))
        raise BadInput(f"the address has an option {unknown[0]}", url.host or str(socket), f"Known are: {known}.")
    if not all(isinstance(value, str) for value in url.query.values()):
        raise BadInput("the address gives an option twice", url.host or "", EXAMPLE)
    options = {key: str(value) for key, value in url.query.items() if key != "unix_socket"}
    return Target(
        url.host or "localhost",
        url.port or 3306,
        str(socket),
        url.username or "",
        str(url.password or ""),
        url.database or "",
        options=options,
    )


def open_engine(to: Target, settings: Callable[[Any], None] | None = None) -> sqlalchemy.Engine:
    """A pool of connections to a server, in autocommit mode; `settings` gets each new PyMySQL connection.

    Nothing is connected yet. Raises BadInput where the package for Cloud SQL or its credentials are missing.
    """
    connect = _cloud(to) if to.instance else _direct(to)

    def creator() -> Any:
        try:
            connection = connect()
            if settings is not None:
                settings(connection)
        except (pymysql.MySQLError, RuntimeError, OSError) as problem:
            raise connect_error(problem, to) from None
        return connection

    return sqlalchemy.create_engine(
        "mysql+pymysql://",
        creator=creator,
        isolation_level="AUTOCOMMIT",
        pool_size=2,
        max_overflow=2,
        pool_reset_on_return=None,
        hide_parameters=True,
    )


def _direct(to: Target) -> Callable[[], Any]:
    where = {"unix_socket": to.socket} if to.socket else {"host": to.host, "port": to.port}
    return lambda: pymysql.connect(
        **where,
        user=to.user or None,
        password=to.password,
        database=to.database or None,
        charset="utf8mb4",
        connect_timeout=CONNECT,
        read_timeout=PATIENCE,
        write_timeout=PATIENCE,
        local_infile=False,
        autocommit=True,
        **(to.options or {}),
    )


def _cloud(to: Target) -> Callable[[], Any]:
    """Connections through Google's connector: it finds the address of the instance and encrypts on the way."""
    try:
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
        from google.cloud.sql.connector import Connector
    except ModuleNotFoundError:
        remedy = "Run: pip install 'heimdall-nb[cloudsql]'"
        raise BadInput("the connector for Cloud SQL is not installed", to.instance, remedy) from None
    try:
        connector = Connector(refresh_strategy="lazy", quota_project=to.project or None)
    except DefaultCredentialsError:
        remedy = "Run: gcloud auth application-default login"
        raise BadInput("there are no Google credentials on this machine", to.instance, remedy) from None

    def connect() -> Any:
        try:
            return connector.connect(
                to.instance,
                "pymysql",
                user=to.user,
                password=to.password,
                database=to.database,
                charset="utf8mb4",
                read_timeout=PATIENCE,
                write_timeout=PATIENCE,
                local_infile=False,
                autocommit=True,
            )
        except (pymysql.MySQLError, OSError):
            raise
        except Exception as problem:  # the connector's own errors and those of its network library have no common base
            kind = "credentials" if isinstance(problem, GoogleAuthError) else type(problem).__name__
            remedy = f"See that {INSTANCE} is right and that this account may connect to it."
            raise BadInput(f"Cloud SQL does not let us in ({kind})", to.instance, remedy) from None

    return connect


def connect_error(problem: Exception, to: Target) -> HeimdallError:
    """What a failed connection means for the user, in one sentence without account or password."""
    code = problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0
    if code in _REFUSED_ACCOUNT:
        remedy = f"Set {USER} and {PASSWORD} to an account of this server."
        return BadInput("the server refuses the user name or the password", to.shown, remedy)
    if code in _NO_DATABASE:
        what = f"there is no database {to.database!r}, or this account may not use it"
        return BadInput(what, to.shown, f"Name another one in the address or by {DATABASE}.")
    if "cryptography" in str(problem):
        return BadInput(_AUTHENTICATION, to.shown, "Run: pip install 'pymysql[rsa]'")
    if code == 1040:
        return HeimdallError(f"{to.shown}: the server has too many connections.")
    return BadInput("no SQL server answers here", to.shown, "Start the server, or name another address.")
