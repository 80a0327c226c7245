"""
A database of MariaDB or MySQL as information_schema tells it.

What is so because the database has it so is not told of each table, nor what the table has so of each column: character
sets, collations, the engine. A unique index is a constraint, whichever statement made it. What the server names by
itself has no name, and the index that it makes for a foreign key is a part of that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..backends.raw import ask_any, backticked
from . import mysql_queries as queries
from .shape import Column, Constraint, Index, Shape, Table, Thing, Wording
from .wording import mysql_meaning, number

__all__ = ["read_mysql"]

_NUMERIC = re.compile(r"(tiny|small|medium|big)?int|decimal|float|double|bit|year", re.IGNORECASE)
_COMPUTED = re.compile(r"\b(?:VIRTUAL|STORED|PERSISTENT)(?: GENERATED)?\b|\bDEFAULT_GENERATED\b", re.IGNORECASE)
_COUNTS = re.compile(r"\bauto_increment\b", re.IGNORECASE)
_JSON = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)", re.IGNORECASE)
# Names that the server gives: to foreign keys (the 12th MariaDB only counts them), and to CHECKs.
_MADE_UP_KEY = re.compile(r"(?:.*_ibfk_)?\d+", re.IGNORECASE)
_MADE_UP_CHECK = re.compile(r"CONSTRAINT_\d+|.*_chk_\d+", re.IGNORECASE)
# Words that somebody's name for a key has and that of a column has not.
_OF_KEYS = re.compile(
    r"(?:^|_)(?:u?[iq]x|idx|index|uq|uk|uniq|unique|key|k|ak|fk|fkey|ibfk|constraint)(?:_|\d*$)", re.I
)
_OF_FOREIGN_KEYS = re.compile(r"(?:^|_)(?:fk|fkey|ibfk|foreign)(?:_|\d*$)", re.IGNORECASE)


class _Key(NamedTuple):
    """
    An index as the server has it.

    Attributes:
        columns: In lower case; of an expression of MySQL's, the expression.
        parts: With their lengths and directions.
        options: FULLTEXT and the like, and what else is said of it.
    """

    name: str
    unique: bool
    columns: tuple[str, ...]
    parts: tuple[str, ...]
    options: str

    @property
    def is_plain(self) -> bool:
        """Whether it is over whole columns in their order, as one that the server makes is."""
        return not self.unique and not self.options and self.parts == self.columns

    @property
    def words(self) -> str:
        return f"({', '.join(self.parts)})" + (f" {self.options}" if self.options else "")


def read_mysql(raw: Any, ignored: Collection[str]) -> Shape:
    """
    Read the database of a connection of the driver's.

    Args:
        ignored: Tables that are left out with what is theirs, in lower case.
    """
    return _Reading(raw, ignored).shape()


class _Reading:
    """
    The rows of information_schema made into parts.

    Args:
        raw, ignored: As in `read_mysql`.
    """

    def __init__(self, raw: Any, ignored: Collection[str]) -> None:
        self._raw, self._ignored = raw, ignored
        version = str(self._rows(queries.VERSION)[0][0])
        self._is_mariadb = "mariadb" in version.lower()
        self._version = tuple(map(int, re.findall(r"\d+", version.removeprefix("5.5.5-"))[:2]))
        [[self._database, self._collation, self._engine]] = self._rows(queries.FACTS)
        self._things: dict[tuple[str, str], Thing] = {}

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        # MySQL gives some of its texts as bytes.
        return [
            tuple(value.decode() if isinstance(value, bytes) else value for value in row)
            for row in ask_any(self._raw, query)
        ]

    def shape(self) -> Shape:
        sequences: list[str] = []
        tables: dict[str, Table] = {}
        collations: dict[str, str | None] = {}
        partitions = self._partitions()
        for name, kind, engine, collation, options, comment in self._rows(queries.TABLES):
            if kind == "SEQUENCE":
                sequences.append(name)
            elif kind != "VIEW" and name.lower() not in self._ignored:
                said = self._options(kind, engine, collation, options, partitions.get(name))
                collations[name] = collation
                tables[name] = Table(name, (), (), frozenset(said), comment or None)
        checks = self._checks()
        columns = self._columns(collations, checks)
        indexes: dict[str, Index] = {}
        keys, references = self._keys(), self._foreign_keys()
        for name, table in tables.items():
            found, listed = _split(name, keys.get(name, []), references.get(name, []))
            indexes |= {f"{name}.{index.name}".lower(): index for index in listed}
            constraints = (*found, *(check for check, _ in checks.get(name, []) if check is not None))
            tables[name] = replace(table, columns=tuple(columns.get(name, ())), constraints=constraints)
        self._programs(tables)
        self._sequences(sequences)
        return Shape(tables, indexes, self._things, folds_columns=True)

    # Tables

    def _options(
        self, kind: str, engine: str | None, collation: str | None, options: str | None, partitions: str | None
    ) -> Iterator[str]:
        if engine and engine.lower() != str(self._engine).lower():
            yield f"ENGINE={engine}"
        if collation and collation != self._collation:
            yield f"COLLATE {collation}"
        if kind == "SYSTEM VERSIONED":
            yield "WITH SYSTEM VERSIONING"
        # "partitioned" is told by what is a partition.
        yield from (option for option in (options or "").split() if option.lower() != "partitioned")
        if partitions:
            yield partitions

    def _partitions(self) -> dict[str, str]:
        found: dict[str, tuple[str, list[str]]] = {}
        for table, name, below, method, below_method, by, below_by, values in self._rows(queries.PARTITIONS):
            head = f"PARTITION BY {method} ({by or ''})"
            head += f" SUBPARTITION BY {below_method} ({below_by or ''})" if below_method else ""
            part = " ".join(word for word in (name, below, values and f"VALUES {values}") if word)
            found.setdefault(table, (head, []))[1].append(part)
        return {table: f"{head}: {', '.join(listed)}" for table, (head, listed) in found.items()}

    def _columns(
        self, collations: Mapping[str, str | None], checks: Mapping[str, list[tuple[Constraint | None, str]]]
    ) -> dict[str, list[Column]]:
        found: dict[str, list[Column]] = {}
        for table, name, type_, nullable, default, extra, collation, expression, comment in self._rows(queries.COLUMNS):
            if table not in collations:
                continue
            # JSON is another name of MariaDB's for a long text with a CHECK.
            is_valid = any(check is None and column == name for check, column in checks.get(table, []))
            is_json = is_valid and type_ == "longtext" and collation == "utf8mb4_bin"
            type_ = "json" if is_json else f"{type_} CHECK (json_valid)" if is_valid else type_
            others = " ".join(_COMPUTED.sub("", _COUNTS.sub("", extra or "")).split())
            stored = "STORED" if re.search("STORED|PERSISTENT", extra or "", re.IGNORECASE) else "VIRTUAL"
            found.setdefault(table, []).append(
                Column(
                    name=name,
                    type=type_,
                    nullable=nullable == "YES",
                    default=self._default(type_, default, extra or ""),
                    generated=self._wording(expression, f"({expression}) {stored}", stored) if expression else None,
                    identity="AUTO_INCREMENT" if _COUNTS.search(extra or "") else None,
                    collation=None if is_json or collation == collations[table] else collation,
                    comment=comment or None,
                    others=others,
                )
            )
        return found

    def _default(self, type_: str, said: str | None, extra: str) -> Wording | None:
        if said is None or (said.upper() == "NULL" and self._is_mariadb):
            return None
        # MySQL tells a text as it is, and MariaDB as it is written.
        is_written = self._is_mariadb or "DEFAULT_GENERATED" in extra
        meant = mysql_meaning(said, self._database) if is_written else said
        return Wording(number(meant) if _NUMERIC.match(type_) else meant, said)

    def _wording(self, sql: str, shown: str, *more: str) -> Wording:
        return Wording(" ".join([mysql_meaning(sql, self._database), *more]), shown)

    def _checks(self) -> dict[str, list[tuple[Constraint | None, str]]]:
        """By table; with None for the CHECK of a column that is JSON, and the name of that."""
        found: dict[str, list[tuple[Constraint | None, str]]] = {}
        for table, name, clause, level in self._rows(queries.CHECKS if self._is_mariadb else queries.CHECKS_OF_MYSQL):
            json = _JSON.fullmatch(clause)
            if json is not None and level == "Column":
                found.setdefault(table, []).append((None, json[1].replace("``", "`")))
                continue
            # That of a column has the column's name.
            given = None if level == "Column" or _MADE_UP_CHECK.fullmatch(name) else name
            check = Constraint("check", (), self._wording(clause, f"CHECK ({clause})"), given)
            found.setdefault(table, []).append((check, ""))
        return found

    def _foreign_keys(self) -> dict[str, list[Constraint]]:
        rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for table, name, *rest in self._rows(queries.FOREIGN_KEYS):
            rows.setdefault((table, name), []).append(tuple(rest))
        found: dict[str, list[Constraint]] = {}
        for (table, name), columns in rows.items():
            _, schema, parent, _, on_update, on_delete = columns[0]
            full = parent if schema == self._database else f"{schema}.{parent}"
            own, theirs = (tuple(row[at].lower() for row in columns) for at in (0, 3))
            # RESTRICT is what there is where nothing is said, and NO ACTION is the same.
            actions = [("UPDATE", on_update), ("DELETE", on_delete)]
            words = "".join(f" ON {at} {rule}" for at, rule in actions if rule not in ("RESTRICT", "NO ACTION"))
            said = f"FOREIGN KEY ({', '.join(own)}) REFERENCES {full} ({', '.join(theirs)}){words}"
            given = None if _MADE_UP_KEY.fullmatch(name) else name
            found.setdefault(table, []).append(
                Constraint("foreign key", own, Wording.plain(said), given, full, parent_columns=theirs)
            )
        return found

    def _keys(self) -> dict[str, list[_Key]]:
        rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for table, name, *rest in self._rows(queries.indexes(mariadb=self._is_mariadb, version=self._version)):
            rows.setdefault((table, name), []).append(tuple(rest))
        found: dict[str, list[_Key]] = {}
        for (table, name), parts in rows.items():
            shared, _, _, _, type_, comment, passed_over, _ = parts[0]
            columns = tuple(str(row[1] or row[7] or "").lower() for row in parts)
            said = tuple(
                column + (f"({row[3]})" if row[3] and type_ != "SPATIAL" else "") + (" DESC" if row[2] == "D" else "")
                for column, row in zip(columns, parts, strict=True)
            )
            options = [
                "" if type_ == "BTREE" else str(type_),
                str(passed_over or ""),
                f"COMMENT '{comment}'" if comment else "",
            ]
            key = _Key(name, not int(shared), columns, said, " ".join(option for option in options if option))
            found.setdefault(table, []).append(key)
        return found

    # What else there is

    def _programs(self, tables: Mapping[str, Table]) -> None:
        for name, definition, checked, security in self._rows(queries.VIEWS):
            words = [f"WITH {checked} CHECK OPTION"] if checked and checked != "NONE" else []
            words += ["SQL SECURITY INVOKER"] if security == "INVOKER" else []
            shown = definition.replace(f"{backticked(self._database)}.", "")
            self._add("view", name, self._wording(definition, " ".join([shown, *words]), *words))
        for name, table, timing, event, body in self._rows(queries.TRIGGERS):
            if table in tables:
                said = f"{timing} {event} ON {table} FOR EACH ROW {body}"
                self._add("trigger", name, self._wording(said, said), table)
        parameters: dict[tuple[str, str], list[str]] = {}
        for specific, kind, mode, name, type_ in self._rows(queries.PARAMETERS):
            way = f"{mode} " if mode and mode != "IN" else ""
            parameters.setdefault((kind, specific), []).append(f"{way}{name} {type_}")
        for kind, name, specific, returns, fixed, access, security, comment, body in self._rows(queries.ROUTINES):
            head = f"({', '.join(parameters.get((kind, specific), []))})"
            words = [f"RETURNS {returns}"] if returns else []
            words += ["DETERMINISTIC"] if fixed == "YES" else []
            words += [access] if access != "CONTAINS SQL" else []
            words += ["SQL SECURITY INVOKER"] if security == "INVOKER" else []
            words += [f"COMMENT '{comment}'"] if comment else []
            said = " ".join([head, *words, body or ""])
            self._add(kind.lower(), name, self._wording(said, said))
        for name, kind, at, every, unit, status, completion, body in self._rows(queries.EVENTS):
            when = f"AT {at}" if kind == "ONE TIME" else f"EVERY {every} {unit}"
            said = f"ON SCHEDULE {when} ON COMPLETION {completion} {status} DO {body}"
            self._add("event", name, self._wording(said, said))

    def _sequences(self, names: list[str]) -> None:
        usual = (1, 2**63 - 2, 1, 1, 1000, 0)
        words = ("MINVALUE", "MAXVALUE", "START", "INCREMENT", "CACHE", "CYCLE")
        for place, *values in self._rows(queries.sequences(list(map(backticked, names)))) if names else ():
            said = [
                word if word == "CYCLE" else f"{word} {value}"
                for word, value, standard in zip(words, values, usual, strict=True)
                if value != standard
            ]
            self._add("sequence", names[place], Wording.plain(" ".join(["SEQUENCE", *said])))

    def _add(self, kind: str, name: str, definition: Wording, table: str | None = None) -> None:
        key = name if kind in ("view", "sequence") else name.lower()
        self._things[kind, key] = Thing(kind, name, definition, table)


def _split(table: str, keys: Iterable[_Key], references: Iterable[Constraint]) -> tuple[list[Constraint], list[Index]]:
    """The constraints that are keys, and the indexes that somebody made."""
    constraints: list[Constraint] = []
    indexes: list[Index] = []
    left = list(keys)
    for reference in references:
        own = next((key for key in left if _is_made_for(key, reference)), None)
        constraints.append(reference if own is None else replace(reference, index=own.name))
        left = [key for key in left if key is not own]
    for key in left:
        if key.name == "PRIMARY":
            constraints.append(Constraint("primary key", key.columns, Wording.plain(f"PRIMARY KEY {key.words}")))
        elif key.unique:
            made_up = re.fullmatch(rf"{re.escape(key.columns[0])}(?:_\d+)?", key.name, re.IGNORECASE)
            definition = Wording.plain(f"UNIQUE {key.words}")
            # The name of the first column may be that which it had once.
            surely = _OF_KEYS.search(key.name) is not None
            name = None if made_up else key.name
            constraints.append(Constraint("unique", key.columns, definition, name, surely_named=surely))
        else:
            meant = f"{table} {key.words}"
            indexes.append(Index(key.name, table, False, Wording(meant, key.words)))
    return constraints, indexes


def _is_made_for(key: _Key, reference: Constraint) -> bool:
    """
    Whether the server has made an index for a foreign key.

    It has the name of that, or of the first column, by which these were called then, and goes when another one comes.
    """
    if not key.is_plain or key.columns != reference.columns:
        return False
    if key.name == reference.name or _OF_FOREIGN_KEYS.search(key.name) is not None:
        return True
    return _OF_KEYS.search(key.name) is None
