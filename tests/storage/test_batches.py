"""Batches: who shares an operation with whom, who waits for how long, and who is hurt by whom."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from service.domain.errors import StoreUnavailable
from service.storage import batches as module
from service.storage.batches import Batches
from service.storage.gate import Gate

NEVER = 10**9


def wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look of a batch finds that nobody will come."""
    monkeypatch.setattr(module, "QUIET_TICKS", NEVER)
    monkeypatch.setattr(module, "BUSY", 0)


class Database:
    """Answers each key with its capitals, when it may; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        await self.may_answer.wait()
        if "down" in keys:
            raise StoreUnavailable
        if "poison" in keys:
            raise ValueError("poison")
        return {key: key.upper() for key in keys if key != "nobody"}


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def batches(database: Database) -> Batches[str, str]:
    return Batches(Gate(), database.ask)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent for having waited long, only when nobody comes any more."""
    monkeypatch.setattr(module, "PATIENCE", NEVER)


@pytest.fixture
def endless(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Nothing is sent for having waited at all."""
    wait_for_all(monkeypatch)


def call(batches: Batches[str, str], *keys: str) -> list["asyncio.Task[str | None]"]:
    return [asyncio.create_task(batches.one(key)) for key in keys]


async def begun(database: Database, count: int) -> None:
    async with asyncio.timeout(5):
        while len(database.asked) < count:
            await asyncio.sleep(0)


@pytest.mark.usefixtures("endless")
async def test_a_call_alone_never_waits(database: Database, batches: Batches[str, str]) -> None:
    """One call after the other: each is sent at once, by itself."""
    for key in ("a", "b", "c"):
        assert await batches.one(key) == key.upper()
    assert database.asked == [["a"], ["b"], ["c"]]


@pytest.mark.usefixtures("endless")
async def test_on_two_lanes_a_half_leaves_while_the_other_is_under_way(database: Database) -> None:
    """Eight callers that come again and again go in fours, the second four while the first are away."""
    batches = Batches[str, str](Gate(), database.ask, lanes=2)
    await asyncio.gather(*call(batches, *"abcdefgh"))
    database.asked.clear()
    database.may_answer.clear()
    callers = call(batches, *"abcdefgh")
    await begun(database, 2)
    assert database.asked == [[*"abcd"], [*"efgh"]]
    third = call(batches, *"ijklmnop")
    await asyncio.sleep(0)
    assert len(database.asked) == 2
    database.may_answer.set()
    await asyncio.gather(*callers, *third)


@pytest.mark.usefixtures("patient")
async def test_the_next_batch_gathers_while_one_is_under_way(
    database: Database, batches: Batches[str, str]
) -> None:
    """Who comes meanwhile leaves together, as soon as the batch is back."""
    database.may_answer.clear()
    first = call(batches, "a")
    await begun(database, 1)
    others = call(batches, *"bcdef")
    await asyncio.sleep(0)
    assert database.asked == [["a"]]
    database.may_answer.set()
    assert await asyncio.gather(*first, *others) == [*"ABCDEF"]
    assert database.asked == [["a"], [*"bcdef"]]


@pytest.mark.usefixtures("patient")
async def test_it_waits_for_as_many_as_were_around(
    database: Database, batches: Batches[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers that come back one by one, as they do when they are answered, go in one batch again."""
    await asyncio.gather(*call(batches, *"abcdefg"))
    wait_for_all(monkeypatch)
    database.asked.clear()
    again = []
    for key in "uvwxyz":
        again += call(batches, key)
        for _ in range(50):
            await asyncio.sleep(0)
    assert await asyncio.gather(*again) == [*"UVWXYZ"]
    assert database.asked == [[*"uvwxyz"]]


@pytest.mark.usefixtures("patient")
async def test_it_does_not_wait_for_who_does_not_come(
    database: Database, batches: Batches[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an idle loop fewer than expected are sent after a moment, and fewer are expected."""
    await asyncio.gather(*call(batches, *"abcdefgh"))
    for key in "stuvw":
        assert await batches.one(key) == key.upper()
    wait_for_all(monkeypatch)
    assert await batches.one("z") == "Z"
    assert database.asked[-6:] == [["s"], ["t"], ["u"], ["v"], ["w"], ["z"]]


async def test_patience_ends_behind_a_slow_batch(
    database: Database, batches: Batches[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that does not come back holds up the next one for PATIENCE and no longer."""
    wait_for_all(monkeypatch)
    database.may_answer.clear()
    slow = call(batches, "slow")
    await begun(database, 1)
    others = call(batches, "a", "b")
    await begun(database, 2)
    assert database.asked == [["slow"], ["a", "b"]]
    database.may_answer.set()
    assert await asyncio.gather(*slow, *others) == ["SLOW", "A", "B"]


@pytest.mark.usefixtures("endless")
async def test_a_full_batch_leaves_at_once(database: Database) -> None:
    """No batch has more keys than the limit, and a full one waits for nobody."""
    batches = Batches(Gate(), database.ask, most_keys=3)
    database.may_answer.clear()
    calls = call(batches, "a")
    await begun(database, 1)
    calls += call(batches, *"bcdefg")
    await begun(database, 3)
    database.may_answer.set()
    assert await asyncio.gather(*calls) == [*"ABCDEFG"]
    assert database.asked == [["a"], [*"bcd"], [*"efg"]]


async def test_without_batching_each_key_goes_alone(database: Database) -> None:
    """A limit of one key is the switch: the same way, one by one."""
    batches = Batches(Gate(), database.ask, most_keys=1)
    assert await asyncio.gather(*call(batches, *"abc")) == [*"ABC"]
    assert database.asked == [["a"], ["b"], ["c"]]


@pytest.mark.usefixtures("patient")
async def test_callers_of_one_key_share_a_question_that_waits(
    database: Database, batches: Batches[str, str]
) -> None:
    """Before it is sent, a key is in it once, however many ask for it."""
    database.may_answer.clear()
    calls = call(batches, "a")
    await begun(database, 1)
    calls += call(batches, *"bbb")
    await asyncio.sleep(0)
    database.may_answer.set()
    assert await asyncio.gather(*calls) == [*"ABBB"]
    assert database.asked == [["a"], ["b"]]


@pytest.mark.usefixtures("patient")
async def test_nobody_joins_a_question_that_was_sent(database: Database, batches: Batches[str, str]) -> None:
    """Its answer may be older than what the caller has written meanwhile: the key is asked for anew."""
    database.may_answer.clear()
    calls = call(batches, "a")
    await begun(database, 1)
    calls += call(batches, "a")
    await asyncio.sleep(0)
    database.may_answer.set()
    await asyncio.gather(*calls)
    assert database.asked == [["a"], ["a"]]


@pytest.mark.usefixtures("patient")
async def test_cancelled_callers_leave_the_others_alone(
    database: Database, batches: Batches[str, str]
) -> None:
    """Who goes while waiting has asked nothing; who goes later costs the others of the batch nothing."""
    database.may_answer.clear()
    [sent] = call(batches, "a")
    await begun(database, 1)
    early, late, stays = call(batches, "early", "late", "stays")
    await asyncio.sleep(0)
    early.cancel()
    sent.cancel()
    await asyncio.sleep(0)
    database.may_answer.set()
    await begun(database, 2)
    late.cancel()
    assert await stays == "STAYS"
    assert database.asked == [["a"], ["late", "stays"]]
    ends = await asyncio.gather(sent, early, late, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)


@pytest.mark.usefixtures("patient")
async def test_a_batch_that_everybody_left_is_not_sent(
    database: Database, batches: Batches[str, str]
) -> None:
    """And the next caller is served as if it had never been."""
    database.may_answer.clear()
    first, gone = call(batches, "a") + call(batches, "b")
    await begun(database, 1)
    gone.cancel()
    await asyncio.sleep(0)
    database.may_answer.set()
    assert await first == "A"
    assert await batches.one("c") == "C"
    assert database.asked == [["a"], ["c"]]


@pytest.mark.usefixtures("patient")
async def test_one_key_that_makes_the_batch_fail_fails_alone(
    database: Database, batches: Batches[str, str]
) -> None:
    """The others of its batch get their answers."""
    database.may_answer.clear()
    calls = call(batches, "a")
    await begun(database, 1)
    calls += call(batches, "b", "poison", "c")
    await asyncio.sleep(0)
    database.may_answer.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [ends[0], ends[1], ends[3]] == [*"ABC"]
    assert isinstance(ends[2], ValueError)


@pytest.mark.usefixtures("patient")
async def test_weather_is_told_to_all_and_not_asked_again(
    database: Database, batches: Batches[str, str]
) -> None:
    """A database that is away is not asked once more for each of the waiting."""
    database.may_answer.clear()
    calls = call(batches, "a")
    await begun(database, 1)
    calls += call(batches, "b", "down", "c")
    await asyncio.sleep(0)
    database.may_answer.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert ends[0] == "A"
    assert all(isinstance(end, StoreUnavailable) for end in ends[1:])
    assert len(database.asked) == 2


async def test_a_key_without_an_answer(batches: Batches[str, str]) -> None:
    """None, which no other caller's answer can be taken for."""
    assert await asyncio.gather(*call(batches, "a", "nobody")) == ["A", None]


@pytest.mark.usefixtures("patient")
async def test_a_busy_loop_is_not_waited_for_in_vain(
    database: Database, batches: Batches[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others keep the loop busy, but no caller comes: after two looks the batch leaves."""
    await asyncio.gather(*call(batches, *"abcdefgh"))
    monkeypatch.setattr(module, "BUSY", 0)
    assert await batches.one("z") == "Z"
    assert database.asked[-1] == ["z"]
