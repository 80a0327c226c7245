"""
Changes of SQLite tables, and what must hold afterwards: nothing that a case did not name may change.

`edit` is the change done by hand: what is replaced in the stored definition; `hand` is SQL that is run before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    Numeric,
    String,
    Text,
    text,
)

__all__ = ["CASES", "Case", "Check", "Op"]


class Op(NamedTuple):
    """A method of Operations; in a list, one of what `alter_table` gives."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Ops:
    def __getattr__(self, method: str) -> Any:
        return lambda *args, **kwargs: Op(method, args, kwargs)


class Check(NamedTuple):
    kind: str
    statement: str
    query: str = ""
    rows: tuple[Any, ...] | list[Any] = ()
    word: str = ""


@dataclass(frozen=True)
class Case:
    name: str
    setup: str
    does: Op | list[Op]
    after: tuple[Check, ...] = ()
    edit: tuple[str, ...] = ()
    """Of the table's stored definition: old, new, old, new, ..."""
    hand: str = ""
    refused_naming: tuple[str, ...] | None = None
    may_refuse: bool = False
    """Both ways are right: what `hand` comes to, or a typed error with nothing changed."""
    foreign_keys: bool = True
    session: str = ""
    """Settings of the session before the operation."""
    table: str = "t"
    changes: tuple[str, ...] = ()
    """Other objects that the operation has to change or to drop, and columns whose values follow."""
    first: str = ""
    """What must be set before the database has anything in it."""
    same: bool = True
    """Whether the result is the one made by hand in every detail; else only `after` and what was not named count."""

    @property
    def operations(self) -> list[Op]:
        return self.does if isinstance(self.does, list) else [self.does]

    @property
    def in_one_session(self) -> bool:
        return "TEMP" in self.setup

    @property
    def named_columns(self) -> set[str]:
        columns = set(self.changes)
        for one in self.operations:
            args = one.args if isinstance(self.does, list) else one.args[1:]
            if one.method in ("alter_column", "drop_column", "rename_column"):
                columns |= {*args, one.kwargs.get("new_name", "")}
            elif one.method == "change_primary_key":
                columns |= set(args[0])
        return columns

    @property
    def keys_change(self) -> bool:
        """Whether other columns come to be or to be no longer part of the primary key."""
        return any(
            one.method == "change_primary_key" or "primary_key" in one.kwargs.values() for one in self.operations
        )

    def table_in(self, schema: str) -> str | None:
        """The target, if it lies in this schema."""
        own, _, name = self.table.rpartition(".") if self.table.startswith(("aux.", "temp.")) else ("", "", self.table)
        return name if (own or "main") == schema else None


op = _Ops()
CASES: list[Case] = []


def case(name: str, setup: str, does: Op | list[Op], *after: Check, **more: Any) -> None:
    CASES.append(Case(name, setup, does, after, **more))


def refused(
    name: str, setup: str, does: Op | list[Op], *words: str, after: tuple[Check, ...] = (), **more: Any
) -> None:
    CASES.append(Case(name, setup, does, after, refused_naming=words, **more))


def rows(query: str, *expected: Any) -> Check:
    return Check("rows", "", query, [row if isinstance(row, tuple) else (row,) for row in expected])


def then(statement: str, query: str, *expected: Any) -> Check:
    return Check("then", statement, query, [row if isinstance(row, tuple) else (row,) for row in expected])


def rejects(statement: str, word: str) -> Check:
    return Check("rejects", statement, word=word)


def kept(*parts: str, table: str = "t") -> Check:
    """The stored definition still has these texts."""
    asked = " AND ".join("instr(sql, '{}') > 0".format(part.replace("'", "''")) for part in parts)
    return rows(f"SELECT {asked} FROM sqlite_master WHERE type = 'table' AND name = '{table}'", 1)


T = "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT); INSERT INTO t VALUES (1,1,'a'),(2,2,'b');"
TWO = "INSERT INTO t(id,x,n) VALUES (1,1,'a'),(2,2,'b');"
NOT_NULL = op.alter_column("t", "x", nullable=False)
TO_TEXT = op.alter_column("t", "x", type_="TEXT")
AS_NOT_NULL = ("x INTEGER", "x INTEGER NOT NULL")
AS_TEXT = ("x INTEGER", "x TEXT")
DROP_X = (op.drop_column("t", "x"), (" x INTEGER,", ""))
NULL_X = rejects("INSERT INTO t(n) VALUES ('no x')", "NOT NULL")

# Rows of other tables that refer to the table

KID = "CREATE TABLE kid(id INTEGER PRIMARY KEY, t_id INTEGER {}); INSERT INTO kid VALUES (10,1),(11,2),(12,2);"
KIDS = rows("SELECT t_id FROM kid ORDER BY id", 1, 2, 2)

for checked in (True, False):
    for number, (action, left) in enumerate(
        [
            ("CASCADE", [(10, 1)]),
            ("SET NULL", [(10, 1), (11, None), (12, None)]),
            ("SET DEFAULT", []),
            ("RESTRICT", []),
        ]
    ):
        ops = [(TO_TEXT, AS_TEXT), (NOT_NULL, AS_NOT_NULL)][number % 2]
        ending = (
            then("DELETE FROM t WHERE id = 2", "SELECT * FROM kid ORDER BY id", *left) if left and checked else KIDS
        )
        stays = [rejects("DELETE FROM t WHERE id = 2", "FOREIGN KEY")] if checked and not left else []
        case(
            f"children ON DELETE {action}, foreign_keys {checked}",
            T + KID.format(f"DEFAULT 77 REFERENCES t(id) ON DELETE {action} ON UPDATE CASCADE"),
            ops[0],
            KIDS,
            *stays,
            ending,
            edit=ops[1],
            foreign_keys=checked,
        )

case(
    "children by the implicit primary key",
    T + KID.format("REFERENCES t ON DELETE CASCADE"),
    op.drop_column("t", "x"),
    KIDS,
    then("DELETE FROM t WHERE id=1", "SELECT id FROM kid ORDER BY id", 11, 12),
    edit=(" x INTEGER,", ""),
)
case(
    "children of a unique column that is not the key",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT UNIQUE, x INTEGER); INSERT INTO t VALUES (1,'a',1),(2,'b',2);"
    "CREATE TABLE kid(c TEXT REFERENCES t(code) ON UPDATE CASCADE); INSERT INTO kid VALUES ('a'),('b');",
    TO_TEXT,
    then("UPDATE t SET code='A' WHERE id=1", "SELECT c FROM kid ORDER BY 1", "A", "b"),
    edit=AS_TEXT,
)
case(
    "children of a unique index",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT, x INTEGER); CREATE UNIQUE INDEX ux ON t(code);"
    "INSERT INTO t VALUES (1,'a',1); CREATE TABLE kid(c TEXT REFERENCES t(code)); INSERT INTO kid VALUES ('a');",
    TO_TEXT,
    rejects("INSERT INTO kid VALUES ('zz')", "FOREIGN KEY"),
    rejects("DELETE FROM t", "FOREIGN KEY"),
    edit=AS_TEXT,
)
case(
    "composite foreign key into the table",
    "CREATE TABLE t(a INTEGER, b TEXT, x INTEGER, PRIMARY KEY (a, b)); INSERT INTO t VALUES (1,'p',1),(1,'q',2);"
    "CREATE TABLE kid(a INTEGER, b TEXT, FOREIGN KEY (a, b) REFERENCES t ON DELETE CASCADE);"
    "INSERT INTO kid VALUES (1,'p'),(1,'q'),(1,NULL);",
    op.alter_column("t", "x", type_=Text()),
    then("DELETE FROM t WHERE b='q'", "SELECT b FROM kid ORDER BY rowid", "p", None),
    edit=AS_TEXT,
)
case(
    "self reference with cascade",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, up INTEGER REFERENCES t(id) ON DELETE CASCADE, x INTEGER);"
    "INSERT INTO t VALUES (1,NULL,1),(2,1,2),(3,2,3),(4,4,4);",
    TO_TEXT,
    rejects("INSERT INTO t VALUES (9,99,'9')", "FOREIGN KEY"),
    then("DELETE FROM t WHERE id=1", "SELECT id FROM t", 4),
    edit=AS_TEXT,
)
case(
    "self reference that points forward, and WITHOUT ROWID",
    "CREATE TABLE t(k TEXT PRIMARY KEY, next TEXT REFERENCES t ON DELETE SET NULL, x INTEGER) WITHOUT ROWID;"
    "INSERT INTO t VALUES ('a','c',1),('b','a',2),('c','c',3);",
    TO_TEXT,
    then("DELETE FROM t WHERE k='a'", "SELECT k, next FROM t ORDER BY k", ("b", None), ("c", "c")),
    edit=AS_TEXT,
)
case(
    "deferred foreign key stays deferred",
    T + KID.format("REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED"),
    op.alter_column("kid", "t_id", nullable=False),
    then("BEGIN", "SELECT 1", 1),
    then("INSERT INTO kid VALUES (20,50)", "SELECT count(*) FROM kid", 4),
    rejects("COMMIT", "FOREIGN KEY"),
    then("ROLLBACK", "SELECT count(*) FROM kid", 3),
    edit=("t_id INTEGER", "t_id INTEGER NOT NULL"),
    table="kid",
)
case(
    "two tables that refer to each other",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, k INTEGER REFERENCES kid(id) ON DELETE SET NULL);"
    "CREATE TABLE kid(id INTEGER PRIMARY KEY, t_id INTEGER REFERENCES t(id) ON DELETE CASCADE);"
    "INSERT INTO t VALUES (1,1,10),(2,2,NULL); INSERT INTO kid VALUES (10,1),(11,2);",
    TO_TEXT,
    rows("SELECT k FROM t ORDER BY id", 10, None),
    rows("SELECT count(*) FROM kid", 2),
    edit=AS_TEXT,
)
case(
    "grandchildren",
    T + KID.format("REFERENCES t ON DELETE CASCADE") + "CREATE TABLE grand(k INTEGER REFERENCES kid ON DELETE CASCADE);"
    "INSERT INTO grand VALUES (10),(12);",
    op.alter_column("t", "n", collation="NOCASE"),
    rows("SELECT count(*) FROM grand", 2),
    rows("SELECT id FROM t WHERE n='A'", 1),
    edit=("n TEXT", "n TEXT COLLATE NOCASE"),
)
case(
    "an orphan that was there already stops no unrelated change",
    T + KID.format("REFERENCES t(id)") + "INSERT INTO kid VALUES (13, 99);",
    TO_TEXT,
    rows("SELECT t_id FROM kid WHERE id=13", 99),
    edit=AS_TEXT,
)
case(
    "a child of a table that is missing stops no unrelated change",
    T + "CREATE TABLE lost(q INTEGER REFERENCES nowhere(id)); INSERT INTO lost VALUES (NULL);",
    TO_TEXT,
    rows("SELECT typeof(x) FROM t", "text", "text"),
    edit=AS_TEXT,
)
case(
    "foreign keys of the table itself keep names, actions, MATCH and DEFERRABLE",
    "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);"
    'CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, p INT CONSTRAINT "to p" REFERENCES p(id) ON UPDATE SET NULL'
    " MATCH FULL NOT DEFERRABLE INITIALLY IMMEDIATE, FOREIGN KEY (x) REFERENCES p ON DELETE NO ACTION);"
    "INSERT INTO t VALUES (5,1,1);",
    op.add_column("t", Column("y", Integer, nullable=False, server_default=text("7"))),
    kept('CONSTRAINT "to p"', "MATCH FULL", "NOT DEFERRABLE INITIALLY IMMEDIATE", "ON DELETE NO ACTION"),
    rows("SELECT y FROM t", 7),
    edit=(", FOREIGN KEY", ", y INTEGER DEFAULT 7 NOT NULL, FOREIGN KEY"),
)
case(
    "a rename of the table takes the children along",
    T + KID.format("REFERENCES t(id) ON DELETE CASCADE"),
    op.rename_table("t", "u"),
    then("DELETE FROM u WHERE id=2", "SELECT id FROM kid", 10),
    rejects("SELECT * FROM t", "no such table"),
    hand="ALTER TABLE t RENAME TO u",
    changes=("kid",),
)
case(
    "a rename of the table under legacy_alter_table and foreign_keys OFF takes the children along",
    T + KID.format("REFERENCES t(id)"),
    op.rename_table("t", "u"),
    rows("SELECT \"table\" FROM pragma_foreign_key_list('kid')", "u"),
    hand="PRAGMA legacy_alter_table=OFF; ALTER TABLE t RENAME TO u; PRAGMA legacy_alter_table=ON",
    changes=("kid",),
    session="PRAGMA legacy_alter_table=ON;",
    foreign_keys=False,
)
case(
    "a rename of a referenced column takes the children along",
    T + KID.format("REFERENCES t(id)"),
    op.rename_column("t", "id", "ident"),
    rejects("INSERT INTO kid VALUES (1,99)", "FOREIGN KEY"),
    rows("SELECT \"to\" FROM pragma_foreign_key_list('kid')", "ident"),
    hand="ALTER TABLE t RENAME COLUMN id TO ident",
    changes=("kid",),
)
refused(
    "dropping a parent that has children",
    T + KID.format("REFERENCES t(id) ON DELETE CASCADE"),
    op.drop_table("t"),
    *("t", "kid"),
)
case(
    "dropping a child leaves its parent",
    T + KID.format("REFERENCES t(id)"),
    op.drop_table("kid"),
    rows("SELECT count(*) FROM t", 2),
    hand="DROP TABLE kid",
    table="kid",
)
case(
    "a foreign key is added over good rows",
    T + KID.format(""),
    op.create_foreign_key("kid", "fk_kid_t", ["t_id"], "t", ["id"], ondelete="CASCADE"),
    rejects("INSERT INTO kid VALUES (1,99)", "FOREIGN KEY"),
    then("DELETE FROM t WHERE id=2", "SELECT id FROM kid", 10),
    kept("fk_kid_t", table="kid"),
    edit=("t_id INTEGER )", "t_id INTEGER, CONSTRAINT fk_kid_t FOREIGN KEY (t_id) REFERENCES t(id) ON DELETE CASCADE)"),
    table="kid",
)
case(
    "a deferred composite foreign key is added; NULLs in part are no orphans",
    "CREATE TABLE p(a INT, b INT, PRIMARY KEY(a,b)); INSERT INTO p VALUES (1,2);"
    "CREATE TABLE t(a INT, b INT); INSERT INTO t VALUES (1,2),(9,NULL);",
    op.create_foreign_key("t", "fk", ["a", "b"], "p", ["a", "b"], deferrable=True, initially="DEFERRED"),
    then("BEGIN", "SELECT 1", 1),
    then("INSERT INTO t VALUES (5,5)", "SELECT count(*) FROM t", 3),
    rejects("COMMIT", "FOREIGN KEY"),
    then("ROLLBACK", "SELECT count(*) FROM t", 2),
    edit=("b INT)", "b INT, CONSTRAINT fk FOREIGN KEY (a,b) REFERENCES p(a,b) DEFERRABLE INITIALLY DEFERRED)"),
)
case(
    "a self-referring foreign key is added",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, up INT); INSERT INTO t VALUES (1,1),(2,1),(3,NULL);",
    op.create_foreign_key("t", None, ["up"], "t", ["id"]),
    rejects("INSERT INTO t VALUES (4,44)", "FOREIGN KEY"),
    edit=("up INT)", "up INT, FOREIGN KEY (up) REFERENCES t(id))"),
)
refused(
    "a foreign key over orphans",
    T + KID.format("") + "INSERT INTO kid VALUES (13,98),(14,99),(15,NULL);",
    op.create_foreign_key("kid", "fk", ["t_id"], "t", ["id"]),
    *("kid", "t_id", "t", "2"),
    table="kid",
)
refused(
    "a foreign key over orphans, foreign_keys OFF",
    T + KID.format("") + "INSERT INTO kid VALUES (13,98);",
    op.create_foreign_key("kid", "fk", ["t_id"], "t", ["id"]),
    *("kid", "t_id", "1"),
    table="kid",
    foreign_keys=False,
)
refused(
    "a foreign key to a column that is not unique",
    T + KID.format(""),
    op.create_foreign_key("kid", "fk", ["t_id"], "t", ["x"]),
    *("t", "x"),
    table="kid",
)
refused(
    "a foreign key to a table that is missing, with a near match",
    T + "CREATE TABLE kid(t_id INT); CREATE TABLE parents(id INTEGER PRIMARY KEY);",
    op.create_foreign_key("kid", "fk", ["t_id"], "parent", ["id"]),
    *("parent", "parents"),
    table="kid",
)
case(
    "one of two foreign keys is dropped by its columns",
    "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE t(a INT REFERENCES p(id) ON DELETE CASCADE, b INT,"
    " FOREIGN KEY (b) REFERENCES p(id));",
    op.drop_constraint("t", kind="foreign_key", columns=["a"]),
    then("INSERT INTO t VALUES (5,NULL)", "SELECT a FROM t", 5),
    rejects("INSERT INTO t VALUES (NULL,5)", "FOREIGN KEY"),
    edit=(" REFERENCES p(id) ON DELETE CASCADE,", ","),
)
case(
    "a named foreign key inside a column is dropped by name",
    "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE t(a INT NOT NULL CONSTRAINT fk_a REFERENCES p(id) ON UPDATE"
    " SET NULL DEFERRABLE INITIALLY DEFERRED CHECK (a > 0), b INT);",
    op.drop_constraint("t", name="fk_a"),
    then("INSERT INTO t VALUES (5,NULL)", "SELECT a FROM t", 5),
    rejects("INSERT INTO t VALUES (-5,NULL)", "CHECK"),
    rejects("INSERT INTO t VALUES (NULL,NULL)", "NOT NULL"),
    edit=("CONSTRAINT fk_a REFERENCES p(id) ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED ", ""),
)

# CHECK constraints

for name, check, bad in [
    ("with commas and parentheses in strings", "n NOT IN ('a,b', '(c', ')', '--no')", "'(c'"),
    ("with doubled quotes", "n <> 'it''s, (really)'", "'it''s, (really)'"),
    ("with comments inside", "n /* , ) */ <> 'zz' -- ) '\n", "'zz'"),
    ("with double-quoted and bracketed names", "\"n\" <> 'q' AND [n] <> `n` || ')'", "'q'"),
    ("with CASE, IN and LIKE ESCAPE", "CASE WHEN n LIKE 'a\\_%' ESCAPE '\\' THEN 0 ELSE 1 END", "'a_b'"),
    ("qualified by the table", "t.n <> 'zz' AND t.x <> 100", "'zz'"),
    ("qualified by the quoted table", '"t"."n" <> \'zz\'', "'zz'"),
    ("with a function and a blob", "hex(n) <> '7A7A' AND n <> x'00FF'", "'zz'"),
]:
    case(
        f"a CHECK {name} of another column stays",
        f"CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT CHECK ({check}));" + TWO,
        TO_TEXT,
        rejects(f"INSERT INTO t(x,n) VALUES (1,{bad})", "CHECK"),
        edit=AS_TEXT,
    )
case(
    "named, unnamed, inline and table CHECKs stay with their names",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CONSTRAINT positive CHECK (x > 0) CHECK (x < 100), n TEXT,"
    " CONSTRAINT \"odd, name\" CHECK (n <> 'zz'), CHECK (length(n) < 9));" + TWO,
    NOT_NULL,
    rejects("INSERT INTO t(x,n) VALUES (0,'')", "positive"),
    rejects("INSERT INTO t(x,n) VALUES (100,'')", "CHECK"),
    rejects("INSERT INTO t(x,n) VALUES (1,'zz')", "odd, name"),
    rejects("INSERT INTO t(x,n) VALUES (1,'123456789')", "CHECK"),
    NULL_X,
    edit=AS_NOT_NULL,
)
case(
    "a CHECK over several columns is added, named",
    T,
    op.create_check("t", "ck", "x < 10 OR n = 'big, (ok)'"),
    rejects("INSERT INTO t(x,n) VALUES (10,'c')", "ck"),
    then("INSERT INTO t(x,n) VALUES (10,'big, (ok)')", "SELECT count(*) FROM t", 3),
    edit=("n TEXT)", "n TEXT, CONSTRAINT ck CHECK (x < 10 OR n = 'big, (ok)'))"),
)
case(
    "an unnamed CHECK is added behind a trailing comment",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER -- the last, with )\n);",
    op.create_check("t", None, "x > 0"),
    rejects("INSERT INTO t(x) VALUES (0)", "CHECK"),
    kept("-- the last, with )"),
    edit=(" -- the last, with )\n", ", CHECK (x > 0) -- the last, with )\n"),
)
case(
    "a CHECK that is NULL for a row is no contradiction",
    T + "INSERT INTO t VALUES (3,NULL,'c');",
    op.create_check("t", "ck", "x > 0"),
    rows("SELECT count(*) FROM t", 3),
    edit=("n TEXT)", "n TEXT, CONSTRAINT ck CHECK (x > 0))"),
)
case(
    "a CHECK is added to a STRICT table",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT) STRICT;" + TWO,
    op.create_check("t", "ck", "x > 0"),
    rejects("INSERT INTO t(x) VALUES (0)", "ck"),
    rejects("INSERT INTO t(x) VALUES ('abc')", "INTEGER"),
    edit=("n TEXT)", "n TEXT, CONSTRAINT ck CHECK (x > 0))"),
)
case(
    "a named CHECK is dropped, its neighbours stay",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT, CONSTRAINT a CHECK (x > 0), CONSTRAINT b CHECK (x > 1),"
    " CONSTRAINT c CHECK (x > 2));",
    op.drop_constraint("t", name="b"),
    rejects("INSERT INTO t(x) VALUES (2)", "c"),
    rejects("INSERT INTO t(x) VALUES (0)", "a"),
    edit=(" CONSTRAINT b CHECK (x > 1),", ""),
)
case(
    "a named CHECK inside a column is dropped, the rest of the column stays",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER NOT NULL DEFAULT 5 CONSTRAINT ck CHECK (x > 0) UNIQUE);",
    op.drop_constraint("t", name="ck"),
    then("INSERT INTO t(x) VALUES (-1)", "SELECT x FROM t", -1),
    then("INSERT INTO t DEFAULT VALUES", "SELECT x FROM t ORDER BY 1", -1, 5),
    rejects("INSERT INTO t(x) VALUES (5)", "UNIQUE"),
    edit=("CONSTRAINT ck CHECK (x > 0) ", ""),
)
case(
    "the last CHECK, before a comment, is dropped; name in other case and quoting",
    'CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, CONSTRAINT "My Check" CHECK (x > 0) /* why */);',
    op.drop_constraint("t", name="my check"),
    then("INSERT INTO t(x) VALUES (-1)", "SELECT x FROM t", -1),
    edit=(', CONSTRAINT "My Check" CHECK (x > 0)', ""),
)
case(
    "an unnamed CHECK is dropped by its columns",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CHECK (x > 0), y INTEGER CHECK (y > 0), CHECK (x < y));",
    op.drop_constraint("t", kind="check", columns=["y"]),
    then("INSERT INTO t(y) VALUES (-1)", "SELECT y FROM t", -1),
    rejects("INSERT INTO t(x) VALUES (-1)", "CHECK"),
    rejects("INSERT INTO t(x,y) VALUES (2,1)", "CHECK"),
    edit=(" CHECK (y > 0)", ""),
)
case(
    "an unnamed CHECK over two columns is dropped by them",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CHECK (x > 0), y INTEGER, CHECK (x < y));",
    op.drop_constraint("t", kind="check", columns=["x", "y"]),
    then("INSERT INTO t(x,y) VALUES (2,1)", "SELECT y FROM t", 1),
    rejects("INSERT INTO t(x) VALUES (-1)", "CHECK"),
    edit=(", CHECK (x < y)", ""),
)
case(
    "the only CHECK is dropped by its kind alone",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CHECK(x IN ('a', ')', '-- c')), n TEXT);",
    op.drop_constraint("t", kind="check"),
    then("INSERT INTO t(x) VALUES (5)", "SELECT x FROM t", 5),
    edit=(" CHECK(x IN ('a', ')', '-- c'))", ""),
)
refused(
    "several unnamed CHECKs and no columns: which one",
    "CREATE TABLE t(x INTEGER CHECK (x > 0), y INTEGER CHECK (y > 0));",
    op.drop_constraint("t", kind="check"),
    "t",
)
refused(
    "a constraint that is missing, with a near match",
    "CREATE TABLE t(x INTEGER, CONSTRAINT ck_positive CHECK (x > 0));",
    op.drop_constraint("t", name="ck_postive"),
    *("ck_postive", "ck_positive", "t"),
)
refused("a CHECK over rows that violate it", T, op.create_check("t", "ck", "x < 2"), "t", "ck", "1")
refused(
    "a CHECK over many rows that violate it",
    T + "INSERT INTO t(x) VALUES (50),(60),(70);",
    op.create_check("t", "ck", text("x < 10")),
    *("t", "ck", "3"),
)
refused(
    "a type under which a CHECK no longer holds",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CHECK (x < 100), n TEXT);" + TWO,
    TO_TEXT,
    *("t", "x", "1"),
)
refused("a CHECK that does not compile", T, op.create_check("t", "ck", "xx > 0"), "t", "xx")
refused("a CHECK that would close itself", T, op.create_check("t", "ck", "x > 0), CHECK (n > 0"), "t")
refused("a CHECK with a subquery", T, op.create_check("t", "ck", "x IN (SELECT 1)"), "t")
refused(
    "a CHECK whose name is taken",
    "CREATE TABLE t(x INT, CONSTRAINT ck CHECK (x > 0));",
    op.create_check("t", "CK", "x > 1"),
    "t",
)
case(
    "rows that violate a CHECK already stop no unrelated change",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT CHECK (n <> 'a')); PRAGMA ignore_check_constraints=ON;"
    + TWO
    + "PRAGMA ignore_check_constraints=OFF;",
    op.alter_column("t", "x", nullable=False),
    rows("SELECT n FROM t ORDER BY id", "a", "b"),
    rejects("INSERT INTO t(x,n) VALUES (1,'a')", "CHECK"),
    edit=AS_NOT_NULL,
)

# Indexes

for name, index, does, edit in [
    ("a partial index", "CREATE INDEX ix ON t(n) WHERE x > 1 AND n <> 'a, )'", NOT_NULL, AS_NOT_NULL),
    ("an expression index", "CREATE INDEX ix ON t(lower(n), x + 1)", NOT_NULL, AS_NOT_NULL),
    ("a DESC and COLLATE index", 'CREATE INDEX "ix, 1" ON t(n COLLATE NOCASE DESC, x ASC)', TO_TEXT, AS_TEXT),
    ("a unique partial index", "CREATE UNIQUE INDEX ix ON t(n) WHERE n IS NOT NULL -- why\n", *DROP_X),
    ("an index with odd spacing", "CREATE  INDEX   IF NOT EXISTS ix\n\tON t ( n )", TO_TEXT, AS_TEXT),
    ("an index on the qualified name", "CREATE INDEX main.ix ON [t]([n])", *DROP_X),
]:
    case(
        f"{name} stays",
        T + index + ";",
        does,
        rows("SELECT n FROM t ORDER BY n DESC", "b", "a"),
        edit=edit,
    )
case(
    "the changed column's own indexes stay over a rebuild",
    T + "CREATE INDEX i1 ON t(x); CREATE INDEX i2 ON t(x DESC) WHERE x > 1; CREATE INDEX i3 ON t(abs(x)); ANALYZE;",
    TO_TEXT,
    rows("SELECT name FROM sqlite_master WHERE type='index' ORDER BY rowid", "i1", "i2", "i3"),
    rows("SELECT id FROM t INDEXED BY i1 WHERE x='2'", 2),
    edit=AS_TEXT,
)
case(
    "an index follows the renamed column, in its WHERE too",
    T + "CREATE INDEX ix ON t(x, lower(n)) WHERE x > 0;",
    op.alter_column("t", "x", new_name="y"),
    rows("SELECT id FROM t INDEXED BY ix WHERE y > 0 ORDER BY id", 1, 2),
    hand="ALTER TABLE t RENAME COLUMN x TO y",
    changes=("ix",),
)
case(
    "several UNIQUE: the first is dropped, the others stay",
    "CREATE TABLE t(a TEXT, b TEXT, c TEXT, UNIQUE (a), UNIQUE (b), UNIQUE (c, a));INSERT INTO t VALUES ('1','2','3');",
    op.drop_constraint("t", kind="unique", columns=["a"]),
    rejects("INSERT INTO t VALUES ('1','2','4')", "t.b"),
    rejects("INSERT INTO t VALUES ('1','3','3')", "t.c"),
    then("INSERT INTO t VALUES ('1','3','4')", "SELECT count(*) FROM t", 2),
    edit=(" UNIQUE (a),", ""),
)
case(
    "several UNIQUE: the middle one is dropped by name",
    "CREATE TABLE t(k TEXT PRIMARY KEY, b TEXT UNIQUE, c TEXT CONSTRAINT uc UNIQUE, d TEXT, UNIQUE (d, b));"
    "INSERT INTO t VALUES ('1','2','3','4'),('5','6','7','8');",
    op.drop_constraint("t", name="uc"),
    rejects("INSERT INTO t VALUES ('1','x','y','z')", "t.k"),
    rejects("INSERT INTO t VALUES ('x','2','y','z')", "t.b"),
    then("INSERT INTO t VALUES ('x','x','3','4')", "SELECT count(*) FROM t", 3),
    edit=(" CONSTRAINT uc UNIQUE", ""),
)
case(
    "a UNIQUE is added, autoindexes and ON CONFLICT stay",
    "CREATE TABLE t(k TEXT PRIMARY KEY ON CONFLICT REPLACE, b TEXT UNIQUE ON CONFLICT IGNORE, c TEXT NOT NULL"
    " ON CONFLICT FAIL); INSERT INTO t VALUES ('k','b','c');",
    op.create_unique("t", "uq", ["c", "b"]),
    then("INSERT INTO t VALUES ('q','b','zz')", "SELECT k FROM t", "k"),
    then("INSERT INTO t VALUES ('k','b2','c2')", "SELECT * FROM t", ("k", "b2", "c2")),
    kept("NOT NULL ON CONFLICT FAIL", "uq"),
    edit=("FAIL)", "FAIL, CONSTRAINT uq UNIQUE (c, b))"),
)
case(
    "NULLs are no duplicates",
    T + "INSERT INTO t(x) VALUES (NULL),(NULL);",
    op.create_unique("t", "uq", ["x"]),
    rejects("INSERT INTO t(x) VALUES (1)", "UNIQUE"),
    then("INSERT INTO t(x) VALUES (NULL)", "SELECT count(*) FROM t", 5),
    edit=("n TEXT)", "n TEXT, CONSTRAINT uq UNIQUE (x))"),
)
refused(
    "a UNIQUE over duplicates",
    T + "INSERT INTO t(x,n) VALUES (7,'a'),(8,'a');",
    op.create_unique("t", "uq", ["n"]),
    *("t", "n"),
)
refused(
    "a UNIQUE over what NOCASE holds for duplicates",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE); INSERT INTO t(n) VALUES ('ab'),('AB'),('c');",
    op.create_unique("t", "uq", ["n"]),
    *("t", "n"),
)
refused(
    "a collation that makes duplicates of a UNIQUE column",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT UNIQUE); INSERT INTO t(n) VALUES ('ab'),('AB'),('c');",
    op.alter_column("t", "n", collation="NOCASE"),
    *("t", "n"),
)
refused(
    "a unique index over duplicates",
    T + "INSERT INTO t(x) VALUES (1);",
    op.create_index("ux", "t", ["x"], unique=True),
    "t",
    "x",
)
case(
    "a collation is dropped",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT DEFAULT 'd' COLLATE NOCASE NOT NULL);"
    "CREATE INDEX ix ON t(n);" + TWO,
    op.alter_column("t", "n", collation=None),
    rows("SELECT id FROM t WHERE n='A'"),
    rows("SELECT id FROM t INDEXED BY ix WHERE n='b'", 2),
    edit=(" COLLATE NOCASE", ""),
)
case(
    "an index is created: unique, partial, on an expression",
    T,
    op.create_index("ux", "t", [text("lower(n)"), "x"], unique=True, where="x > 0"),
    rejects("INSERT INTO t(x,n) VALUES (1,'A')", "UNIQUE"),
    then("INSERT INTO t(x,n) VALUES (-1,'A'),(-1,'A')", "SELECT count(*) FROM t", 4),
    hand="CREATE UNIQUE INDEX ux ON t(lower(n), x) WHERE x > 0",
)
case(
    "an index is created DESC",
    T,
    op.create_index("ix", "t", [text("x DESC"), "n"]),
    rows("SELECT \"desc\" FROM pragma_index_xinfo('ix') WHERE key", 1, 0),
    hand="CREATE INDEX ix ON t(x DESC, n)",
)
case(
    "an index is dropped, its likes stay",
    T + "CREATE INDEX ix ON t(x); CREATE INDEX ix2 ON t(x); CREATE INDEX IX3 ON t(x);",
    op.drop_index("ix"),
    rows("SELECT name FROM sqlite_master WHERE type='index' ORDER BY 1", "IX3", "ix2"),
    hand="DROP INDEX ix",
    changes=("ix",),
)
refused(
    "an autoindex cannot be dropped",
    "CREATE TABLE t(x INT UNIQUE);",
    op.drop_index("sqlite_autoindex_t_1"),
    "sqlite_autoindex_t_1",
)
refused(
    "an index that is missing, with a near match",
    T + "CREATE INDEX ix_t_x ON t(x);",
    op.drop_index("ix_t_y"),
    "ix_t_y",
    "ix_t_x",
)
refused("an index on a column that is missing", T, op.create_index("ix", "t", ["nn"]), "t", "nn", "n")
refused("an index whose name is a table's", T + "CREATE TABLE u(a);", op.create_index("u", "t", ["x"]), "u")
case(
    "ANALYZE statistics stay",
    T
    + "CREATE INDEX ix ON t(n); CREATE TABLE o(a INT); CREATE INDEX io ON o(a); INSERT INTO o VALUES (1),(1); ANALYZE;",
    TO_TEXT,
    rows("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2", ("o", "io", "2 2"), ("t", "ix", "2 1")),
    edit=AS_TEXT,
)

# AUTOINCREMENT and rowids

AUTO = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER, n TEXT);"
    "CREATE TABLE o(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO o VALUES (70);"
    "INSERT INTO t VALUES (1,1,'a'),(900,2,'b'); DELETE FROM t WHERE id=900;"
)
case(
    "AUTOINCREMENT goes on where it was",
    AUTO,
    TO_TEXT,
    then("INSERT INTO t(x) VALUES (3)", "SELECT max(id) FROM t", 901),
    rows("SELECT * FROM sqlite_sequence ORDER BY 1", ("o", 70), ("t", 901)),
    edit=AS_TEXT,
)
case(
    "AUTOINCREMENT goes on over an emptied table",
    AUTO + "DELETE FROM t;",
    op.drop_column("t", "x"),
    then("INSERT INTO t(n) VALUES (3)", "SELECT id FROM t", 901),
    edit=(" x INTEGER,", ""),
)
case(
    "AUTOINCREMENT goes on under the table's new name",
    AUTO,
    op.rename_table("t", "u"),
    then("INSERT INTO u(x) VALUES (3)", "SELECT max(id) FROM u", 901),
    hand="ALTER TABLE t RENAME TO u",
)
case(
    "AUTOINCREMENT that never counted",
    "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER, n TEXT);",
    TO_TEXT,
    rows("SELECT * FROM sqlite_sequence"),
    edit=AS_TEXT,
)
case(
    "AUTOINCREMENT whose counter was set by hand",
    AUTO + "UPDATE sqlite_sequence SET seq = 12345678901 WHERE name='t';",
    op.alter_column("t", "n", type_=String(20)),
    then("INSERT INTO t(x) VALUES (3)", "SELECT max(id) FROM t", 12345678902),
    edit=("n TEXT", "n VARCHAR(20)"),
)
case(
    "a dropped AUTOINCREMENT table takes only its own counter",
    AUTO,
    op.drop_table("t"),
    rows("SELECT * FROM sqlite_sequence", ("o", 70)),
    hand="DROP TABLE t",
)
case(
    "rowids with gaps of a table without a key",
    "CREATE TABLE t(x INTEGER, n TEXT); INSERT INTO t(rowid,x,n) VALUES (5,1,'a'),(900,2,'b'),(-3,3,'c');",
    TO_TEXT,
    rows("SELECT rowid, x FROM t ORDER BY 1", (-3, "3"), (5, "1"), (900, "2")),
    edit=AS_TEXT,
)
case(
    "rowids of a table with a text key",
    "CREATE TABLE t(k TEXT PRIMARY KEY, x INTEGER); INSERT INTO t(rowid,k,x) VALUES (50,'a',1),(7,'b',2);",
    TO_TEXT,
    rows("SELECT rowid, k FROM t ORDER BY 1", (7, "b"), (50, "a")),
    edit=AS_TEXT,
)
case(
    "a column called rowid shadows the rowid",
    "CREATE TABLE t(rowid TEXT, x INTEGER); INSERT INTO t(_rowid_,rowid,x) VALUES (50,'a',1),(7,'b',2);",
    TO_TEXT,
    rows("SELECT oid, rowid FROM t ORDER BY 1", (7, "b"), (50, "a")),
    edit=AS_TEXT,
)
case(
    "columns called rowid, _rowid_ and oid hide the rowid",
    "CREATE TABLE t(rowid TEXT, OID TEXT, _rowid_ INT, x INTEGER); INSERT INTO t VALUES ('a','p',1,1),('b','q',2,2);",
    NOT_NULL,
    rows("SELECT * FROM t ORDER BY x", ("a", "p", 1, 1), ("b", "q", 2, 2)),
    edit=AS_NOT_NULL,
)
case(
    "INTEGER PRIMARY KEY DESC is no alias of the rowid",
    "CREATE TABLE t(id INTEGER PRIMARY KEY DESC, x INTEGER); INSERT INTO t(rowid,id,x) VALUES (8,1,1),(9,2,2);",
    TO_TEXT,
    rows("SELECT rowid, id FROM t ORDER BY 1", (8, 1), (9, 2)),
    edit=AS_TEXT,
)
case(
    "INT PRIMARY KEY is no alias either",
    "CREATE TABLE t(id INT PRIMARY KEY, x INTEGER); INSERT INTO t(rowid,id,x) VALUES (8,1,1),(9,NULL,2);",
    TO_TEXT,
    rows("SELECT rowid, id FROM t ORDER BY 1", (8, 1), (9, None)),
    edit=AS_TEXT,
)
case(
    "the greatest and the least rowid",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER); INSERT INTO t VALUES (9223372036854775807,1),"
    "(-9223372036854775808,2),(0,3);",
    TO_TEXT,
    rows("SELECT x FROM t ORDER BY id", "2", "3", "1"),
    edit=AS_TEXT,
)
case(
    "an empty table",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER);",
    [op.alter_column("x", type_="TEXT", nullable=False), op.add_column(Column("y", Text))],
    rejects("INSERT INTO t(y) VALUES (1)", "NOT NULL"),
    edit=("x INTEGER", "x TEXT NOT NULL, y TEXT"),
)

# Generated columns

GEN = "CREATE TABLE t(id INTEGER PRIMARY KEY, {}); INSERT INTO t(x,n) VALUES (1,'a'),(2,'b');"
case(
    "a STORED column before the changed one",
    GEN.format("g TEXT GENERATED ALWAYS AS (upper(n) || ',)') STORED, x INTEGER, n TEXT"),
    NOT_NULL,
    then("UPDATE t SET n='q' WHERE id=1", "SELECT g FROM t ORDER BY id", "Q,)", "B,)"),
    rejects("INSERT INTO t(x,g) VALUES (1,1)", "generated"),
    edit=AS_NOT_NULL,
)
case(
    "VIRTUAL and STORED columns that build on each other, with indexes",
    GEN.format("x INTEGER, v AS (s + 1), n TEXT, s INT AS (x * 10) STORED UNIQUE") + "CREATE INDEX iv ON t(v);",
    op.alter_column("t", "n", type_=String(5)),
    rows("SELECT v, s FROM t ORDER BY id", (11, 10), (21, 20)),
    rejects("INSERT INTO t(x) VALUES (1)", "UNIQUE"),
    edit=("n TEXT", "n VARCHAR(5)"),
)
case(
    "a generated column over the column whose type changes",
    GEN.format("x INTEGER, n TEXT, v TEXT GENERATED ALWAYS AS (typeof(x)) VIRTUAL"),
    TO_TEXT,
    rows("SELECT v FROM t", "text", "text"),
    edit=AS_TEXT,
    changes=("v",),
)
case(
    "a generated column follows the renamed column",
    GEN.format("x INTEGER, n TEXT, v INT AS (x + length(n)) STORED NOT NULL"),
    op.rename_column("t", "x", "y"),
    then("UPDATE t SET y = 50", "SELECT v FROM t", 51, 51),
    hand="ALTER TABLE t RENAME COLUMN x TO y",
)
case(
    "a generated column is dropped",
    GEN.format("x INTEGER, v AS (x * 2), n TEXT"),
    op.drop_column("t", "v"),
    rows("SELECT * FROM t ORDER BY id", (1, 1, "a"), (2, 2, "b")),
    edit=(" v AS (x * 2),", ""),
)
case(
    "a virtual column is added",
    T,
    op.add_column("t", Column("v", Integer, Computed("x * 2", persisted=False))),
    then("UPDATE t SET x = 5", "SELECT v FROM t", 10, 10),
    rejects("INSERT INTO t(v) VALUES (1)", "generated"),
    edit=("n TEXT)", "n TEXT, v INTEGER GENERATED ALWAYS AS (x * 2) VIRTUAL)"),
)
case(
    "a stored column is added over rows",
    T,
    op.add_column("t", Column("v", Integer, Computed("x * 2", persisted=True))),
    rows("SELECT v FROM t ORDER BY id", 2, 4),
    then("UPDATE t SET x = 5", "SELECT v FROM t", 10, 10),
    edit=("n TEXT)", "n TEXT, v INTEGER GENERATED ALWAYS AS (x * 2) STORED)"),
)
refused(
    "a column that a generated column uses",
    GEN.format("x INTEGER, n TEXT, v AS (x*2)"),
    op.drop_column("t", "x"),
    "t",
    "x",
    "v",
)
case(
    "a column that a generated column uses, with cascade",
    GEN.format("x INTEGER, n TEXT, v AS (x*2), w AS (n || '!')"),
    op.drop_column("t", "x", cascade=True),
    rows("SELECT * FROM t ORDER BY id", (1, "a", "a!"), (2, "b", "b!")),
    edit=(" x INTEGER,", "", ", v AS (x*2)", ""),
)

# STRICT and WITHOUT ROWID

case(
    "STRICT stays strict",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT, a ANY) STRICT; INSERT INTO t VALUES (1,1,'a','007');",
    TO_TEXT,
    rejects("INSERT INTO t(x,n) VALUES ('1',x'00')", "BLOB"),
    rows("SELECT typeof(a), typeof(x) FROM t", ("text", "text")),
    edit=AS_TEXT,
)
case(
    "WITHOUT ROWID stays",
    "CREATE TABLE t(k TEXT, j INT, x INTEGER, PRIMARY KEY (k DESC, j)) WITHOUT ROWID; INSERT INTO t VALUES ('a',1,1);",
    TO_TEXT,
    rejects("SELECT rowid FROM t", "no such column"),
    rejects("INSERT INTO t(k) VALUES ('z')", "NOT NULL"),
    edit=AS_TEXT,
)
case(
    "STRICT, WITHOUT ROWID, in odd case and with a comment",
    "CREATE TABLE t(k TEXT PRIMARY KEY, x INTEGER, n TEXT) Strict /* , */, without RowId;"
    "INSERT INTO t VALUES ('a',1,'n');",
    op.drop_column("t", "n"),
    rejects("SELECT rowid FROM t", "no such column"),
    rejects("INSERT INTO t VALUES ('b','b')", "INTEGER"),
    kept("/* , */"),
    edit=(", n TEXT", ""),
)
case(
    "WITHOUT ROWID with children and indexes",
    "CREATE TABLE t(k TEXT PRIMARY KEY, x INTEGER, n TEXT UNIQUE) WITHOUT ROWID; CREATE INDEX ix ON t(x DESC);"
    "INSERT INTO t VALUES ('a',1,'n'),('b',2,NULL); CREATE TABLE kid(k REFERENCES t ON DELETE CASCADE);"
    "INSERT INTO kid VALUES ('a'),('b');",
    op.alter_column("t", "x", type_=Numeric(10, 2), nullable=False),
    rows("SELECT count(*) FROM kid", 2),
    rows("SELECT k FROM t INDEXED BY ix WHERE x=2", "b"),
    edit=("x INTEGER", "x NUMERIC(10,2) NOT NULL"),
)
case(
    "a CHECK is dropped from a WITHOUT ROWID table",
    "CREATE TABLE t(k TEXT PRIMARY KEY, x INTEGER CONSTRAINT c CHECK (x>0))WITHOUT ROWID,STRICT;"
    "INSERT INTO t VALUES ('a',1);",
    op.drop_constraint("t", name="c"),
    then("INSERT INTO t VALUES ('b',-1)", "SELECT count(*) FROM t", 2),
    edit=(" CONSTRAINT c CHECK (x>0)", ""),
)
refused(
    "a type that STRICT does not know",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER) STRICT;",
    op.alter_column("t", "x", type_=String(10)),
    *("t", "x"),
)

# Names, quotings and comments

case(
    "strange names of columns and of the table",
    'CREATE TABLE "my, table"("id" INTEGER PRIMARY KEY, [a b] TEXT, "x""y" INTEGER, `order` TEXT DEFAULT \'it\'\'s\','
    ' "(p)" INT, "--no" INT); INSERT INTO "my, table" VALUES (1,\'s\',5,\'o\',6,7);',
    op.alter_column("my, table", 'x"y', type_="TEXT"),
    rows('SELECT * FROM "my, table"', (1, "s", "5", "o", 6, 7)),
    edit=('"x""y" INTEGER', '"x""y" TEXT'),
    table="my, table",
)
for number, (name, spelled) in enumerate(
    [
        *(("order", "`order`"), ("a b", "[a b]"), ("a,b", '"a,b"'), ("it's", '"it\'s"'), ("größe", "größe")),
        *(("primary", '"primary"'), ("check", "[check]"), ("a;b", '"a;b"'), ("(x", "`(x`"), ("--x", '"--x"')),
    ]
):
    setup = (
        f"CREATE TABLE t(id INTEGER PRIMARY KEY, {spelled} INTEGER , n TEXT); INSERT INTO t VALUES (1,5,'a'),(2,6,'b');"
    )
    if number % 3 == 0:
        does, edit = op.alter_column("t", name, nullable=False), (f"{spelled} INTEGER", f"{spelled} INTEGER NOT NULL")
    elif number % 3 == 1:
        does, edit = op.drop_column("t", name), (f" {spelled} INTEGER ,", "")
    else:
        does, edit = op.alter_column("t", name, type_=Text), (f"{spelled} INTEGER", f"{spelled} TEXT")
    case(f"the column {name}, changed", setup, does, rows("SELECT n FROM t ORDER BY id", "a", "b"), edit=edit)
case(
    "words of the grammar as bare names",
    "CREATE TABLE t(key INTEGER, action TEXT, generated INT, always TEXT, strict INT, rowid TEXT, conflict, x INTEGER,"
    " desc_ INT, no INT, match TEXT, virtual INT); INSERT INTO t VALUES (1,'a',2,'b',3,'c',4,5,6,7,'d',8);",
    TO_TEXT,
    rows("SELECT * FROM t", (1, "a", 2, "b", 3, "c", 4, "5", 6, 7, "d", 8)),
    edit=AS_TEXT,
)
case(
    "a type called like a constraint's word, and columns without a type",
    "CREATE TABLE t(a, b PRIMARY KEY, c DEFAULT 5, d CHECK(d>0), x INTEGER, e REFERENCES t(b), f NOT NULL DEFAULT(1),"
    " g UNIQUE, h COLLATE NOCASE, i AS (a)); INSERT INTO t(a,b,d,x) VALUES ('q','k',1,5);",
    NOT_NULL,
    rows("SELECT * FROM t", ("q", "k", 5, 1, 5, None, 1, None, None, "q")),
    edit=AS_NOT_NULL,
)
case(
    "names in another case than the definition's",
    "CREATE TABLE T(Id INTEGER PRIMARY KEY, X INTEGER, N TEXT CHECK (n <> 'zz')); CREATE INDEX IX ON t(N);"
    "INSERT INTO t VALUES (1,1,'a');",
    op.alter_column("t", "x", type_="TEXT"),
    kept("CREATE TABLE", "T(Id", table="T"),
    edit=("X INTEGER", "X TEXT"),
    table="T",
    changes=("X",),
)
case(
    "a name in double quotes, dots and all, as a literal",
    'CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, "t.x" TEXT DEFAULT "str"); INSERT INTO t(x) VALUES (1);',
    NOT_NULL,
    then("INSERT INTO t(x) VALUES (2)", 'SELECT "t.x" FROM t', "str", "str"),
    edit=AS_NOT_NULL,
)
case(
    "comments everywhere",
    "CREATE TABLE t(-- first, (\n id INTEGER PRIMARY KEY, /* before x, ' */ x /*mid*/ INTEGER, -- after x ' \"\n"
    "  n TEXT /* last ) */ -- really last ;\n);" + TWO,
    op.alter_column("t", "x", nullable=False, server_default="9"),
    kept("-- first, (", "/* before x, ' */", "/*mid*/", "-- after x ' \"", "/* last ) */", "-- really last ;"),
    then("INSERT INTO t(n) VALUES ('q')", "SELECT x FROM t WHERE n='q'", 9),
    edit=("/*mid*/ INTEGER", "/*mid*/ INTEGER DEFAULT '9' NOT NULL"),
)
case(
    "a column is added behind a trailing comment",
    "CREATE TABLE t(\n  id INTEGER PRIMARY KEY,\n  x INTEGER -- the last\n);INSERT INTO t VALUES (1,1);",
    op.add_column("t", Column("y", Integer, nullable=True)),
    kept("-- the last"),
    then("UPDATE t SET y = 5", "SELECT * FROM t", (1, 1, 5)),
    edit=("x INTEGER -- the last\n", "x INTEGER, -- the last\n y INTEGER"),
)
case(
    "the last column, before a trailing comment, is dropped",
    "CREATE TABLE t(\n  id INTEGER PRIMARY KEY,\n  n TEXT, -- keep me\n  x INTEGER -- about x\n);"
    "INSERT INTO t VALUES (1,'a',1);",
    op.drop_column("t", "x"),
    kept("-- keep me"),
    rows("SELECT * FROM t", (1, "a")),
    edit=("n TEXT, -- keep me\n  x INTEGER -- about x\n", "n TEXT -- keep me\n"),
)
case(
    "the first column is dropped",
    "CREATE TABLE t(x INTEGER, id INTEGER PRIMARY KEY, n TEXT); INSERT INTO t VALUES (5,1,'a');",
    op.drop_column("t", "x"),
    rows("SELECT * FROM t", (1, "a")),
    edit=("x INTEGER, id", "id"),
)
refused("the only column is dropped", "CREATE TABLE t(x INTEGER);", op.drop_column("t", "x"), "t", "x")
refused("the primary key column is dropped", T, op.drop_column("t", "id"), "t", "id")
case(
    "CREATE TABLE IF NOT EXISTS with tabs and line ends of every kind",
    "CREATE TABLE IF NOT EXISTS\tt\r\n(\r\n\tid INTEGER PRIMARY KEY,\r\n\tx\tINTEGER,\r\n\tn TEXT\r\n)\r\n;" + TWO,
    TO_TEXT,
    kept("\r\n\tn TEXT\r\n"),
    edit=("x\tINTEGER", "x\tTEXT"),
)
case(
    "a table made by CREATE TABLE AS",
    "CREATE TABLE t AS SELECT 1 AS x, 'a' AS n, 2.5 AS \"max(x)\", x'00' AS b;"
    " INSERT INTO t VALUES ('7', 8, 'z', NULL);",
    op.alter_column("t", "x", nullable=False),
    rows("SELECT count(*) FROM t", 2),
    edit=("x,", "x NOT NULL,"),
)

# Types and values

VALUES = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, a INTEGER, b TEXT, c REAL, d BLOB, e, f NUMERIC,"
    " g DOUBLE PRECISION,"
    ' h VARCHAR(10, 2), i UNSIGNED BIG INT, j "odd type", k DATETIME);'
    "INSERT INTO t VALUES (1,1,'forty',x'61',9,1.5,'5','1e3',3,'toolongforthis',18446744073709551615,'x','2024-01-01');"
    "INSERT INTO t VALUES (2,2,9223372036854775807,CAST(x'610062' AS"
    " TEXT),-0.0,x'00ff00',-0.0,9e999,-9e999,5,-1,x'','');"
    "INSERT INTO t VALUES (3,3,2.5,'',1e-320,'',0.1,9007199254740993,'9007199254740993',NULL,1.0,0,NULL);"
    "INSERT INTO t VALUES (4,4,x'31',CAST(x'ff41' AS TEXT),'abc','text',x'',' 12"
    " ','0x10','007','1_0',1e3,char(0x1F600));"
)
for name, does, edit in [
    ("NOT NULL", NOT_NULL, AS_NOT_NULL),
    ("another type", TO_TEXT, AS_TEXT),
    ("a dropped column", *DROP_X),
    ("a CHECK", op.create_check("t", "ck", "x > 0"), ("k DATETIME)", "k DATETIME, CONSTRAINT ck CHECK (x > 0))")),
    ("a UNIQUE", op.create_unique("t", None, ["x"]), ("k DATETIME)", "k DATETIME, UNIQUE (x))")),
    ("a default", op.alter_column("t", "x", server_default="5"), ("x INTEGER", "x INTEGER DEFAULT '5'")),
]:
    case(f"values unlike their columns stay over {name}", VALUES, does, rows("SELECT count(*) FROM t", 4), edit=edit)
case(
    "a type of the same affinity, over values of others",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x VARCHAR(5)); INSERT INTO t(x) VALUES ('toolong'),(x'00'),(5),(NULL);",
    op.alter_column("t", "x", type_=String(50)),
    rows("SELECT typeof(x) FROM t ORDER BY id", "text", "blob", "text", "null"),
    edit=("VARCHAR(5)", "VARCHAR(50)"),
)
case(
    "TEXT to INTEGER over whole numbers",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, n TEXT); INSERT INTO t(x) VALUES ('1'),('-20'),(NULL),('0');",
    op.alter_column("t", "x", type_=Integer),
    rows("SELECT x FROM t ORDER BY id", 1, -20, None, 0),
    edit=("x TEXT", "x INTEGER"),
)
case(
    "INTEGER to REAL",
    T,
    op.alter_column("t", "x", type_=Float),
    rows("SELECT typeof(x), x FROM t ORDER BY id", ("real", 1.0), ("real", 2.0)),
    edit=("x INTEGER", "x FLOAT"),
)
case(
    "REAL to INTEGER over whole numbers",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL); INSERT INTO t(x) VALUES (1.0),(-5.0),(NULL);",
    op.alter_column("t", "x", type_="INTEGER"),
    rows("SELECT typeof(x), x FROM t ORDER BY id", ("integer", 1), ("integer", -5), ("null", None)),
    edit=("x REAL", "x INTEGER"),
)
case(
    "a type where there was none, and an index on it",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x, n TEXT); CREATE INDEX ix ON t(x);"
    " INSERT INTO t(x) VALUES ('10'),('9'),(NULL);",
    op.alter_column("t", "x", type_=Integer),
    rows("SELECT x FROM t INDEXED BY ix WHERE x > 0 ORDER BY x", 9, 10),
    edit=("x,", "x INTEGER,"),
)
for name, old, new, values, count in [
    ("'forty' to INTEGER", "TEXT", "INTEGER", "('1'),('forty'),(NULL)", 1),
    ("'12abc' to INTEGER", "TEXT", "INTEGER", "('12abc'),('13abc'),('14')", 2),
    ("dates to REAL", "TEXT", "REAL", "('2024-01-31'),('2024-02-01'),('2024-02-02')", 3),
    ("'007' to INTEGER", "TEXT", "INTEGER", "('7'),('007')", 1),
    ("1.5 to INTEGER", "REAL", "INTEGER", "(1.5),(2.0)", 1),
    ("'' to INTEGER", "TEXT", "INTEGER", "(''),('5')", 1),
    ("blobs to INTEGER", "BLOB", "INTEGER", "(x'31'),(x'00'),(7)", 2),
    ("'1e3' to NUMERIC", "TEXT", "NUMERIC", "('1e3'),('5')", 1),
    ("too big an integer to REAL", "INTEGER", "REAL", "(9007199254740993),(5)", 1),
]:
    refused(
        f"values that a type would change: {name}",
        f"CREATE TABLE t(id INTEGER PRIMARY KEY, x {old}); INSERT INTO t(x) VALUES {values};",
        op.alter_column("t", "x", type_=new),
        *("t", "x", str(count)),
    )
case(
    "using= states the conversion",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, n TEXT); INSERT INTO t(x) VALUES ('12abc'),('forty'),(NULL);",
    op.alter_column("t", "x", type_=Integer, using="CASE WHEN x = 'forty' THEN 40 ELSE CAST(x AS INTEGER) END"),
    rows("SELECT x FROM t ORDER BY id", 12, 40, None),
    edit=("x TEXT", "x INTEGER"),
    hand="UPDATE t SET x = CASE WHEN x = 'forty' THEN 40 ELSE CAST(x AS INTEGER) END",
)
case(
    "using= over another column, with text() and NOT NULL; triggers stay silent",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, n TEXT); INSERT INTO t VALUES (1,NULL,'abc'),(2,'7','z');"
    "CREATE TABLE log(m); CREATE TRIGGER tu AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.x); END;",
    op.alter_column("t", "x", type_=Integer, nullable=False, using=text("coalesce(x, length(n))")),
    rows("SELECT x, typeof(x) FROM t ORDER BY id", (3, "integer"), (7, "integer")),
    rows("SELECT * FROM log"),
    edit=("x TEXT", "x INTEGER NOT NULL"),
    hand="DROP TRIGGER tu; UPDATE t SET x = coalesce(x, length(n));"
    "CREATE TRIGGER tu AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.x); END",
)
refused(
    "using= that still comes to NULL",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t(x) VALUES ('a'),('5'),('6');",
    op.alter_column("t", "x", type_=Integer, nullable=False, using="CASE WHEN x > '9' THEN NULL ELSE x END"),
    *("t", "x", "NULL", "1"),
)
case(
    "using= without a type fills what is NULL",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT); INSERT INTO t VALUES (1,NULL,'a'),(2,5,'b');",
    op.alter_column("t", "x", nullable=False, using="coalesce(x, -1)"),
    rows("SELECT x FROM t ORDER BY id", -1, 5),
    edit=AS_NOT_NULL,
    hand="UPDATE t SET x = coalesce(x, -1)",
)
refused(
    "NOT NULL over NULLs that a default given along does not fill",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER); INSERT INTO t VALUES (1,NULL),(2,5),(3,NULL);",
    op.alter_column("t", "x", nullable=False, server_default="0"),
    *("t", "x", "NULL", "2"),
)
refused(
    "NOT NULL over many NULLs, in a table without a key",
    "CREATE TABLE t(x INTEGER, n TEXT); INSERT INTO t(n) VALUES ('a'),('b'),('c'),('d');",
    NOT_NULL,
    *("t", "x", "NULL", "4"),
)
refused(
    "NOT NULL over NULLs, WITHOUT ROWID",
    "CREATE TABLE t(k TEXT PRIMARY KEY, x INTEGER) WITHOUT ROWID; INSERT INTO t VALUES ('a',NULL),('b',1);",
    NOT_NULL,
    *("t", "x", "NULL", "1"),
)
refused("a type change of a column that is no column", T, op.alter_column("t", "xx", type_="TEXT"), "t", "xx", "x")

# NOT NULL, defaults and rows that are shorter than the table

case(
    "NOT NULL is dropped, with its conflict clause; the rest of the column stays",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER DEFAULT 3 NOT NULL ON CONFLICT IGNORE CHECK (x > 0),"
    " n TEXT NOT NULL);" + TWO,
    op.alter_column("t", "x", nullable=True),
    then("INSERT INTO t(x,n) VALUES (NULL,'q')", "SELECT x FROM t WHERE n='q'", None),
    rejects("INSERT INTO t(x,n) VALUES (-1,'q')", "CHECK"),
    rejects("INSERT INTO t(x) VALUES (1)", "t.n"),
    edit=(" NOT NULL ON CONFLICT IGNORE", ""),
)
case(
    "a named NOT NULL is dropped",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CONSTRAINT nn NOT NULL CONSTRAINT ck CHECK (x > 0), n TEXT);"
    + TWO,
    op.alter_column("t", "x", nullable=True),
    then("INSERT INTO t(n) VALUES ('q')", "SELECT x FROM t WHERE n='q'", None),
    rejects("INSERT INTO t(x) VALUES (0)", "ck"),
    edit=(" CONSTRAINT nn NOT NULL", ""),
)
case(
    "NOT NULL asked for again keeps its conflict clause",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER NOT NULL ON CONFLICT REPLACE DEFAULT 4, n TEXT);" + TWO,
    op.alter_column("t", "x", nullable=False, type_="BIGINT"),
    then("INSERT INTO t(x,n) VALUES (NULL,'q')", "SELECT x FROM t WHERE n='q'", 4),
    edit=("x INTEGER", "x BIGINT"),
)
for name, default in [
    ("an expression", "(abs(-5) + length('a,b)'))"),
    # Of a time, the two databases that are compared would have two.
    ("CURRENT_DATE", "CURRENT_DATE"),
    ("a negative number", "-1.50"),
    ("a signed one", "+ 3"),
    ("a string with quotes", "'it''s (\"x\"), --'"),
    ("a blob", "x'00ff'"),
    ("a hexadecimal", "0xFF"),
    ("NULL", "NULL"),
    ("TRUE", "TRUE"),
    ("a bare word", "hello"),
    ("a parenthesised time", "(strftime('%s', '2024-01-01'))"),
]:
    case(
        f"a default stays as it is written: {name}",
        f"CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT, d DEFAULT {default});" + TWO,
        [TO_TEXT, NOT_NULL][len(CASES) % 2],
        kept(f"DEFAULT {default}"),
        edit=[AS_TEXT, AS_NOT_NULL][len(CASES) % 2],
    )
SHORT = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER); INSERT INTO t VALUES (1,1),(2,2);"
    "ALTER TABLE t ADD COLUMN c TEXT NOT NULL DEFAULT 'old'; INSERT INTO t(id,x) VALUES (3,3);"
    "INSERT INTO t VALUES (4,4,'own');"
)
OLD = rows("SELECT c FROM t ORDER BY id", "old", "old", "old", "own")
case(
    "short rows keep what they read when the default changes",
    SHORT,
    op.alter_column("t", "c", server_default="new"),
    OLD,
    then("INSERT INTO t(id,x) VALUES (5,5)", "SELECT c FROM t WHERE id=5", "new"),
    edit=("'old'", "'new'"),
)
case(
    "short rows keep what they read when the default is dropped",
    SHORT,
    op.alter_column("t", "c", server_default=None),
    OLD,
    rejects("INSERT INTO t(id,x) VALUES (5,5)", "NOT NULL"),
    edit=(" DEFAULT 'old'", ""),
)
case(
    "short rows, the default and NOT NULL dropped together",
    SHORT,
    op.alter_column("t", "c", server_default=None, nullable=True),
    OLD,
    then("INSERT INTO t(id,x) VALUES (5,5)", "SELECT c FROM t WHERE id=5", None),
    edit=(" NOT NULL DEFAULT 'old'", ""),
)
case("short rows over a dropped neighbour", SHORT, op.drop_column("t", "x"), OLD, edit=(" x INTEGER,", ""))
case("short rows over a neighbour's type", SHORT, TO_TEXT, OLD, edit=AS_TEXT)
case(
    "short rows over an added CHECK that the default meets",
    SHORT,
    op.create_check("t", "ck", "c <> 'zz'"),
    OLD,
    edit=("'old'", "'old', CONSTRAINT ck CHECK (c <> 'zz')"),
)
refused("short rows violate a CHECK by their default", SHORT, op.create_check("t", "ck", "c <> 'old'"), "t", "ck", "3")
refused("short rows are duplicates by their default", SHORT, op.create_unique("t", "uq", ["c"]), "t", "c")
case(
    "short rows whose default changes affinity with the type",
    "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 5;",
    op.alter_column("t", "x", type_="TEXT"),
    rows("SELECT x, typeof(x) FROM t", ("5", "text")),
    edit=AS_TEXT,
)
case(
    "short rows in two columns, one default changed, WITHOUT ROWID",
    "CREATE TABLE t(k TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO t VALUES ('a');"
    " ALTER TABLE t ADD COLUMN c DEFAULT 1.50;"
    "ALTER TABLE t ADD COLUMN d DEFAULT x'0A'; INSERT INTO t(k) VALUES ('b');",
    op.alter_column("t", "c", server_default=text("(2 + 2)")),
    then("INSERT INTO t(k) VALUES ('c')", "SELECT c, hex(d) FROM t ORDER BY k", (1.5, "0A"), (1.5, "0A"), (4, "0A")),
    edit=("1.50", "(2 + 2)"),
)
case(
    "short rows keep what they read; the triggers on UPDATE do not fire",
    SHORT + "CREATE TABLE log(m); CREATE TRIGGER tu AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (old.id); END;"
    "CREATE TRIGGER no BEFORE UPDATE OF c ON t BEGIN SELECT raise(ABORT, 'c is fixed'); END;",
    op.alter_column("t", "c", server_default=text("'new'")),
    OLD,
    rows("SELECT * FROM log"),
    rejects("UPDATE t SET c = 'q'", "c is fixed"),
    edit=("'old'", "'new'"),
)
case(
    "a default that is a string with a quote and a colon",
    T,
    op.alter_column("t", "n", server_default="it's :x, (50%)"),
    then("INSERT INTO t(x) VALUES (3)", "SELECT n FROM t WHERE x=3", "it's :x, (50%)"),
    edit=("n TEXT", "n TEXT DEFAULT 'it''s :x, (50%)'"),
)
case(
    "a default by expression text()",
    T,
    op.alter_column("t", "x", server_default=text("(abs(-7))")),
    then("INSERT INTO t(n) VALUES ('q')", "SELECT x FROM t WHERE n='q'", 7),
    edit=("x INTEGER", "x INTEGER DEFAULT (abs(-7))"),
)
case(
    "a default CURRENT_TIMESTAMP for a date",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x DATETIME DEFAULT '2000-01-01 00:00:00');"
    " INSERT INTO t VALUES (1,'1999');",
    op.alter_column("t", "x", server_default=text("CURRENT_TIMESTAMP")),
    then("INSERT INTO t(id) VALUES (2)", "SELECT x > '2020', x LIKE '____-__-__ __:__:__' FROM t WHERE id=2", (1, 1)),
    edit=("'2000-01-01 00:00:00'", "CURRENT_TIMESTAMP"),
)
case(
    "a column is added with a literal default; old rows read it",
    T,
    op.add_column("t", Column("c", String(9), nullable=False, server_default="it's")),
    rows("SELECT c FROM t", "it's", "it's"),
    edit=("n TEXT)", "n TEXT, c VARCHAR(9) DEFAULT 'it''s' NOT NULL)"),
)
case(
    "a column is added whose default is no constant",
    T,
    op.add_column("t", Column("c", DateTime, nullable=False, server_default=text("CURRENT_TIMESTAMP"))),
    rows("SELECT count(*) FROM t WHERE c > '2020'", 2),
    edit=("n TEXT)", "n TEXT, c DATETIME DEFAULT (datetime('now')) NOT NULL)"),
    changes=("c",),
    same=False,
)
case(
    "a column is added that is UNIQUE",
    T,
    op.add_column("t", Column("c", Text, unique=True)),
    then("UPDATE t SET c = id", "SELECT c FROM t ORDER BY id", "1", "2"),
    rejects("UPDATE t SET c = 5", "UNIQUE"),
    edit=("n TEXT)", "n TEXT, c TEXT UNIQUE)"),
)
case(
    "a column is added that refers to a table",
    T + KID.format("REFERENCES t(id)"),
    op.add_column("kid", Column("other", Integer, ForeignKey("t.id", ondelete="SET NULL"))),
    then("UPDATE kid SET other = 1, t_id = 2", "SELECT DISTINCT other FROM kid", 1),
    then("DELETE FROM t WHERE id = 1", "SELECT DISTINCT other FROM kid", None),
    edit=(
        "t_id INTEGER REFERENCES t(id)",
        "t_id INTEGER REFERENCES t(id), other INTEGER REFERENCES t(id) ON DELETE SET NULL",
    ),
    table="kid",
)
case(
    "a column is added to a table of table-level constraints, views and triggers",
    "CREATE TABLE t(id INTEGER, x INTEGER, n TEXT, PRIMARY KEY (id), CHECK (x > 0)); CREATE VIEW v AS SELECT * FROM t;"
    "CREATE TRIGGER ti AFTER INSERT ON t BEGIN UPDATE t SET n = 'fired' WHERE id = new.id; END;" + TWO,
    op.add_column("t", Column("c", Boolean, server_default=text("1"))),
    then("INSERT INTO t(x) VALUES (5)", "SELECT n, c FROM v", ("fired", 1), ("fired", 1), ("fired", 1)),
    rejects("INSERT INTO t(x) VALUES (-5)", "CHECK"),
    edit=("n TEXT,", "n TEXT, c BOOLEAN DEFAULT 1,"),
)
refused(
    "a NOT NULL column without a default is added over rows",
    T,
    op.add_column("t", Column("c", Integer, nullable=False)),
    "t",
    "c",
    "2",
)
refused("a column is added whose name is taken", T, op.add_column("t", Column("X", Integer)), "t")
refused(
    "an added UNIQUE column's default makes duplicates",
    T,
    op.add_column("t", Column("c", Integer, unique=True, server_default="1")),
    *("t", "c"),
)

# Triggers

LOG = "CREATE TABLE log(m TEXT);"
case(
    "triggers of every kind stay, with their text",
    T + LOG + "CREATE TRIGGER a BEFORE INSERT ON t WHEN new.x > 5 BEGIN INSERT INTO log VALUES ('before;end'); END;"
    "CREATE TRIGGER b AFTER UPDATE OF n ON t FOR EACH ROW BEGIN INSERT INTO log SELECT CASE WHEN 1 THEN 'upd' END; END;"
    'CREATE TRIGGER "c d" AFTER DELETE ON [t] BEGIN INSERT INTO log VALUES (old.n); -- end\n END;',
    TO_TEXT,
    rows("SELECT * FROM log"),
    then("INSERT INTO t(x) VALUES (6)", "SELECT m FROM log", "before;end"),
    then("UPDATE t SET n='q' WHERE id=1", "SELECT m FROM log WHERE m='upd'", "upd"),
    then("DELETE FROM t WHERE id=2", "SELECT m FROM log WHERE m='b'", "b"),
    edit=AS_TEXT,
)
case(
    "triggers keep the order in which they fire",
    T + LOG + "CREATE TRIGGER z AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('z'); END;"
    "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('a'); END;"
    "CREATE TRIGGER m AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('m'); END;",
    TO_TEXT,
    then("INSERT INTO t(x) VALUES (6)", "SELECT group_concat(m, '') FROM log", "maz"),
    edit=AS_TEXT,
)
case(
    "triggers of other tables that write to the table stay",
    T + "CREATE TABLE src(a INT); CREATE TRIGGER s1 AFTER INSERT ON src BEGIN INSERT INTO t(x,n) VALUES (new.a,'src');"
    " UPDATE t SET n = 'u' WHERE x = new.a - 1; DELETE FROM t WHERE x = new.a - 2; END;",
    NOT_NULL,
    then("INSERT INTO src VALUES (3)", "SELECT x, n FROM t ORDER BY x", (2, "u"), (3, "src")),
    edit=AS_NOT_NULL,
)
case(
    "INSTEAD OF triggers of a view over the table stay",
    T + "CREATE VIEW v AS SELECT x, n FROM t; CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN INSERT INTO t(x,n) VALUES"
    " (new.x, new.n || '!'); END;",
    TO_TEXT,
    then("INSERT INTO v VALUES (3,'c')", "SELECT n FROM t WHERE x='3'", "c!"),
    edit=AS_TEXT,
)
case(
    "a temp trigger on the table stays",
    T + LOG + "CREATE TEMP TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('temp ' || new.x); END;",
    TO_TEXT,
    rows("SELECT count(*) FROM log", 0),
    then("INSERT INTO t(x) VALUES (3)", "SELECT m FROM log", "temp 3"),
    edit=AS_TEXT,
)
case(
    "a temp view over the table stays",
    T + "CREATE TEMP VIEW tv AS SELECT upper(n) AS un FROM t;",
    TO_TEXT,
    rows("SELECT un FROM tv ORDER BY 1", "A", "B"),
    edit=AS_TEXT,
)
case(
    "a recursive trigger does not run away",
    T + "CREATE TRIGGER r AFTER INSERT ON t WHEN new.x < 5 BEGIN INSERT INTO t(x) VALUES (new.x + 1); END;",
    TO_TEXT,
    rows("SELECT count(*) FROM t", 2),
    edit=AS_TEXT,
    session="PRAGMA recursive_triggers=ON;",
)
case(
    "triggers follow the renamed column, UPDATE OF and WHEN too",
    T + LOG + "CREATE TRIGGER u AFTER UPDATE OF x ON t WHEN new.x > old.x BEGIN INSERT INTO log VALUES (new.x); END;",
    op.rename_column("t", "x", "y z"),
    then('UPDATE t SET "y z" = 9 WHERE id = 1', "SELECT m FROM log", "9"),
    hand='ALTER TABLE t RENAME COLUMN x TO "y z"',
    changes=("u",),
)
case(
    "views and triggers follow the renamed table",
    T
    + LOG
    + "CREATE VIEW v AS SELECT t.x FROM t; CREATE TRIGGER u AFTER INSERT ON log BEGIN UPDATE t SET x = x + 1; END;"
    "CREATE INDEX ix ON t(n); CREATE TRIGGER own AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('del'); END;",
    op.rename_table("t", "new name"),
    then("INSERT INTO log VALUES ('go')", "SELECT x FROM v ORDER BY 1", 2, 3),
    then('DELETE FROM "new name" WHERE id=1', "SELECT m FROM log", "go", "del"),
    hand='ALTER TABLE t RENAME TO "new name"',
    changes=("v", "u", "ix", "own"),
)
case(
    "a trigger that was broken already stops no unrelated change",
    T + LOG + "CREATE TRIGGER bad AFTER INSERT ON log BEGIN INSERT INTO nowhere VALUES (1); END;",
    TO_TEXT,
    rejects("INSERT INTO log VALUES ('q')", "nowhere"),
    edit=AS_TEXT,
)
case(
    "a broken trigger on the table itself stops no unrelated change",
    T + "CREATE TRIGGER bad AFTER DELETE ON t BEGIN UPDATE t SET missing = 1; END;",
    NOT_NULL,
    rejects("DELETE FROM t", "missing"),
    edit=AS_NOT_NULL,
)
case(
    "a broken trigger stops no added CHECK",
    T + LOG + "CREATE TRIGGER bad AFTER INSERT ON log BEGIN INSERT INTO nowhere VALUES (1); END;",
    op.create_check("t", "ck", "x > 0"),
    rejects("INSERT INTO t(x) VALUES (0)", "ck"),
    edit=("n TEXT)", "n TEXT, CONSTRAINT ck CHECK (x > 0))"),
)

# Views

case(
    "views on views stay",
    T + "CREATE VIEW v1 AS SELECT id, x + 1 AS y FROM t; CREATE VIEW v2(a) AS SELECT y FROM v1 WHERE y > 2;"
    'CREATE VIEW "v, 3" AS WITH q AS (SELECT a FROM v2) SELECT * FROM q JOIN t ON t.x = q.a - 1;',
    NOT_NULL,
    rows("SELECT a FROM v2", 3),
    rows('SELECT n FROM "v, 3"', "b"),
    edit=AS_NOT_NULL,
)
case(
    "a view that was broken already stops no unrelated change",
    T + "CREATE VIEW bad AS SELECT nope FROM nowhere; CREATE VIEW good AS SELECT n FROM t;",
    op.drop_column("t", "x"),
    rows("SELECT n FROM good ORDER BY 1", "a", "b"),
    rejects("SELECT * FROM bad", "nowhere"),
    edit=(" x INTEGER,", ""),
)
case(
    "a view over a missing column of the table stops no unrelated change",
    T + "CREATE VIEW bad AS SELECT gone FROM t;",
    TO_TEXT,
    rejects("SELECT * FROM bad", "gone"),
    edit=AS_TEXT,
)
case(
    "a broken view stops no rename of a column",
    T + "CREATE VIEW bad AS SELECT nope FROM nowhere; CREATE VIEW good AS SELECT x FROM t;",
    op.rename_column("t", "x", "y"),
    rows("SELECT y FROM good ORDER BY 1", 1, 2),
    hand="DROP VIEW bad; ALTER TABLE t RENAME COLUMN x TO y; CREATE VIEW bad AS SELECT nope FROM nowhere",
    changes=("good",),
)
case(
    "a broken view stops no rename of a table",
    T + "CREATE VIEW bad AS SELECT nope FROM nowhere;",
    op.rename_table("t", "u"),
    rows("SELECT count(*) FROM u", 2),
    hand="DROP VIEW bad; ALTER TABLE t RENAME TO u; CREATE VIEW bad AS SELECT nope FROM nowhere",
)
case(
    "a view is created",
    T,
    op.create_view("v", "SELECT id, upper(n) AS un FROM t WHERE n <> 'it''s'"),
    rows("SELECT un FROM v ORDER BY id", "A", "B"),
    hand="CREATE VIEW v AS SELECT id, upper(n) AS un FROM t WHERE n <> 'it''s'",
)
case(
    "a view is dropped, its table stays",
    T + "CREATE VIEW v AS SELECT x FROM t; CREATE VIEW v2 AS SELECT n FROM t;",
    op.drop_view("v"),
    rows("SELECT count(*) FROM t", 2),
    hand="DROP VIEW v",
    changes=("v",),
)
refused("a view that is a table cannot be dropped as one", T, op.drop_view("t"), "t")
refused(
    "a table that is a view cannot be dropped as one", T + "CREATE VIEW v AS SELECT x FROM t;", op.drop_table("v"), "v"
)
refused("a view whose name is taken", T, op.create_view("t", "SELECT 1"), "t")
refused("a view that does not compile", T, op.create_view("v", "SELECT nope FROM t"), "nope")
refused("a table that a view reads is dropped", T + "CREATE VIEW v AS SELECT x FROM t;", op.drop_table("t"), "t", "v")
refused(
    "a table that another table's trigger writes is dropped",
    T + LOG + "CREATE TRIGGER tr AFTER INSERT ON log BEGIN DELETE FROM t; END;",
    op.drop_table("t"),
    *("t", "tr"),
)

# Full-text search

FTS = (
    T + "CREATE VIRTUAL TABLE f USING fts5(n, content='t', content_rowid='id'); INSERT INTO f(f) VALUES ('rebuild');"
    "CREATE TRIGGER t_ai AFTER INSERT ON t BEGIN INSERT INTO f(rowid, n) VALUES (new.id, new.n); END;"
    "CREATE TRIGGER t_ad AFTER DELETE ON t BEGIN INSERT INTO f(f, rowid, n) VALUES ('delete', old.id, old.n); END;"
)
for name, does, edit in [
    ("a rebuild", TO_TEXT, AS_TEXT),
    ("a dropped column", *DROP_X),
    ("a CHECK", op.create_check("t", "ck", "x > 0"), ("n TEXT)", "n TEXT, CONSTRAINT ck CHECK (x > 0))")),
]:
    case(
        f"an FTS5 index over the table works on after {name}",
        FTS,
        does,
        rows("SELECT rowid FROM f WHERE f MATCH 'b'", 2),
        then("INSERT INTO t(id,n) VALUES (7,'new words')", "SELECT n FROM f WHERE f MATCH 'words'", "new words"),
        then("DELETE FROM t WHERE id=2", "SELECT rowid FROM f WHERE f MATCH 'b'"),
        then("INSERT INTO f(f) VALUES ('integrity-check')", "SELECT 1", 1),
        edit=edit,
    )
refused("a virtual table is no target", FTS, op.alter_column("f", "n", nullable=False), "f", table="f")

# Dropping what is in use

for name, more, words in [
    ("an index", "CREATE INDEX ix ON t(n, x);", ("ix",)),
    ("a partial index", "CREATE INDEX ix ON t(n) WHERE x > 0;", ("ix",)),
    ("an index on an expression", "CREATE INDEX ix ON t(abs(x));", ("ix",)),
    ("a view", "CREATE VIEW vw AS SELECT x FROM t;", ("vw",)),
    ("a view on a view", "CREATE VIEW vw AS SELECT * FROM t; CREATE VIEW vw2 AS SELECT x FROM vw;", ("vw2",)),
    ("a trigger's body", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET n = new.x; END;", ("tr",)),
    ("a trigger's UPDATE OF", "CREATE TRIGGER tr AFTER UPDATE OF x ON t BEGIN SELECT 1; END;", ("tr",)),
    ("a trigger's WHEN", "CREATE TRIGGER tr BEFORE DELETE ON t WHEN old.x > 1 BEGIN SELECT 1; END;", ("tr",)),
    (
        "another table's trigger",
        "CREATE TABLE o(a); CREATE TRIGGER tr AFTER INSERT ON o BEGIN UPDATE t SET x = 1; END;",
        ("tr",),
    ),
    (
        "another table's trigger that inserts",
        "CREATE TABLE o(a); CREATE TRIGGER tr AFTER INSERT ON o BEGIN INSERT INTO t(x) VALUES (new.a); END;",
        ("tr",),
    ),
    ("a temp trigger", "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET x = 1 WHERE 0; END;", ("tr",)),
]:
    refused(f"a column in use by {name}", T + more, op.drop_column("t", "x"), "t", "x", *words)
    kinds = {"i": "INDEX", "v": "VIEW", "t": "TRIGGER"}
    users = ["vw", "vw2"] if words == ("vw2",) else words
    case(
        f"a column in use by {name}, with cascade",
        T + more,
        op.drop_column("t", "x", cascade=True),
        rows("SELECT * FROM t ORDER BY id", (1, "a"), (2, "b")),
        hand="; ".join(f"DROP {kinds[user[0]]} {user}" for user in users),
        edit=(" x INTEGER,", ""),
        changes=tuple(users),
        may_refuse=words != ("ix",),
        same=words != ("vw2",),
    )
for name, using, word in [
    ("a table CHECK", ", CONSTRAINT ck CHECK (x > 0 OR n = 'x')", "ck"),
    ("another column's CHECK", " CONSTRAINT ck CHECK (length(n) > x - 5)", "ck"),
    ("a table UNIQUE", ", CONSTRAINT uq UNIQUE (n, x)", "uq"),
    ("a table foreign key", ", CONSTRAINT fk FOREIGN KEY (x) REFERENCES t(id)", "fk"),
]:
    setup = f"CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT{using});" + TWO
    refused(f"a column in use by {name}", setup, op.drop_column("t", "x"), "t", "x", word)
    case(
        f"a column in use by {name}, with cascade",
        setup,
        op.drop_column("t", "x", cascade=True),
        rows("SELECT * FROM t ORDER BY id", (1, "a"), (2, "b")),
        edit=(" x INTEGER,", "", using, ""),
    )
refused(
    "a column in use by another table's foreign key",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT); CREATE UNIQUE INDEX ux ON t(x);"
    + TWO
    + "CREATE TABLE kid(a INT REFERENCES t(x));",
    op.drop_column("t", "x"),
    *("t", "x", "kid"),
)
case(
    "a column with a CHECK of its own only is dropped",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CONSTRAINT own CHECK (x > 0) DEFAULT 3, n TEXT CHECK (n <> 'x'));"
    + TWO,
    op.drop_column("t", "x"),
    rejects("INSERT INTO t(n) VALUES ('x')", "CHECK"),
    edit=(" x INTEGER CONSTRAINT own CHECK (x > 0) DEFAULT 3,", ""),
)
case(
    "a string, an alias or a longer name like the dropped column is no use of it",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT CHECK (n <> 'x'), xx INT, \"x y\" INT);"
    + TWO
    + "CREATE TABLE o(x INT); CREATE VIEW v AS SELECT n AS x, 'x' AS y FROM t; CREATE INDEX ix ON t(xx) WHERE n <> 'x';"
    "CREATE TRIGGER tr AFTER UPDATE OF x ON o BEGIN UPDATE t SET n = new.x /* x */; END;",
    op.drop_column("t", "x"),
    then("INSERT INTO o VALUES (5)", "SELECT x FROM v ORDER BY 1", "a", "b"),
    edit=(" x INTEGER,", ""),
)
case(
    "an inline UNIQUE and REFERENCES go with their column, with cascade",
    "CREATE TABLE p(id INTEGER PRIMARY KEY);"
    " CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER UNIQUE REFERENCES p, n TEXT UNIQUE);"
    "INSERT INTO t VALUES (1,NULL,'a');",
    op.drop_column("t", "x", cascade=True),
    rejects("INSERT INTO t(n) VALUES ('a')", "UNIQUE"),
    edit=(" x INTEGER UNIQUE REFERENCES p,", ""),
)

# Primary keys

case(
    "the primary key moves to another column",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT NOT NULL, x INTEGER); INSERT INTO t VALUES (5,'b',1),(9,'a',2);"
    "CREATE INDEX ix ON t(x); CREATE TABLE log(m);"
    " CREATE TRIGGER ti AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END;",
    op.change_primary_key("t", ["code"]),
    rejects("INSERT INTO t VALUES (1,'a',1)", "UNIQUE"),
    rows("SELECT * FROM t ORDER BY id", (5, "b", 1), (9, "a", 2)),
    rows("SELECT count(*) FROM log", 0),
    edit=("INTEGER PRIMARY KEY", "INTEGER", "x INTEGER)", "x INTEGER, PRIMARY KEY (code))"),
    same=False,
)
case(
    "a composite primary key where there was none",
    "CREATE TABLE t(a INT NOT NULL, b TEXT NOT NULL, x INTEGER); INSERT INTO t(rowid,a,b) VALUES (7,1,'p'),(3,1,'q');",
    op.change_primary_key("t", ["a", "b"]),
    rejects("INSERT INTO t(a,b) VALUES (1,'p')", "UNIQUE"),
    rows("SELECT name FROM pragma_table_info('t') WHERE pk ORDER BY pk", "a", "b"),
    rows("SELECT rowid FROM t ORDER BY 1", 3, 7),
    edit=("x INTEGER)", "x INTEGER, PRIMARY KEY (a, b))"),
)
case(
    "a named primary key is dropped by name",
    "CREATE TABLE t(a INT, b TEXT UNIQUE, x INTEGER, CONSTRAINT pk PRIMARY KEY (a));"
    " INSERT INTO t(rowid,a,b) VALUES (7,1,'p');",
    op.drop_constraint("t", name="pk"),
    then("INSERT INTO t(a) VALUES (1)", "SELECT count(*) FROM t", 2),
    rejects("INSERT INTO t(b) VALUES ('p')", "UNIQUE"),
    edit=(", CONSTRAINT pk PRIMARY KEY (a)", ""),
    changes=("a",),
)
refused(
    "a primary key over duplicates",
    "CREATE TABLE t(a INT NOT NULL, x INTEGER); INSERT INTO t VALUES (1,1),(1,2),(2,3);",
    op.change_primary_key("t", ["a"]),
    *("t", "a"),
)
refused(
    "a primary key over NULLs",
    "CREATE TABLE t(a INT, x INTEGER); INSERT INTO t VALUES (NULL,1),(NULL,2),(2,3);",
    op.change_primary_key("t", ["a"]),
    *("t", "a", "NULL", "2"),
)
refused(
    "the primary key that children refer to",
    T + KID.format("REFERENCES t"),
    op.change_primary_key("t", ["x"]),
    *("t", "kid"),
)
refused(
    "the primary key of a WITHOUT ROWID table is dropped",
    "CREATE TABLE t(k TEXT PRIMARY KEY, x INT) WITHOUT ROWID;",
    op.drop_constraint("t", kind="primary_key"),
    "t",
)
refused("a primary key on a column that is missing", T, op.change_primary_key("t", ["idd"]), "t", "idd", "id")

# Several changes at once

case(
    "several changes of one table in one pass",
    "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER, n TEXT DEFAULT 'd', z INT,"
    " CONSTRAINT old CHECK (x < 9));"
    "CREATE INDEX iz ON t(n DESC) WHERE n <> ''; INSERT INTO t(id,x,n,z) VALUES (1,1,'a',5),(40,2,'b',6);",
    [
        op.add_column(Column("y", Integer, nullable=False, server_default="0")),
        op.drop_column("z"),
        op.alter_column("x", type_="TEXT", nullable=False),
        op.drop_constraint(name="old"),
        op.create_check("ck", "n <> 'zz'"),
        op.create_unique(None, ["n"]),
    ],
    rejects("INSERT INTO t(n) VALUES ('q')", "NOT NULL"),
    rejects("INSERT INTO t(x,n) VALUES ('1','zz')", "ck"),
    rejects("INSERT INTO t(x,n) VALUES ('1','a')", "UNIQUE"),
    then("INSERT INTO t(x) VALUES ('10')", "SELECT id, x, n, y FROM t WHERE x='10'", (41, "10", "d", 0)),
    edit=(
        *("x INTEGER", "x TEXT NOT NULL", " z INT,", " y INTEGER DEFAULT '0' NOT NULL,"),
        *("CONSTRAINT old CHECK (x < 9)", "CONSTRAINT ck CHECK (n <> 'zz'), UNIQUE (n)"),
    ),
)
case(
    "a column is renamed and used under its new name in one pass",
    T + "CREATE INDEX ix ON t(x); CREATE VIEW v AS SELECT x AS out FROM t;",
    [op.rename_column("x", "y"), op.create_check("ck", "y > 0"), op.alter_column("y", nullable=False)],
    rejects("INSERT INTO t(y) VALUES (0)", "ck"),
    rejects("INSERT INTO t(n) VALUES ('q')", "t.y"),
    rows("SELECT out FROM v ORDER BY 1", 1, 2),
    hand="ALTER TABLE t RENAME COLUMN x TO y",
    edit=("y INTEGER", "y INTEGER NOT NULL", "n TEXT)", "n TEXT, CONSTRAINT ck CHECK (y > 0))"),
    changes=("ix", "v"),
)
refused(
    "one bad change of several undoes all",
    T,
    [op.add_column(Column("y", Integer)), op.alter_column("n", nullable=False), op.create_check("ck", "x > 1")],
    *("t", "ck", "1"),
)
case(
    "alter_column with everything at once",
    T + "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET n = 'got ' || new.x WHERE id = new.id; END;",
    op.alter_column("t", "x", type_=String(9), nullable=False, server_default="dd", new_name="y", collation="NOCASE"),
    then("INSERT INTO t(id) VALUES (3)", "SELECT y, n FROM t WHERE id=3", ("dd", "got dd")),
    rows("SELECT count(*) FROM t WHERE y = 'DD'", 1),
    hand="ALTER TABLE t RENAME COLUMN x TO y",
    edit=("y INTEGER", "y VARCHAR(9) COLLATE NOCASE DEFAULT 'dd' NOT NULL"),
    changes=("tr",),
)

# Schemas, temp tables and settings of the session

AUX = (
    "CREATE TABLE aux.t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT); INSERT INTO aux.t VALUES (1,1,'a'),(2,NULL,'b');"
    "CREATE INDEX aux.ix ON t(n); CREATE TABLE aux.log(m);"
    "CREATE TRIGGER aux.tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.n); END;"
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, other TEXT); INSERT INTO t VALUES (7,7,'main');"
)
case(
    "a table of an attached database, one of the same name in main",
    AUX,
    op.alter_column("aux.t", "x", type_="TEXT"),
    rows("SELECT typeof(x) FROM main.t", "integer"),
    then("INSERT INTO aux.t(x,n) VALUES (5,'q')", "SELECT m FROM aux.log", "q"),
    rows("SELECT typeof(x) FROM aux.t ORDER BY id", "text", "null", "text"),
    edit=AS_TEXT,
    table="aux.t",
)
case(
    "the table of main, one of the same name attached",
    AUX,
    NOT_NULL,
    then("INSERT INTO aux.t(n) VALUES ('q')", "SELECT count(*) FROM aux.t", 3),
    rejects("INSERT INTO main.t(id) VALUES (1)", "NOT NULL"),
    edit=AS_NOT_NULL,
)
case(
    "a column is dropped and a CHECK added in an attached database",
    AUX,
    [op.drop_column("x"), op.create_check("ck", "n <> 'zz'")],
    rejects("INSERT INTO aux.t(n) VALUES ('zz')", "ck"),
    edit=(" x INTEGER,", "", "n TEXT)", "n TEXT, CONSTRAINT ck CHECK (n <> 'zz'))"),
    table="aux.t",
)
case(
    "a rename in an attached database",
    AUX,
    op.rename_table("aux.t", "u"),
    rows("SELECT other FROM t", "main"),
    rows("SELECT count(*) FROM aux.u", 2),
    hand="ALTER TABLE aux.t RENAME TO u",
    table="aux.t",
    changes=("ix", "tr"),
)
refused(
    "NULLs in an attached database",
    AUX,
    op.alter_column("aux.t", "x", nullable=False),
    "aux.t",
    "x",
    "NULL",
    "1",
    table="aux.t",
)
refused("a database that is not attached", T, op.alter_column("nope.t", "x", nullable=False), "nope")
TEMP = (
    "CREATE TEMP TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT); INSERT INTO temp.t VALUES (1,1,'a');"
    "CREATE INDEX temp.ix ON t(n); CREATE TABLE main.t(x INTEGER, keep TEXT); INSERT INTO main.t VALUES (5,'k');"
)
case(
    "a temp table that hides one of main",
    TEMP,
    op.alter_column("temp.t", "x", type_="TEXT"),
    rows("SELECT typeof(x) FROM temp.t", "text"),
    rows("SELECT typeof(x), keep FROM main.t", ("integer", "k")),
    edit=AS_TEXT,
    table="temp.t",
)
case(
    "the table of main behind a temp table",
    TEMP,
    op.create_check("main.t", "ck", "keep <> 'zz'"),
    then("INSERT INTO temp.t(n) VALUES ('zz')", "SELECT count(*) FROM temp.t", 2),
    rejects("INSERT INTO main.t VALUES (1,'zz')", "ck"),
    edit=("keep TEXT)", "keep TEXT, CONSTRAINT ck CHECK (keep <> 'zz'))"),
)
for setting in (
    *("legacy_alter_table=ON", "recursive_triggers=ON", "ignore_check_constraints=ON", "writable_schema=ON"),
    *("reverse_unordered_selects=ON", "query_only=OFF", "foreign_keys=OFF"),
):
    case(
        f"a session with {setting}",
        T + KID.format("REFERENCES t ON DELETE CASCADE") + "CREATE VIEW v AS SELECT n FROM t; CREATE INDEX ix ON t(n);"
        "CREATE TRIGGER tr AFTER DELETE ON t BEGIN DELETE FROM kid WHERE t_id = old.id; END;",
        TO_TEXT,
        KIDS,
        rows("SELECT n FROM v ORDER BY 1", "a", "b"),
        edit=AS_TEXT,
        session=f"PRAGMA {setting};",
        foreign_keys=setting != "foreign_keys=OFF",
    )
case(
    "an autovacuumed database of small pages",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1"
    " FROM c WHERE i < 300) INSERT INTO t SELECT i * 3, i, hex(zeroblob(i)) FROM c; CREATE INDEX ix ON t(n);",
    TO_TEXT,
    rows("SELECT count(*), sum(length(n)) FROM t", (300, 90300)),
    edit=AS_TEXT,
    first="PRAGMA page_size = 1024; PRAGMA auto_vacuum = FULL;",
)
case(
    "a UTF-16 database",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, n TEXT CHECK (n <> 'zß')); INSERT INTO t VALUES (1,1,'größe');",
    TO_TEXT,
    rejects("INSERT INTO t(n) VALUES ('zß')", "CHECK"),
    edit=AS_TEXT,
    first="PRAGMA encoding = 'UTF-16le';",
)

# Bad input

refused(
    "a table that is missing, with a near match",
    T + "CREATE TABLE customers(a);",
    op.drop_column("customer", "a"),
    "customer",
    "customers",
)
refused(
    "a column that is missing, with a near match",
    T + "CREATE TABLE o(price INT, b);",
    op.drop_column("o", "prise"),
    "prise",
    "price",
    table="o",
)
refused("a rename to a name that is taken", T, op.rename_column("t", "x", "N"), "t")
refused("a rename of a table to a name that is taken", T + "CREATE TABLE u(a);", op.rename_table("t", "U"))
refused("a rename of a table to a view's name", T + "CREATE VIEW u AS SELECT 1;", op.rename_table("t", "u"), "u")
refused("a rename of a table to an internal name", T, op.rename_table("t", "sqlite_mine"), "sqlite_mine")
refused("a rename of a column that is missing", T, op.rename_column("t", "nn", "m"), "t", "nn", "n")
refused("a view as the target", T + "CREATE VIEW v AS SELECT x FROM t;", op.alter_column("v", "x", nullable=False), "v")
refused(
    "a view as the target of add_column",
    T + "CREATE VIEW v AS SELECT x FROM t;",
    op.add_column("v", Column("y", Integer)),
    "v",
)
refused(
    "an internal table as the target", AUTO, op.add_column("sqlite_sequence", Column("y", Integer)), "sqlite_sequence"
)
refused("an internal table is dropped", AUTO, op.drop_table("sqlite_sequence"), "sqlite_sequence")
refused("a type that would inject", T, op.alter_column("t", "x", type_="TEXT); DROP TABLE t; --"), "t", "x")
refused("a type that would add a constraint", T, op.alter_column("t", "x", type_="TEXT CHECK (0)"), "t", "x")
refused("a collation that is unknown", T, op.alter_column("t", "n", collation="NOSUCH"), "NOSUCH")
refused("a UNIQUE over a column that is missing", T, op.create_unique("t", "uq", ["x", "xx"]), "t", "xx", "x")
case(
    "a column renamed to a name with quotes and semicolons",
    T,
    op.rename_column("t", "x", 'y"; DROP TABLE t; --'),
    rows('SELECT "y""; DROP TABLE t; --" FROM t ORDER BY id', 1, 2),
    hand='ALTER TABLE t RENAME COLUMN x TO "y""; DROP TABLE t; --"',
)
case(
    "a constraint whose name has quotes and semicolons",
    T,
    op.create_check("t", 'c"k; --', "x > 0"),
    rejects("INSERT INTO t(x) VALUES (0)", 'c"k; --'),
    edit=("n TEXT)", 'n TEXT, CONSTRAINT "c""k; --" CHECK (x > 0))'),
)
case(
    "a column is added whose name has quotes and semicolons",
    T,
    op.add_column("t", Column('it\'s; "q"', Integer, server_default="1")),
    rows('SELECT "it\'s; ""q""" FROM t', 1, 1),
    edit=("n TEXT)", 'n TEXT, "it\'s; ""q""" INTEGER DEFAULT \'1\')'),
)
case(
    "a rename that changes the case only",
    T + "CREATE VIEW v AS SELECT x FROM t; CREATE INDEX ix ON t(x);",
    op.rename_column("t", "x", "X"),
    rows("SELECT name FROM pragma_table_info('t') WHERE name = 'X'", "X"),
    hand="ALTER TABLE t RENAME COLUMN x TO X",
    changes=("v", "ix", "X", "x"),
)
case(
    "a table renamed to another case",
    T + "CREATE VIEW v AS SELECT x FROM t; CREATE INDEX ix ON t(x);",
    op.rename_table("t", "T"),
    rows("SELECT name FROM sqlite_master WHERE type='table'", "T"),
    hand="ALTER TABLE t RENAME TO tmp; ALTER TABLE tmp RENAME TO T",
    changes=("v", "ix"),
)

# What else is easily forgotten

refused(
    "a UNIQUE that children refer to is dropped",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT, CONSTRAINT uq UNIQUE (code)); INSERT INTO t VALUES (1,'a');"
    "CREATE TABLE kid(c TEXT REFERENCES t(code)); INSERT INTO kid VALUES ('a');",
    op.drop_constraint("t", name="uq"),
    *("t", "kid"),
)
refused(
    "a unique index that children refer to is dropped",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT); CREATE UNIQUE INDEX ux ON t(code);"
    " INSERT INTO t VALUES (1,'a');"
    "CREATE TABLE kid(c TEXT REFERENCES t(code)); INSERT INTO kid VALUES ('a');",
    op.drop_index("ux"),
    *("ux", "kid"),
)
refused(
    "an index that a view names is dropped",
    T + "CREATE INDEX ix ON t(n); CREATE VIEW v AS SELECT x FROM t INDEXED BY ix WHERE n > '';",
    op.drop_index("ix"),
    *("ix", "v"),
)
refused(
    "a collation under which children would be orphans",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE); INSERT INTO t VALUES (1,'a'),(2,'b');"
    "CREATE TABLE kid(c TEXT REFERENCES t(code)); INSERT INTO kid VALUES ('A'),('b');",
    op.alter_column("t", "code", collation=None),
    *("t", "kid"),
)
refused("a column that an FTS5 index reads is dropped", FTS, op.drop_column("t", "n"), "t", "n", "t_ai")
refused(
    "a column that only an FTS5 index without triggers reads is dropped",
    T + "CREATE VIRTUAL TABLE f USING fts5(n, content=t, content_rowid=id); INSERT INTO f(f) VALUES ('rebuild');",
    op.drop_column("t", "n"),
    *("t", "n", "f"),
)
refused("the table that an FTS5 index reads is renamed", FTS, op.rename_table("t", "u"), "t", "f")
case(
    "a temp view and a temp trigger follow the renamed column",
    T + LOG + "CREATE TEMP VIEW tv AS SELECT x FROM t;"
    "CREATE TEMP TRIGGER tt AFTER UPDATE OF x ON t BEGIN INSERT INTO log VALUES (new.x); END;",
    op.rename_column("t", "x", "y"),
    then("UPDATE t SET y = 8 WHERE id = 1", "SELECT m FROM log", "8"),
    rows("SELECT y FROM tv ORDER BY 1", 2, 8),
    hand="ALTER TABLE t RENAME COLUMN x TO y",
    changes=("tv", "tt"),
)
case(
    "a rename leaves strings, aliases and other tables' columns of that name",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER CHECK (x <> 'x'), n TEXT DEFAULT 'x', UNIQUE (x, n),"
    " FOREIGN KEY (x)"
    " REFERENCES t(id)); CREATE TABLE o(x INT); INSERT INTO o VALUES (9);"
    + TWO
    + "CREATE VIEW v AS SELECT t.x AS x, o.x AS ox, 'x' AS s FROM t, o; CREATE VIEW w AS SELECT x FROM o;",
    op.rename_column("t", "x", "y"),
    rows("SELECT x, ox, s FROM v ORDER BY 1", (1, 9, "x"), (2, 9, "x")),
    rejects("INSERT INTO t(y) VALUES (77)", "FOREIGN KEY"),
    hand="ALTER TABLE t RENAME COLUMN x TO y",
    changes=("v",),
)
case(
    "an inline UNIQUE with a conflict clause is dropped by its column",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER UNIQUE ON CONFLICT REPLACE NOT NULL ON CONFLICT IGNORE,"
    " n TEXT UNIQUE);" + TWO,
    op.drop_constraint("t", kind="unique", columns=["X"]),
    then("INSERT INTO t(x,n) VALUES (1,'c'),(NULL,'d')", "SELECT count(*) FROM t", 3),
    rejects("INSERT INTO t(x,n) VALUES (1,'a')", "t.n"),
    edit=(" UNIQUE ON CONFLICT REPLACE", ""),
)
case(
    "an inline primary key is dropped by its kind",
    "CREATE TABLE t(k TEXT NOT NULL PRIMARY KEY DESC ON CONFLICT ABORT COLLATE NOCASE, x INTEGER UNIQUE);"
    "INSERT INTO t(rowid,k,x) VALUES (9,'a',1),(4,'b',2);",
    op.drop_constraint("t", kind="primary_key"),
    then("INSERT INTO t(k) VALUES ('a')", "SELECT count(*) FROM t WHERE k = 'A'", 2),
    rejects("INSERT INTO t(k,x) VALUES ('q',1)", "t.x"),
    edit=(" PRIMARY KEY DESC ON CONFLICT ABORT", ""),
    changes=("k",),
)
case(
    "a generated column becomes NOT NULL",
    GEN.format("x INTEGER, v INT AS (x * 2), n TEXT"),
    op.alter_column("t", "v", nullable=False),
    rejects("INSERT INTO t(n) VALUES ('q')", "NOT NULL"),
    then("UPDATE t SET x = 4", "SELECT v FROM t", 8, 8),
    edit=("v INT AS (x * 2)", "v INT AS (x * 2) NOT NULL"),
)
refused(
    "a generated column becomes NOT NULL over NULLs",
    GEN.format("x INTEGER, v INT AS (nullif(x, 2)), n TEXT"),
    op.alter_column("t", "v", nullable=False),
    *("t", "v", "NULL", "1"),
)
case(
    "NOT NULL of the rowid's alias leaves it the alias",
    AUTO,
    op.alter_column("t", "id", nullable=False),
    then("INSERT INTO t(x) VALUES (3)", "SELECT max(id), max(rowid) FROM t", (901, 901)),
    edit=("id INTEGER", "id INTEGER NOT NULL"),
)
refused(
    "a column of a type that STRICT does not know is added",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER) STRICT;",
    op.add_column("t", Column("c", String(20))),
    *("t", "c"),
)
case(
    "a column is added with a CHECK of its own and a collation",
    T,
    op.add_column("t", Column("c", String(5, collation="NOCASE"), CheckConstraint("c <> 'ZZ'"), server_default="a")),
    rejects("UPDATE t SET c = 'zz'", "CHECK"),
    rows("SELECT count(*) FROM t WHERE c = 'A'", 2),
    edit=("n TEXT)", "n TEXT, c VARCHAR(5) COLLATE NOCASE DEFAULT 'a' CHECK (c <> 'ZZ'))"),
)
refused(
    "an added column's default violates its own CHECK",
    T,
    op.add_column("t", Column("c", Integer, CheckConstraint("c > 0"), server_default="0")),
    *("t", "c", "2"),
)
case(
    "a column is added that refers to a table, NOT NULL with a default",
    "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);" + T,
    op.add_column("t", Column("p", Integer, ForeignKey("p.id"), nullable=False, server_default=text("1"))),
    rejects("DELETE FROM p", "FOREIGN KEY"),
    then("INSERT INTO t(x) VALUES (3)", "SELECT p FROM t", 1, 1, 1),
    edit=("n TEXT)", "n TEXT, p INTEGER DEFAULT 1 NOT NULL REFERENCES p(id))"),
)
refused(
    "an added column's default refers to no row",
    "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);" + T,
    op.add_column("t", Column("p", Integer, ForeignKey("p.id"), nullable=False, server_default=text("99"))),
    *("t", "p", "2"),
)
case(
    "a default that is the empty string",
    T,
    op.alter_column("t", "n", server_default=""),
    then("INSERT INTO t(x) VALUES (3)", "SELECT n FROM t WHERE x=3", ""),
    edit=("n TEXT", "n TEXT DEFAULT ''"),
)
case(
    "neighbours whose names are nearly the table's",
    T
    + 'CREATE TABLE tt(x INTEGER, t INT); CREATE TABLE "t 2"(t TEXT);'
    + "CREATE INDEX t_x ON tt(x); CREATE INDEX tx ON t(n);"
    "CREATE TABLE t_new(a); CREATE TABLE new_t(a); CREATE TABLE _t(a); CREATE VIEW t_old AS SELECT t FROM tt;"
    "CREATE TABLE sqlmig_t(a); CREATE TABLE _sqlmig_t(a); CREATE TABLE t__sqlmig(a); CREATE TABLE _sqlmig_new_t(a);"
    'CREATE TRIGGER tr AFTER INSERT ON tt BEGIN DELETE FROM "t 2" WHERE t = new.t; END;',
    TO_TEXT,
    rows("SELECT count(*) FROM t_old", 0),
    edit=AS_TEXT,
)
case(
    "a trigger and an index made with IF NOT EXISTS, qualified",
    T + LOG + "CREATE TRIGGER IF NOT EXISTS main.tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.x); END;"
    'CREATE UNIQUE INDEX IF NOT EXISTS main."i x" ON t(n, x DESC);',
    TO_TEXT,
    then("INSERT INTO t(x) VALUES (3)", "SELECT m FROM log", "3"),
    edit=AS_TEXT,
)
MANY = ", ".join(f"c{number} TEXT DEFAULT {number}" for number in range(200))
case(
    "two hundred columns and values on overflow pages",
    f"CREATE TABLE t(id INTEGER PRIMARY KEY, x INTEGER, b BLOB, {MANY});"
    "INSERT INTO t(x,b) VALUES (1, zeroblob(100000)),(2, randomblob(9000)),(3, NULL);",
    TO_TEXT,
    rows("SELECT length(b), c199 FROM t ORDER BY id", (100000, "199"), (9000, "199"), (None, "199")),
    edit=AS_TEXT,
    same=False,
)
case(
    "a database in WAL mode, with user_version and application_id",
    T + "CREATE INDEX ix ON t(n);",
    op.drop_column("t", "x"),
    rows("PRAGMA user_version", 7),
    rows("PRAGMA application_id", 42),
    rows("PRAGMA journal_mode", "wal"),
    edit=(" x INTEGER,", ""),
    first="PRAGMA journal_mode = WAL; PRAGMA user_version = 7; PRAGMA application_id = 42;",
)
case(
    "children and counters in an attached database",
    "CREATE TABLE aux.t(id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER); INSERT INTO aux.t VALUES (1,1),(80,2);"
    "DELETE FROM aux.t WHERE id = 80; CREATE TABLE aux.kid(t_id INT REFERENCES t ON DELETE CASCADE);"
    "INSERT INTO aux.kid VALUES (1),(1); CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT);"
    " INSERT INTO t VALUES (5);",
    op.alter_column("aux.t", "x", type_="TEXT", nullable=False),
    then("INSERT INTO aux.t(x) VALUES ('q')", "SELECT max(id) FROM aux.t", 81),
    rows("SELECT count(*) FROM aux.kid", 2),
    then("DELETE FROM aux.t WHERE id = 1", "SELECT count(*) FROM aux.kid", 0),
    edit=("x INTEGER", "x TEXT NOT NULL"),
    table="aux.t",
)
case(
    "a temp trigger on a table of an attached database",
    "CREATE TABLE aux.t(id INTEGER PRIMARY KEY, x INTEGER); INSERT INTO aux.t VALUES (1,1); CREATE TABLE log(m TEXT);"
    "CREATE TEMP TRIGGER tt AFTER INSERT ON aux.t BEGIN INSERT INTO log VALUES (new.x); END;",
    op.alter_column("aux.t", "x", type_="TEXT"),
    rows("SELECT count(*) FROM log", 0),
    then("INSERT INTO aux.t(x) VALUES (5)", "SELECT m FROM log", "5"),
    edit=AS_TEXT,
    table="aux.t",
)
case(
    "a table is dropped with its indexes and triggers, and no other",
    T
    + "CREATE TABLE o(a INT); CREATE INDEX ix ON t(x);"
    + "CREATE INDEX io ON o(a); CREATE TRIGGER tr AFTER INSERT ON t BEGIN"
    " DELETE FROM o; END; CREATE TRIGGER po AFTER INSERT ON o BEGIN SELECT 't'; END; INSERT INTO o VALUES (1);",
    op.drop_table("t"),
    rows("SELECT a FROM o", 1),
    hand="DROP TABLE t",
    changes=("ix", "tr"),
)
case(
    "a table is dropped, and its triggers on DELETE do not fire",
    T + LOG + "CREATE TRIGGER td AFTER DELETE ON t BEGIN INSERT INTO log VALUES (old.n); END;",
    op.drop_table("t"),
    rows("SELECT * FROM log"),
    hand="DROP TABLE t",
    changes=("td",),
)
case(
    "a foreign key is dropped while children wait for the end of the transaction",
    "CREATE TABLE p(id INTEGER PRIMARY KEY);"
    " CREATE TABLE t(id INTEGER PRIMARY KEY, p INT, x INTEGER, CONSTRAINT fk FOREIGN KEY"
    " (p) REFERENCES p DEFERRABLE INITIALLY DEFERRED, CONSTRAINT fk2 FOREIGN KEY (x) REFERENCES p);",
    op.drop_constraint("t", name="fk"),
    then("INSERT INTO t(p) VALUES (5)", "SELECT p FROM t", 5),
    rejects("INSERT INTO t(x) VALUES (5)", "FOREIGN KEY"),
    edit=(", CONSTRAINT fk FOREIGN KEY (p) REFERENCES p DEFERRABLE INITIALLY DEFERRED", ""),
)
case(
    "a column under a view of all columns, and under count(*)",
    T
    + "CREATE VIEW v AS SELECT count(*) AS c FROM t;"
    + "CREATE VIEW w AS SELECT id, n FROM t WHERE EXISTS (SELECT 1 FROM t);",
    op.drop_column("t", "x"),
    rows("SELECT c FROM v", 2),
    rows("SELECT n FROM w ORDER BY 1", "a", "b"),
    edit=(" x INTEGER,", ""),
)
refused(
    "a STRICT table's value under another type",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT) STRICT; INSERT INTO t(x) VALUES ('5'),('five');",
    op.alter_column("t", "x", type_="INTEGER"),
    "t",
    "x",
    "1",
)
