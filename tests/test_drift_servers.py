"""
Models and migrations that come to the same on a server agree, by whatever way the migrations come there; and one thing
that is another is found, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from drift_models import Tab, changed, metadata_of, tables
from drift_support import Maker, made_on
from effort import EFFORT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlmig.drift.compare import compare

SERVERS = ("postgresql", "mariadb")
EXAMPLES = 6 * EFFORT
_SLOWLY = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.fixture(scope="module")
def makers() -> Iterator[dict[str, Maker]]:
    with ExitStack() as stack:
        yield Makers(stack)


class Makers(dict[str, Maker]):
    """Where there is a server, made when it is asked for."""

    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, server: str) -> Maker:
        self[server] = self._stack.enter_context(made_on(server))
        return self[server]


@pytest.mark.parametrize("server", SERVERS)
@given(data=st.data())
@settings(_SLOWLY, max_examples=EXAMPLES)
def test_what_a_migration_comes_to_by_detours_is_the_same(
    server: str, makers: dict[str, Maker], data: st.DataObject
) -> None:
    listed = data.draw(tables(server))
    maker = makers[server]
    assert maker.told((metadata_of(server, listed),), (lambda connection: travelled(connection, listed),)) == []


@pytest.mark.parametrize("server", SERVERS)
@given(data=st.data())
@settings(_SLOWLY, max_examples=EXAMPLES)
def test_one_thing_that_is_changed_in_the_models_is_found_alone(
    server: str, makers: dict[str, Maker], data: st.DataObject
) -> None:
    listed = data.draw(tables(server))
    change = data.draw(changed(server, listed))
    before, after = (makers[server].shape(metadata_of(server, one)) for one in (listed, change.tables))
    [found] = compare(before, after)
    assert (found.kind, found.table, found.facets) == (change.kind, change.table, change.facets)
    assert change.name in (None, found.name)
    [told_of] = compare(after, before)
    assert (told_of.left, told_of.right, told_of.facets) == (found.right, found.left, found.facets)


def travelled(connection: Any, listed: tuple[Tab, ...]) -> None:
    from drift_models import travel

    from sqlmig.schema.operations import Operations

    class Migration(Operations):
        def execute_sql(self, sql: str) -> None:
            self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    travel(Migration(connection), listed)
