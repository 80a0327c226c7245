"""What keeps a migration that is rehearsed from what all databases of a server have in common: roles, databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from ...backends.raw import ask_any
from ...errors import ConfigurationError
from ...sql_text import split_statements, without_literals

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

__all__ = ["ServerFence"]

# Which of the catalogues that databases share this transaction has written to, by a DO block or a function as well.
# Every object of a database has a part in pg_shdepend.
_WRITTEN = """
SELECT s.relname::text, (s.n_tup_ins + s.n_tup_upd)::bigint, s.n_tup_del::bigint FROM pg_stat_xact_sys_tables s
JOIN pg_class c ON c.oid = s.relid
WHERE c.relisshared AND c.relname <> 'pg_shdepend' AND s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0"""
# Of those which tell of this database too, what is of others: the copy's own settings are the copy's.
_MIXED = {
    "pg_database": "x.oid <> o.oid",
    "pg_db_role_setting": "x.setdatabase <> o.oid",
    "pg_shdescription": "NOT (x.classoid = 'pg_database'::regclass AND x.objoid = o.oid)",
}
# What is seen and not yet committed is this transaction's, or of a savepoint of it; others write there meanwhile.
_OURS = """
SELECT count(*) FROM {0} x, pg_database o WHERE o.datname = current_database() AND {1}
AND x.xmin::text::bigint >= txid_current() & 4294967295
AND txid_status((txid_current() >> 32 << 32) + x.xmin::text::bigint) = 'in progress'"""
_KINDS = {
    "pg_authid": "roles",
    "pg_auth_members": "roles",
    "pg_database": "other databases",
    "pg_db_role_setting": "settings of roles or of other databases",
    "pg_shdescription": "comments on roles or on other databases",
    "pg_subscription": "subscriptions",
    "pg_tablespace": "tablespaces",
}
_OUTSIDE = re.compile(
    r"\s*(?:(?:create|alter|drop)\s+(?:role|user(?!\s+mapping)|group|database|tablespace|subscription)\b"
    r"|alter\s+system\b|(?:grant|revoke)\s+(?!.*\bon\b))",
    re.IGNORECASE | re.DOTALL,
)


class ServerFence:
    """
    Refuses, on an engine's connections, what a scratch database cannot hold.

    A transaction is asked before it commits what it has written to; what runs outside of one is known by its words.
    """

    def __init__(self, engine: Engine) -> None:
        self._before: dict[str, tuple[int, int]] | None = None
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "before_cursor_execute", self._execute)

    @contextmanager
    def watched(self, raw: Any) -> Iterator[None]:
        """
        A migration's own code.

        Raises:
            ConfigurationError: It changed something of the server; its transaction is not to be committed.
        """
        yield
        if not raw.autocommit:
            self._require(raw)

    def _begin(self, connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        # Those of transactions before may not have been handed in yet.
        self._before = None if raw.autocommit else _written(raw)

    def _commit(self, connection: Connection) -> None:
        # A resumable migration commits in the middle.
        self._require(connection.connection.dbapi_connection)

    def _require(self, raw: Any) -> None:
        if self._before is None:
            return
        found = set()
        for name, (put, deleted) in _written(raw).items():
            put_before, deleted_before = self._before.get(name, (0, 0))
            if put != put_before and name in _MIXED and deleted == deleted_before:
                [[put]] = ask_any(raw, _OURS.format(name, _MIXED[name]))
                put_before = 0
            if put != put_before or deleted != deleted_before:
                found.add(_KINDS.get(name, name))
        if found:
            raise _changes(", ".join(sorted(found)))

    def _execute(self, connection: Connection, _cursor: Any, statement: str, *_: object) -> None:
        raw: Any = connection.connection.dbapi_connection
        if raw.autocommit:
            for one in split_statements(statement, "postgresql"):
                if _OUTSIDE.match(without_literals(one, "postgresql")):
                    raise _changes(" ".join(one.split()[:3]))


def _written(raw: Any) -> dict[str, tuple[int, int]]:
    return {name: (put, deleted) for name, put, deleted in ask_any(raw, _WRITTEN)}


def _changes(what: str) -> ConfigurationError:
    return ConfigurationError(
        "The migration changes what all databases of the server have in common, which a rehearsal or a check would"
        f" change for good.\n  {what}\n"
        "Leave it out where self.rehearsing is true."
    )
