"""What a migration must not do to the connection that it runs on, refused before it has an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from ..errors import TransactionMisused
from .protocol import UNDONE

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["LOSING_METHODS", "Refusing", "note_undone"]

LOSING_METHODS = ("close", "invalidate", "detach")
"""Methods of a Connection after which it is another one, or none."""


def note_undone(connection: Connection, statement: str = "ROLLBACK") -> None:
    """Count a statement that rolls a savepoint back."""
    if statement.lstrip()[:8].upper() == "ROLLBACK":
        connection.info[UNDONE] = connection.info.get(UNDONE, 0) + 1


class Refusing:
    """
    A session that keeps its transaction from being ended by anybody else.

    Attributes:
        connection: SQLAlchemy's.
    """

    connection: Connection
    _guarding = False
    _attempted: str | None = None
    _may_be_lost = False
    """Whether a server may end the connection, which SQLAlchemy then invalidates."""

    @contextmanager
    def _refusing(self, *methods: str) -> Iterator[None]:
        """Have these methods of the Connection raise."""
        for method in methods:
            setattr(self.connection, method, self._refuse(method))
        try:
            yield
        finally:
            for method in methods:
                delattr(self.connection, method)

    def _refuse(self, method: str) -> Callable[..., None]:
        def refuse(error: object = None) -> None:
            if isinstance(error, BaseException) and not isinstance(error, Exception):
                # Ctrl-C in a statement: SQLAlchemy gives the connection up, which has yet to roll back.
                return
            if isinstance(error, Exception) and self._may_be_lost:
                getattr(type(self.connection), method)(self.connection, error)
                return
            self._attempted = f"{method}()"
            raise self._ended()

        return refuse

    @contextmanager
    def _listening(self, **listeners: Callable[..., Any]) -> Iterator[None]:
        """Have SQLAlchemy's events look out for ends of transactions while a migration runs, and these as well."""

        def refuse(word: str) -> Any:
            def listener(_: Connection) -> None:
                if self._guarding:
                    self._attempted = word
                    raise self._ended()

            return listener

        listening = {"commit": refuse("COMMIT"), "rollback": refuse("ROLLBACK"), **listeners}
        for name, listener in listening.items():
            event.listen(self.connection, name, listener)
        try:
            yield
        finally:
            for name, listener in listening.items():
                event.remove(self.connection, name, listener)

    def _ended(self) -> TransactionMisused:
        if self._attempted:
            return TransactionMisused(
                f"it issued {self._attempted}, and a migration must not end the transaction that it runs in"
                " (use `with self.db.transaction()` for a savepoint, or `transactional = False`)"
            )
        return TransactionMisused(self._how_it_ended)

    _how_it_ended = "its transaction was ended by the database"
