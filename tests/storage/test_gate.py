"""The gate: cancelled callers, full queues, slow and absent databases never hurt the next caller."""

import asyncio
import secrets

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, DuplicateKeyError, OperationFailure, PyMongoError

from service.domain.errors import StoreTimeout, StoreUnavailable
from service.storage.gate import Gate


async def test_a_cancelled_caller_leaves_at_once_and_its_operation_ends_by_itself() -> None:
    """Cancelling a call ends the caller's wait, not what it has begun in the database."""
    gate, begun, may_end, ended = Gate(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def operation() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    caller = asyncio.create_task(gate.run(operation))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not ended.is_set()
    may_end.set()
    await gate.drained()
    assert ended.is_set()


async def test_a_caller_cancelled_before_its_turn_begins_nothing() -> None:
    """What waits for a slot when its caller goes is never sent to the database."""
    gate, may_end, ran = Gate(slots=1), asyncio.Event(), []

    async def later() -> None:
        ran.append("later")

    first = asyncio.create_task(gate.run(may_end.wait))
    await asyncio.sleep(0)
    second = asyncio.create_task(gate.run(later))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    may_end.set()
    await first
    assert ran == []
    assert await gate.run(lambda: asyncio.sleep(0, "free")) == "free"


async def test_no_more_operations_run_at_once_than_there_are_slots() -> None:
    """The semaphore bounds what the database sees, cancelled callers included."""
    gate, running, most = Gate(slots=3), 0, 0

    async def operation() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    callers = [asyncio.create_task(gate.run(operation)) for _ in range(50)]
    await asyncio.sleep(0.002)
    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await gate.drained()
    assert most == 3


async def test_waiting_for_a_slot_has_a_deadline() -> None:
    """A queue that does not move answers STORE_TIMEOUT instead of holding its callers for ever."""
    gate, may_end = Gate(slots=1, seconds=0.05), asyncio.Event()
    first = asyncio.create_task(gate.run(may_end.wait))
    await asyncio.sleep(0)
    with pytest.raises(StoreTimeout):
        await gate.run(may_end.wait)
    may_end.set()
    await first


async def test_a_slow_operation_is_ended_by_the_driver(mongo: AsyncMongoClient) -> None:
    """The deadline of an operation is kept by driver and database, and told as STORE_TIMEOUT."""
    collection = mongo["tests"][secrets.token_hex(4)]
    await collection.insert_one({})
    with pytest.raises(StoreTimeout):
        await Gate(seconds=0.2).run(lambda: collection.find_one({"$where": "sleep(5000) || true"}))


async def test_an_absent_database_is_unavailable() -> None:
    """Nobody listening is told as STORE_UNAVAILABLE with a time to try again."""
    client: AsyncMongoClient = AsyncMongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50)
    with pytest.raises(StoreUnavailable) as caught:
        await Gate().run(lambda: client.admin.command("ping"))
    assert caught.value.retry_after
    await client.close()


async def test_a_duplicate_key_is_the_callers_business(mongo: AsyncMongoClient) -> None:
    """E11000 passes the gate untranslated: the store knows what it means."""
    collection = mongo["tests"][secrets.token_hex(4)]
    await Gate().run(lambda: collection.insert_one({"_id": 1}))
    with pytest.raises(DuplicateKeyError):
        await Gate().run(lambda: collection.insert_one({"_id": 1}))


async def test_thousands_of_cancelled_calls_leave_the_pool_healthy(mongo: AsyncMongoClient) -> None:
    """After a storm of callers that are cancelled, some of them twice, fifty calls are answered at once.

    Without the gate's shield this fails: cancelled operations deadlock the driver's pool.
    """
    collection = mongo["tests"][secrets.token_hex(4)]
    await collection.insert_one({"_id": 1})
    gate = Gate()

    async def read() -> object:
        return await gate.run(lambda: collection.find_one({"_id": 1}))

    for round_number in range(40):
        callers = [asyncio.create_task(read()) for _ in range(100)]
        for _ in range(round_number % 5):
            await asyncio.sleep(0)
        for caller in callers:
            caller.cancel()
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(read() for _ in range(50)))
    assert found == [{"_id": 1}] * 50


async def test_what_is_no_weather_comes_as_it_is() -> None:
    """It is not made its own cause: whoever follows the causes of an error comes to an end."""
    refused = OperationFailure("Document failed validation", 121)

    async def operation() -> None:
        raise refused

    with pytest.raises(OperationFailure) as caught:
        await Gate().run(operation)
    assert caught.value is refused
    assert refused.__cause__ is None


@pytest.mark.parametrize("error", [ConfigurationError("no DNS"), OperationFailure("bad auth", 8000)])
async def test_whatever_ends_a_look_is_absence(error: PyMongoError) -> None:
    """A look has no caller whose fault it could be: all others are refused until the next one ends well."""
    gate = Gate()

    async def look() -> None:
        raise error

    with pytest.raises(StoreUnavailable) as caught:
        await gate.look(look)
    assert caught.value.__cause__ is error
    with pytest.raises(StoreUnavailable):
        await gate.run(lambda: asyncio.sleep(0))
    await gate.look(lambda: asyncio.sleep(0))
    assert await gate.run(lambda: asyncio.sleep(0, "back")) == "back"


@pytest.mark.parametrize("code", [6, 7, 89, 134, 262, 8000, 9001])
async def test_an_election_or_a_refusal_is_absence(code: int) -> None:
    """Members that do not reach each other are no bug, nor are credentials that Atlas does not take."""

    async def operation() -> None:
        raise OperationFailure("of the weather", code)

    with pytest.raises(StoreUnavailable):
        await Gate().run(operation)
