"""Opens the database and runs transactions in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    cast,
    create_engine,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.engine import URL, make_url

T = TypeVar("T")

BUSY_TIMEOUT_S = 30


class NewerSchema(Exception):
    """The database was written by a newer edgemeter: one line for the user."""


class Database:
    """One database, SQLite or PostgreSQL.

    A transaction is a plain function of a Connection, run in a thread of the pool: one hop for all of
    its statements, and testable without an event loop. SQLite has one writer, so it gets one thread.
    """

    def __init__(self, url: str | URL) -> None:
        self.url = make_url(url)
        self.engine = _engine(self.url)
        workers = 1 if self.engine.dialect.name == "sqlite" else 8
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="database")

    @classmethod
    def in_directory(cls, state_dir: Path) -> Database:
        """The embedded default: SQLite with a write-ahead log."""
        return cls(URL.create("sqlite", database=str(state_dir / "edgemeter.db")))

    def migrate(self) -> None:
        """Brings the schema to the newest revision; creates it in an empty database.

        Raises NewerSchema, and changes nothing, where the database has a revision that is not known here.
        """
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.begin() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if current is not None and current not in known:
                raise NewerSchema(
                    f"the database {self.url.render_as_string()} was written by a newer edgemeter "
                    f"(schema {current}): upgrade this one"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    async def transact(self, statement: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Runs `statement(connection, *args, **kwargs)` in a transaction; commits unless it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: self.run(statement, *args, **kwargs))

    def run(self, statement: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """As `transact`, in the caller's thread."""
        with self.engine.begin() as connection:
            return statement(connection, *args, **kwargs)

    def close(self) -> None:
        """Waits for running transactions and closes all connections."""
        self._threads.shutdown()
        self.engine.dispose()


def now_ms(connection: Connection) -> int:
    """The database's clock: the only one that leases are judged by."""
    if connection.dialect.name == "sqlite":
        # strftime's %f has milliseconds; 'subsec' needs SQLite 3.42.
        clock: Any = literal_column(
            "CAST(strftime('%s', 'now') AS INTEGER) * 1000"
            " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)"
        )
    else:
        clock = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return int(connection.execute(select(clock)).scalar_one())


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, and only at the first write.
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A read that turns into a write would fail with SQLITE_BUSY instead of waiting.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
