"""What a migration did to the data that was there, in one part or in several, and what names mean there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..results import Loss
from ..schema.sqlite.definition import folded

__all__ = ["ANYTHING", "Account", "called_now", "covers"]

ANYTHING = "*"
"""What `removes` says where a migration may remove whatever it does."""


class Account(NamedTuple):
    """
    What a migration did to the data that was there.

    Attributes:
        losses: What is gone, with leave.
        created: The tables and columns that it made, by which its rollback is measured.
        renamed: The tables and columns that it renamed, by their names before.
        warnings: In words.
    """

    losses: tuple[Loss, ...] = ()
    created: tuple[str, ...] = ()
    renamed: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Account:
        """An account that was written down by `facts`."""
        losses = tuple(Loss(**loss) for loss in facts.get("losses", ()))
        return cls(losses, tuple(facts.get("created", ())), facts.get("renamed", {}), tuple(facts.get("warnings", ())))

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it; nothing where there is nothing to tell."""
        found = {
            "losses": [dict(loss) for loss in self.losses],
            "created": list(self.created),
            "renamed": dict(self.renamed),
            "warnings": list(self.warnings),
        }
        return {name: value for name, value in found.items() if value}

    def and_then(self, later: Account, dropped: Sequence[str] = ()) -> Account:
        """
        Both, one after the other; what went batch by batch is added up, and known by the name that it has now.

        Args:
            dropped: What is there no more of what *later* began with: another may get its name.
        """
        created = [name for name in self.created if not any(covers(gone, name) for gone in dropped)]
        losses: dict[tuple[str, str], Loss] = {}
        for loss in (*self.losses, *later.losses):
            before = losses.get((loss.kind, loss.name))
            more = before.count if before is not None else 0
            losses[loss.kind, loss.name] = Loss(**{**loss, "count": loss.count + more})
        return Account(
            tuple(losses.values()),
            tuple(dict.fromkeys((*(called_now(name, later.renamed) for name in created), *later.created))),
            self._renamed_by_both(later),
            tuple(dict.fromkeys((*self.warnings, *later.warnings))),
        )

    def _renamed_by_both(self, later: Account) -> dict[str, str]:
        """From the first name to the last; what the first has made had no name before."""
        found = {before: called_now(now, later.renamed) for before, now in self.renamed.items()}
        back = {now: before for before, now in self.renamed.items()}
        for middle, now in later.renamed.items():
            if middle not in back and not any(covers(made, middle) for made in self.created):
                found[called_now(middle, back)] = now
        return {before: now for before, now in found.items() if before != now}

    def row(self) -> dict[str, Any]:
        """As it stands with the version."""
        return {"created": list(self.created)} | ({"renamed": dict(self.renamed)} if self.renamed else {})

    def metadata(self) -> dict[str, Any]:
        """As it stands in the history."""
        listed = [{"kind": loss.kind, "name": loss.name, "count": loss.count} for loss in self.losses]
        return {key: value for key, value in (("losses", listed), ("warnings", list(self.warnings))) if value}


def called_now(name: str, renamed: Mapping[str, str]) -> str:
    """What a table or a column is called after some were renamed: a column by itself, else with its table."""
    by_key = {folded(old): new for old, new in renamed.items()}
    if folded(name) in by_key:
        return by_key[folded(name)]
    table, _, column = name.rpartition(".")
    return f"{by_key[folded(table)]}.{column}" if folded(table) in by_key else name


def covers(said: str, name: str) -> bool:
    """Whether "documents" or "documents.abstract" covers a table or a column."""
    said, name = (folded(text).removeprefix("main.") for text in (said, name))
    return said in (ANYTHING, name) or name.startswith(f"{said}.")
