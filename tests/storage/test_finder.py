"""Scans that walk far more than they find, and counts: window by window, and always forward."""

from typing import Any

import pymongo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from service.domain.filters import ContactFilter, Selection
from service.storage import finder, transcode
from service.storage.finder import Finder
from service.storage.gate import Gate
from service.storage.replies import starts_of
from service.storage.scan import scan
from service.storage.store import Store
from tests.commands import Commands
from tests.crowd import PEOPLE, crowd
from tests.crowd import filters as filters_as_sent
from tests.people import fill
from tests.storage.conftest import Stored
from tests.storage.proxy import proxied
from tests.storage.test_queries import Filled, expected, filled, lawful, selected

__all__ = ["filled"]


async def found_in_windows(filled: Filled, selection: Selection, window: int, after: str) -> list[str]:
    find = Finder(filled.stored.database.contacts, Gate(), selection, lambda _: None, window)
    find.walk_in_windows()
    parts = scan(
        find, starts_of, lambda reply: transcode.contacts(reply, selection.filter.matches), after, 10**6
    )
    return [contact.id async for part in parts for contact in part]


@settings(lawful, max_examples=60)
@given(
    sent=filters_as_sent("acme"),
    newest_first=st.booleans(),
    window=st.sampled_from([20, 77, PEOPLE - 1, PEOPLE, PEOPLE + 1]),
    first=st.none() | st.integers(0, PEOPLE - 1),
)
async def test_windows_hold_what_the_whole_holds(
    filled: Filled, sent: dict[str, Any], newest_first: bool, window: int, first: int | None
) -> None:
    """Whatever the filter, the order, the size of a window and the id behind which it begins."""
    selection = selected(sent, newest_first=newest_first)
    after = "" if first is None else crowd("acme")[first].id
    behind = [
        each for each in expected(selection) if not after or (each < after if newest_first else each > after)
    ]
    assert await found_in_windows(filled, selection, window, after) == behind


@settings(lawful, max_examples=100)
@given(sent=filters_as_sent("acme"), most=st.sampled_from([0, 1, 7, 60, PEOPLE]))
async def test_the_count_is_what_the_filter_means(
    filled: Filled, sent: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For random filters, over several windows, with and without an end."""
    monkeypatch.setattr(finder, "WINDOW", 77)
    selection = selected(sent, newest_first=False)
    matching = len(expected(selection))
    counted = min(matching, most) if most else matching
    assert await filled.stored.store.count(selection, most) == (counted, matching > counted)


async def test_a_scan_that_ran_out_of_time_goes_on_in_windows(mongodb_uri: str, stored: Stored) -> None:
    """One reply that does not come in time is no end: from there on each walks a bounded part."""
    people = await fill(stored.store, "acme", count=50)
    wanted = ContactFilter(updated_after=people[40].updated_at)
    commands = Commands()
    _, port = pymongo.uri_parser.parse_uri(mongodb_uri)["nodelist"][0]
    async with proxied(port) as (proxy, door):
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            "127.0.0.1", door, directConnection=True, event_listeners=[commands]
        )
        store = Store(client, stored.database.name, Gate(seconds=0.5))
        await store.prepare()
        proxy.swallows, proxy.stumbles_at = True, b"updated_at"
        commands.seen.clear()
        parts = store.scan(Selection("acme", wanted, newest_first=False))
        found = [contact async for part in parts for contact in part]
        await client.close()
    assert found == [each for each in people if wanted.matches(each)]
    assert proxy.stumbles_at == b""
    assert [command.get("skip", 0) > 0 for command in commands.seen][:3] == [False, True, False]
