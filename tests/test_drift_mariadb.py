"""What MariaDB's catalogue tells: each thing that differs is found, in these words, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drift_support import Maker, differs, made_on, only

BASE = """
CREATE TABLE parents (id integer AUTO_INCREMENT PRIMARY KEY, code varchar(10), a integer, b integer, UNIQUE (a, b));
CREATE TABLE books (
    id bigint UNSIGNED AUTO_INCREMENT PRIMARY KEY, parent integer, reader integer,
    title varchar(50) NOT NULL DEFAULT 'none', price decimal(10,2) DEFAULT 0, mood enum('sad','ok'), data json,
    twice decimal(10,2) AS (price * 2) STORED, note text COMMENT 'by hand', seen timestamp NULL,
    CONSTRAINT fk_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE,
    FOREIGN KEY (reader) REFERENCES parents (id),
    CONSTRAINT uq_title UNIQUE (title), CONSTRAINT ck_price CHECK (price >= 0)) COMMENT 'all of them';
CREATE INDEX ix_note ON books (note(20), price);
CREATE VIEW cheap AS SELECT id FROM books WHERE price < 5;
CREATE TRIGGER touched BEFORE UPDATE ON books FOR EACH ROW SET NEW.note = 'touched';
CREATE FUNCTION doubled (n integer) RETURNS integer DETERMINISTIC RETURN n * 2;
CREATE PROCEDURE clean (IN n integer) DELETE FROM books WHERE price < n;
CREATE SEQUENCE numbers START WITH 5;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM books WHERE price < 0
"""

CASES: dict[str, tuple[list[str], list[str]]] = {
    "a table": (["CREATE TABLE t (id integer, name text)"], [only("table t (id, name)", "database")]),
    "a column": (
        ["ALTER TABLE books ADD pages integer NOT NULL DEFAULT 1"],
        [only("column books.pages int(11) NOT NULL DEFAULT 1", "database")],
    ),
    "a type": (
        ["ALTER TABLE books MODIFY note varchar(99) COMMENT 'by hand'"],
        [differs("column books.note", "type text", "type varchar(99)")],
    ),
    "unsigned": (
        ["ALTER TABLE parents MODIFY b integer UNSIGNED"],
        [differs("column parents.b", "type int(11)", "type int(10) unsigned")],
    ),
    "a label of an enum": (
        ["ALTER TABLE books MODIFY mood enum('sad','glad','ok')"],
        [differs("column books.mood", "type enum('sad','ok')", "type enum('sad','glad','ok')")],
    ),
    "no JSON": (
        ["ALTER TABLE books MODIFY data longtext"],
        [differs("column books.data", "type json", "type longtext")],
    ),
    "another text that holds JSON": (
        ["ALTER TABLE books MODIFY data text CHECK (json_valid(data))"],
        [differs("column books.data", "type json", "type text CHECK (json_valid)")],
    ),
    "nullable": (
        ["ALTER TABLE books MODIFY title varchar(50) DEFAULT 'none'"],
        [differs("column books.title", "NOT NULL", "takes NULL")],
    ),
    "a default": (
        ["ALTER TABLE books ALTER title SET DEFAULT 'some'"],
        [differs("column books.title", "DEFAULT 'none'", "DEFAULT 'some'")],
    ),
    "no default": (
        ["ALTER TABLE books ALTER price SET DEFAULT NULL"],
        [differs("column books.price", "DEFAULT 0.00", "no default")],
    ),
    "a computed default": (
        ["ALTER TABLE parents ALTER a SET DEFAULT (b + 1)"],
        [differs("column parents.a", "no default", "DEFAULT (`b` + 1)")],
    ),
    "a collation": (
        ["ALTER TABLE books MODIFY title varchar(50) COLLATE latin1_bin NOT NULL DEFAULT 'none'"],
        [differs("column books.title", "no collation", "COLLATE latin1_bin")],
    ),
    "not counted": (
        ["ALTER TABLE parents MODIFY id integer"],
        [differs("column parents.id", "AUTO_INCREMENT", "no identity")],
    ),
    "what is generated": (
        ["ALTER TABLE books MODIFY twice decimal(10,2) AS (price * 3) STORED"],
        [differs("column books.twice", "AS (`price` * 2) STORED", "AS (`price` * 3) STORED")],
    ),
    "how it is generated": (
        ["ALTER TABLE books DROP twice", "ALTER TABLE books ADD twice decimal(10,2) AS (price * 2) VIRTUAL"],
        [differs("column books.twice", "AS (`price` * 2) STORED", "AS (`price` * 2) VIRTUAL")],
    ),
    "set by each update": (
        ["ALTER TABLE books MODIFY seen timestamp NULL ON UPDATE current_timestamp"],
        [differs("column books.seen", "plain", "on update current_timestamp()")],
    ),
    "invisible": (
        ["ALTER TABLE books MODIFY seen timestamp NULL INVISIBLE"],
        [differs("column books.seen", "plain", "INVISIBLE")],
    ),
    "a comment on a column": (
        ["ALTER TABLE books MODIFY note text COMMENT 'typed'"],
        [differs("column books.note", "comment 'by hand'", "comment 'typed'")],
    ),
    "a comment on a table": (
        ["ALTER TABLE books COMMENT ''"],
        [differs("table books", "comment 'all of them'", "no comment")],
    ),
    "a primary key": (
        [
            "ALTER TABLE books MODIFY id bigint UNSIGNED NOT NULL",
            "ALTER TABLE books DROP PRIMARY KEY, ADD PRIMARY KEY (id, price)",
        ],
        [
            differs("column books.id", "AUTO_INCREMENT", "no identity"),
            differs("column books.price", "takes NULL", "NOT NULL"),
            differs("books", "primary key: PRIMARY KEY (id)", "PRIMARY KEY (id, price)"),
        ],
    ),
    "a unique constraint": (
        ["ALTER TABLE books ADD CONSTRAINT uq_price UNIQUE (price)"],
        [only("books: unique uq_price UNIQUE (price)", "database")],
    ),
    "another unique constraint": (
        ["ALTER TABLE books DROP INDEX uq_title", "ALTER TABLE books ADD CONSTRAINT uq_title UNIQUE (title, price)"],
        [differs("books", "unique uq_title: UNIQUE (title)", "UNIQUE (title, price)")],
    ),
    "a name of a constraint": (
        ["ALTER TABLE books RENAME INDEX uq_title TO uq_books_title"],
        [differs("books", "unique uq_title: named uq_title", "named uq_books_title")],
    ),
    "a name where the server had given one": (
        ["ALTER TABLE parents RENAME INDEX a TO uq_parents"],
        [differs("parents", "unique: without a name of its own", "named uq_parents")],
    ),
    "what a deletion does": (
        [
            "ALTER TABLE books DROP FOREIGN KEY fk_parent",
            "ALTER TABLE books ADD CONSTRAINT fk_parent FOREIGN KEY (parent) REFERENCES parents (id)"
            " ON DELETE SET NULL",
        ],
        [
            differs(
                "books",
                "foreign key fk_parent: FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE",
                "FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE SET NULL",
            )
        ],
    ),
    "what an update does": (
        [
            "ALTER TABLE books DROP FOREIGN KEY books_ibfk_1",
            "ALTER TABLE books ADD FOREIGN KEY (reader) REFERENCES parents (id) ON UPDATE CASCADE",
        ],
        [
            differs(
                "books",
                "foreign key: FOREIGN KEY (reader) REFERENCES parents (id)",
                "FOREIGN KEY (reader) REFERENCES parents (id) ON UPDATE CASCADE",
            )
        ],
    ),
    "a name of a foreign key": (
        [
            "ALTER TABLE books DROP FOREIGN KEY fk_parent",
            "ALTER TABLE books ADD CONSTRAINT fk_books FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE",
        ],
        [differs("books", "foreign key fk_parent: named fk_parent", "named fk_books")],
    ),
    "no foreign key, but its index": (
        ["ALTER TABLE books DROP FOREIGN KEY fk_parent"],
        [
            only(
                "books: foreign key fk_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE", "models"
            ),
            only("index fk_parent on books (parent)", "database"),
        ],
    ),
    "no foreign key": (
        ["ALTER TABLE books DROP FOREIGN KEY fk_parent, DROP INDEX fk_parent"],
        [only("books: foreign key fk_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE", "models")],
    ),
    "another check": (
        ["ALTER TABLE books DROP CONSTRAINT ck_price", "ALTER TABLE books ADD CONSTRAINT ck_price CHECK (price > 0)"],
        [differs("books", "check ck_price: CHECK (`price` >= 0)", "CHECK (`price` > 0)")],
    ),
    "a check": (
        ["ALTER TABLE books ADD CHECK (length(title) > 1)"],
        [only("books: check CHECK (octet_length(`title`) > 1)", "database")],
    ),
    "a check of a column": (
        ["ALTER TABLE parents MODIFY b integer CHECK (b > 0)"],
        [only("parents: check CHECK (`b` > 0)", "database")],
    ),
    "no index": (["DROP INDEX ix_note ON books"], [only("index ix_note on books (note(20), price)", "models")]),
    "an index": (
        ["CREATE FULLTEXT INDEX ft_note ON books (note)"],
        [only("index ft_note on books (note) FULLTEXT", "database")],
    ),
    "an index where there was one for a foreign key": (
        ["CREATE INDEX ix_reader ON books (reader)"],
        [only("index ix_reader on books (reader)", "database")],
    ),
    "a name of an index": (
        ["ALTER TABLE books RENAME INDEX ix_note TO ix_books_note"],
        [differs("index ix_note on books", "named ix_note", "named ix_books_note")],
    ),
    "a length in an index": (
        ["DROP INDEX ix_note ON books", "CREATE INDEX ix_note ON books (note(30), price)"],
        [differs("index ix_note on books", "(note(20), price)", "(note(30), price)")],
    ),
    "an order in an index": (
        ["DROP INDEX ix_note ON books", "CREATE INDEX ix_note ON books (note(20), price DESC)"],
        [differs("index ix_note on books", "(note(20), price)", "(note(20), price DESC)")],
    ),
    "an index that is passed over": (
        ["ALTER TABLE books ALTER INDEX ix_note IGNORED"],
        [differs("index ix_note on books", "(note(20), price)", "(note(20), price) IGNORED")],
    ),
    "a format of rows": (
        ["ALTER TABLE parents ROW_FORMAT=COMPRESSED"],
        [differs("table parents", "a plain table", "row_format=COMPRESSED")],
    ),
    "a collation of a table": (
        ["ALTER TABLE parents DEFAULT COLLATE latin1_bin"],
        [
            differs("column parents.code", "no collation", "COLLATE utf8mb4_general_ci"),
            differs("table parents", "a plain table", "COLLATE latin1_bin"),
        ],
    ),
    "versioned": (
        ["ALTER TABLE parents ADD SYSTEM VERSIONING"],
        [differs("table parents", "a plain table", "WITH SYSTEM VERSIONING")],
    ),
    "a view": (
        ["CREATE OR REPLACE VIEW cheap AS SELECT id FROM books WHERE price < 6"],
        [
            differs(
                "view cheap",
                "select `books`.`id` AS `id` from `books` where `books`.`price` < 5",
                "select `books`.`id` AS `id` from `books` where `books`.`price` < 6",
            )
        ],
    ),
    "no view": (["DROP VIEW cheap"], [only("view cheap", "models")]),
    "a trigger": (
        ["CREATE OR REPLACE TRIGGER touched AFTER UPDATE ON books FOR EACH ROW SET @a = 1"],
        [
            differs(
                "trigger touched on books",
                "BEFORE UPDATE ON books FOR EACH ROW SET NEW.note = 'touched'",
                "AFTER UPDATE ON books FOR EACH ROW SET @a = 1",
            )
        ],
    ),
    "no trigger": (["DROP TRIGGER touched"], [only("trigger touched on books", "models")]),
    "a function": (
        ["CREATE OR REPLACE FUNCTION doubled (n integer) RETURNS integer DETERMINISTIC RETURN n * 3"],
        [
            differs(
                "function doubled",
                "(n int(11)) RETURNS int(11) DETERMINISTIC RETURN n * 2",
                "(n int(11)) RETURNS int(11) DETERMINISTIC RETURN n * 3",
            )
        ],
    ),
    "a procedure": (
        ["CREATE OR REPLACE PROCEDURE clean (IN n bigint) DELETE FROM books WHERE price < n"],
        [
            differs(
                "procedure clean",
                "(n int(11)) DELETE FROM books WHERE price < n",
                "(n bigint(20)) DELETE FROM books WHERE price < n",
            )
        ],
    ),
    "a sequence": (
        ["ALTER SEQUENCE numbers INCREMENT 2"],
        [differs("sequence numbers", "SEQUENCE START 5", "SEQUENCE START 5 INCREMENT 2")],
    ),
    "no sequence": (["DROP SEQUENCE numbers"], [only("sequence numbers", "models")]),
    "an event": (
        ["ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY"],
        [
            differs(
                "event nightly",
                "ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLED DO DELETE FROM books WHERE price < 0",
                "ON SCHEDULE EVERY 2 DAY ON COMPLETION NOT PRESERVE ENABLED DO DELETE FROM books WHERE price < 0",
            )
        ],
    ),
}


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with made_on("mariadb") as found:
        yield found


@pytest.mark.parametrize("case", CASES)
def test_each_thing_that_is_changed_is_told(case: str, maker: Maker) -> None:
    change, expected = CASES[case]
    assert maker.told((BASE,), (BASE, *change)) == expected


def test_the_same_schema_made_twice_is_the_same(maker: Maker) -> None:
    assert maker.told((BASE,), (BASE,)) == []


def test_engines_and_partitions_are_told(maker: Maker) -> None:
    plain = "CREATE TABLE t (id integer)"
    assert maker.told((plain,), (f"{plain} ENGINE=Aria",)) == [
        differs("table t", "a plain table", "ENGINE=Aria, transactional=1")
    ]
    halves = (
        f"{plain} PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (5), PARTITION b VALUES LESS THAN MAXVALUE)"
    )
    assert maker.told((plain,), (halves,)) == [
        differs("table t", "a plain table", "PARTITION BY RANGE (`id`): a VALUES 5, b VALUES MAXVALUE")
    ]


def test_names_that_the_server_has_made_of_former_names_are_no_difference(maker: Maker) -> None:
    fresh = """
    CREATE TABLE parents (id integer AUTO_INCREMENT PRIMARY KEY);
    CREATE TABLE t (id integer AUTO_INCREMENT PRIMARY KEY, a integer UNIQUE CHECK (a > 0), p integer, q integer,
        FOREIGN KEY (p) REFERENCES parents (id), CONSTRAINT fk_q FOREIGN KEY (q) REFERENCES parents (id), CHECK (a < 9))
    """
    renamed = """
    CREATE TABLE old_parents (number integer AUTO_INCREMENT PRIMARY KEY);
    CREATE TABLE old (number integer AUTO_INCREMENT PRIMARY KEY, b integer UNIQUE CHECK (b > 0), r integer, s integer,
        FOREIGN KEY (r) REFERENCES old_parents (number),
        CONSTRAINT fk_s FOREIGN KEY (s) REFERENCES old_parents (number), CHECK (b < 8));
    ALTER TABLE old DROP CONSTRAINT CONSTRAINT_1;
    RENAME TABLE old TO t;
    ALTER TABLE t RENAME COLUMN number TO id, RENAME COLUMN b TO a, RENAME COLUMN r TO p, RENAME COLUMN s TO q;
    ALTER TABLE old_parents RENAME COLUMN number TO id;
    RENAME TABLE old_parents TO parents;
    ALTER TABLE t ADD CHECK (a < 7);
    ALTER TABLE t ADD CHECK (a < 9);
    ALTER TABLE t DROP CONSTRAINT CONSTRAINT_1;
    ALTER TABLE t DROP FOREIGN KEY fk_s;
    ALTER TABLE t ADD CONSTRAINT fk_q FOREIGN KEY (q) REFERENCES parents (id)
    """
    assert maker.told((fresh,), (renamed,)) == []


def test_what_the_database_says_already_is_not_told_of_a_table(maker: Maker) -> None:
    fresh = "CREATE TABLE t (a varchar(9), b enum('x') NOT NULL) COMMENT ''"
    [collation] = maker.connection.exec_driver_sql("SELECT @@collation_database").one()
    charset = collation.partition("_")[0]
    said = f"CREATE TABLE t (a varchar(9) CHARACTER SET {charset} COLLATE {collation}, B enum('x') NOT NULL)"
    said += f" ENGINE=InnoDB DEFAULT CHARSET {charset} COLLATE {collation}"
    assert maker.told((fresh,), (said,)) == []
