"""Ids: whose a contact is and when it was made, told by the text alone."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain import ids
from service.domain.errors import ContactNotFound, ContactNotOwned, InvalidField
from service.domain.ids import IdMint
from tests.domain.strategies import EPOCH, LAST_MILLISECOND, bounded, contact_ids, milliseconds

accounts = st.text("abcXYZ019._-", min_size=1, max_size=64)


def lowest(_bits: int) -> int:
    return 0


def highest(bits: int) -> int:
    return 2**bits - 1


def mint_at(*times: int, random_bits: Callable[[int], int] = lowest) -> IdMint:
    """A mint whose clock shows these times, one after the other."""
    clock = iter(times)
    return IdMint(lambda: next(clock), random_bits)


def test_the_bytes_of_ids_never_change() -> None:
    """An account keeps its tag and an id its time in every release, or contacts get lost."""
    minted = mint_at(1469918176385, random_bits=highest).mint("demo")
    assert minted == "ct_5ABN2V1N9DM801ARYZ6S41FZZZZZZZZZZZZZZZ"


def test_the_tag_is_sixty_bits_of_sha_256_over_the_account() -> None:
    """Anyone can compute which account an id belongs to, without a key."""
    bits = int(hashlib.sha256(b"demo").hexdigest()[:15], 16)
    tag = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[bits >> shift & 31] for shift in range(55, -1, -5))
    assert ids.prefix("demo") == "ct_" + tag


def test_the_time_is_written_as_in_the_ulid_specification() -> None:
    """The example of the ULID specification gives its ten characters."""
    assert ids.encode(1469918176385, 10) == "01ARYZ6S41"


@bounded
@given(accounts, milliseconds, st.integers(0, 2**79 - 1))
def test_an_id_tells_its_account_and_its_time(account: str, now: int, random: int) -> None:
    """What is minted is wellformed, owned by its account, and holds the clock's millisecond."""
    minted = mint_at(now, random_bits=lambda _bits: random).mint(account)
    assert ids.is_wellformed(minted)
    assert ids.owned(account, minted) == minted
    assert ids.created_at(minted) == EPOCH + timedelta(milliseconds=now)


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (0, EPOCH),
        (1, datetime(1970, 1, 1, microsecond=1000, tzinfo=UTC)),
        (1469918176385, datetime(2016, 7, 30, 22, 36, 16, 385000, tzinfo=UTC)),
        (LAST_MILLISECOND, datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
    ],
)
def test_the_time_of_creation_is_exact_to_the_millisecond(now: int, moment: datetime) -> None:
    """The time in an id is the clock's, from 1970 to the end of the year 9999."""
    assert ids.created_at(mint_at(now).mint("demo")) == moment


@bounded
@given(st.lists(milliseconds, min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_ids_rise_whatever_the_clock_does(times: list[int], random: Random) -> None:
    """Forwards, backwards or standing still: each id is above the one before."""
    mint = mint_at(*times, random_bits=random.getrandbits)
    minted = [mint.mint("demo") for _ in times]
    assert minted == sorted(set(minted))


@bounded
@given(contact_ids(), contact_ids())
def test_the_order_of_ids_is_the_order_of_their_times(one: str, other: str) -> None:
    """An id of an earlier millisecond is the smaller text, whatever the random part is."""
    assume(ids.created_at(one) != ids.created_at(other))
    assert (one < other) == (ids.created_at(one) < ids.created_at(other))


@pytest.mark.parametrize("random_bits", [lowest, highest])
def test_ids_count_up_within_one_millisecond(random_bits: Callable[[int], int]) -> None:
    """A burst keeps its millisecond and rises by one, even from the highest random start."""
    mint = mint_at(7, 7, 7, random_bits=random_bits)
    minted = [mint.mint("demo") for _ in range(3)]
    numbers = [int_of(each) for each in minted]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    assert {ids.created_at(each) for each in minted} == {EPOCH + timedelta(milliseconds=7)}


def test_a_clock_that_goes_back_does_not_take_ids_back() -> None:
    """Until the clock has caught up, ids keep the latest millisecond that was used."""
    mint = mint_at(1000, 400, 1000, 1001)
    minted = [mint.mint("demo") for _ in range(4)]
    assert minted == sorted(minted)
    shown = [(ids.created_at(each) - EPOCH) // timedelta(milliseconds=1) for each in minted]
    assert shown == [1000, 1000, 1000, 1001]


def test_ids_rise_across_the_accounts_of_a_process() -> None:
    """One counter serves all accounts, so no two ids share their ULID."""
    mint = mint_at(7, 7)
    assert int_of(mint.mint("b")) < int_of(mint.mint("a"))


@bounded
@given(contact_ids("demo"))
def test_the_bounds_of_an_account_enclose_its_ids(contact_id: str) -> None:
    """Every id that an account can have lies in its key range."""
    assert ids.lower_bound("demo", 0) <= contact_id < ids.upper_bound("demo")


@pytest.mark.parametrize("random", [0, 2**80 - 1])
@pytest.mark.parametrize("now", [0, LAST_MILLISECOND])
def test_the_first_and_the_last_id_lie_within_the_bounds(now: int, random: int) -> None:
    """The bounds enclose the extremes too, which no random draw is sure to meet."""
    extreme = ids.prefix("demo") + ids.encode(now << 80 | random, 26)
    assert ids.lower_bound("demo", 0) <= extreme < ids.upper_bound("demo")


@bounded
@given(accounts, accounts, st.data())
def test_the_bounds_of_an_account_hold_no_foreign_id(one: str, other: str, data: st.DataObject) -> None:
    """No id of one account lies in the key range of another, which lies as a whole above or below."""
    assume(one != other)
    foreign = data.draw(contact_ids(other))
    assert not ids.lower_bound(one, 0) <= foreign < ids.upper_bound(one)
    assert (ids.upper_bound(one) < ids.lower_bound(other, 0)) != (
        ids.upper_bound(other) < ids.lower_bound(one, 0)
    )


@bounded
@given(contact_ids(), milliseconds)
def test_a_lower_bound_splits_ids_by_their_time(contact_id: str, bound: int) -> None:
    """At the bound or above are exactly the ids of that millisecond and later ones."""
    created = (ids.created_at(contact_id) - EPOCH) // timedelta(milliseconds=1)
    assert (contact_id >= ids.lower_bound("demo", bound)) == (created >= bound)


@pytest.mark.parametrize(
    ("asked", "used"), [(-1, 0), (-(10**15), 0), (2**48, 2**48 - 1), (10**18, 2**48 - 1)]
)
def test_a_lower_bound_beyond_the_times_of_ids_is_the_nearest_one(asked: int, used: int) -> None:
    """Times before 1970, or later than an id can hold, do not wrap around."""
    assert ids.lower_bound("demo", asked) == ids.lower_bound("demo", used)


GOOD = "ct_5ABN2V1N9DM801ARYZ6S41FZZZZZZZZZZZZZZZ"


@pytest.mark.parametrize(
    "malformed",
    [
        "x",
        GOOD.lower(),
        "CT_" + GOOD[3:],
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        " " + GOOD,
        GOOD[3:],
        GOOD[:-1] + "I",
        GOOD[:-1] + "L",
        GOOD[:-1] + "O",
        GOOD[:-1] + "U",
        GOOD[:-1] + "z",
        GOOD[:-1] + "\uff10",
        GOOD[:15] + "8" + GOOD[16:],
        GOOD[:15] + "76EZ91ZQ00" + GOOD[25:],
        GOOD[:15] + "7" + "Z" * 25,
    ],
)
def test_a_malformed_id_is_an_absent_contact(malformed: str) -> None:
    """Other lengths, letters and cases, and times after the year 9999, are no id of anybody."""
    assert not ids.is_wellformed(malformed)
    with pytest.raises(ContactNotFound):
        ids.owned("demo", malformed)


def test_the_last_id_of_the_year_9999_is_wellformed() -> None:
    """The latest time that an id may hold still reads as one."""
    last = ids.prefix("demo") + ids.encode(LAST_MILLISECOND << 80 | 2**80 - 1, 26)
    assert ids.owned("demo", last) == last
    assert ids.created_at(last).year == 9999


def test_an_empty_id_is_a_forgotten_field() -> None:
    """An empty id is a broken request and names the field of the request."""
    with pytest.raises(InvalidField) as caught:
        ids.owned("demo", "", "source_id")
    assert [violation.field for violation in caught.value.violations] == ["source_id"]


def test_a_foreign_id_is_recognised_by_its_text() -> None:
    """An id of another account is refused, whether or not the contact exists there."""
    with pytest.raises(ContactNotOwned):
        ids.owned("other", GOOD)


def test_a_malformed_foreign_id_is_absent() -> None:
    """The tag of another account is not enough: what is no id belongs to nobody."""
    with pytest.raises(ContactNotFound):
        ids.owned("other", GOOD[:-1])


def int_of(contact_id: str) -> int:
    """The number in the ULID of an id."""
    number = 0
    for character in contact_id[15:]:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    return number
