"""Strategies for the graphs that Alembic histories are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from alembic_projects import Project, Rev, dated, env
from hypothesis import strategies as st

__all__ = ["History", "extended", "histories"]

Draw: TypeAlias = "Callable[[st.SearchStrategy[Any]], Any]"

_COLLIDING = ("abcd", "abcd1", "abcd12", "abcd123", "abce", "abcdef", "a", "ab", "ABCD", "abcd_1", "abcd1x", "abcde")
_WORDS = ("init", "users", "add_users", "Zoë", "a b", "x.y", "first", "heads2", "basement", "%s", "日本")
_IDS: tuple[tuple[str, ...], ...] = (
    ("3", "1", "2", "10", "0", "11", "04", "5", "100", "7", "12345678", "20"),
    ("0001", "0002", "0003", "0010", "0011", "0004", "00012", "0100", "1000", "0006", "0007", "0008"),
    ("ae1027a6acf", "1975ea83b712", "27c6a30d7c24", "3e0a1b2c4d5f", "4f1b", "ffffffffffff", "000000000000", "0e10"),
    ("2f1c9e1e_7a1b_4c7e", "6ba7b810_9dad", "6ba7b811_9dad", "6ba7b812_9dad", "7d444840", "c9bf9e57", "e902893a"),
    _COLLIDING,
    _WORDS,
)
_LABELS = ("left", "right", "billing", "core", "UI", "lbl_1")


@dataclass(frozen=True)
class History:
    """
    A graph of revisions, parents first, with the ways in which a project can keep them.

    Attributes:
        locations: Version folders.
        recursive: Files lie in folders below those.
        table, schema: Alembic's options of these names.
        dates: Whether the files tell when they were written, and whether parents always are the older ones.
    """

    revisions: tuple[Rev, ...]
    locations: tuple[str, ...] = ("versions",)
    recursive: bool = False
    table: str | None = None
    schema: str | None = None
    dates: Literal["none", "sorted", "mixed"] = "sorted"

    def project(self, root: Path) -> Project:
        options = {"recursive_version_locations": "true"} if self.recursive else {}
        said = [f"version_table={self.table!r}"] if self.table else []
        said += [f"version_table_schema={self.schema!r}"] if self.schema else []
        project = Project(root, env(", ".join(said)), ini=options, locations=self.locations)
        count = len(self.revisions)
        if self.dates == "none":
            project.date = lambda number: None
        elif self.dates == "mixed":
            project.date = lambda number: dated(number * 7 % count if number < count else number)
        return project.add(*self.revisions)

    @property
    def heads_table(self) -> str:
        return self.table or "alembic_version"


@st.composite
def histories(draw: Draw, *, least: int = 1, most: int = 9, plain: bool = False) -> History:
    """
    A history that Alembic takes.

    Args:
        plain: One straight line.
    """
    names = _names(draw, draw(st.integers(least, most)))
    locations = draw(st.sampled_from([("versions",), ("versions",), ("versions", "more/versions"), ("a", "b", "c")]))
    recursive = draw(st.sampled_from([False, False, True]))
    labels = list(draw(st.permutations(_LABELS)))
    made: list[Rev] = []
    for number, name in enumerate(names):
        made.append(_revision(draw, name, number, made, labels, len(locations), recursive, plain))
    return History(
        tuple(made),
        locations,
        recursive,
        draw(st.sampled_from([None, None, None, "my_versions", "Alembic Version"])),
        draw(st.sampled_from([None, None, None, "main"])),
        draw(st.sampled_from(["sorted", "mixed", "none"])),
    )


def _names(draw: Draw, count: int) -> list[str]:
    if draw(st.integers(0, 3)) == 0:
        pool = sorted({one for some in _IDS for one in some})
    else:
        pool = list(draw(st.sampled_from(_IDS)))
    return list(draw(st.permutations(pool)))[:count]


def _revision(
    draw: Draw, name: str, number: int, made: list[Rev], labels: list[str], folders: int, recursive: bool, plain: bool
) -> Rev:
    down, depends = ((made[-1].name,) if made else (), ()) if plain else _needs(draw, made)
    own = (labels.pop(),) if labels and draw(st.integers(0, 4)) == 0 else ()
    file = draw(
        st.sampled_from(
            [
                f"{name}_make",
                f"make_{number}-{name}",
                f"2024_01_{number:02}_1200-{name}_make it",
                f"{chr(122 - number)}",
                f"{100 - number}",
                f"v1.{number}_{name}",
                f"{1700000000 + number}",
            ]
        )
    )
    if recursive and draw(st.booleans()):
        file = f"2024/{number % 2 + 1:02}/{file}"
    return Rev(name, down, depends, own, folder=draw(st.integers(0, folders - 1)), file=file.replace("%", "_"))


def _needs(draw: Draw, made: list[Rev]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a new revision goes on from, and what it needs besides."""
    if not made or draw(st.integers(0, 5)) == 0:
        down: tuple[str, ...] = ()
    else:
        wanted = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3]))
        down = ()
        for one in draw(st.permutations([one.name for one in made[-5:]])):
            # Alembic merges revisions of which none is below another.
            if len(down) < wanted and not any(one in above(made, [d]) or d in above(made, [one]) for d in down):
                down = (*down, one)
    depends: tuple[str, ...] = ()
    others = [one for one in made if one.name not in above(made, list(down))]
    if others and draw(st.integers(0, 3)) == 0:
        one = draw(st.sampled_from(others))
        depends = (draw(st.sampled_from([one.name, *one.labels])),)
    return down, depends


def above(made: list[Rev] | tuple[Rev, ...], names: list[str]) -> set[str]:
    """The revisions with their ancestors."""
    known = {one.name: one for one in made} | {label: one for one in made for label in one.labels}
    found: set[str] = set()
    todo = list(names)
    while todo:
        one = known[todo.pop()]
        if one.name not in found:
            found.add(one.name)
            todo += [*one.down, *one.depends]
    return found


@st.composite
def extended(draw: Draw, history: History) -> list[Rev]:
    """Revisions that are added at the ends of a history."""
    made = list(history.revisions)
    added: list[Rev] = []
    for number in range(draw(st.integers(1, 3))):
        taken = {name for one in made for name in one.down}
        heads = [one.name for one in made if one.name not in taken]
        count = draw(st.integers(1, min(2, len(heads))))
        down = tuple(draw(st.permutations(heads)))[:count]
        if any(one in above(made, [other]) for one in down for other in down if one != other):
            down = down[:1]
        one = Rev(f"zz{number}", down, file=draw(st.sampled_from([f"zz{number}", f"00{number}_new", f"M{number}"])))
        made.append(one)
        added.append(one)
    return added
