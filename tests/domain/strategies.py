"""What the tests of laws draw from: metadata, patches, moments and contacts, as the service keeps them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from service.domain import ids
from service.domain.contact import Contact

bounded = settings(max_examples=200, deadline=None)

# Few keys, so that stored values, patches and filters meet; hostile ones among them.
keys = st.sampled_from(["a", "b", "a.b", "`", "$ne", "\u2028", "naïve", "%2E"])
texts = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\u0085\u2028\u2029\n\r\x0b\x1c\"'\\"), max_size=12
)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15).filter(lambda value: value % 1 != 0)
present = st.sampled_from([0, 1, True, False, "1", "true", "", 0.5]) | st.booleans() | numbers | texts

stored_values = st.recursive(
    present,
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
metadata = st.dictionaries(keys, stored_values, max_size=4)

patch_values = st.recursive(
    present | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
patches = st.dictionaries(keys, patch_values, max_size=4)

FIRST_MILLISECOND, LAST_MILLISECOND = -62_135_596_800_000, 253_402_300_799_999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.integers(FIRST_MILLISECOND, LAST_MILLISECOND).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
milliseconds = st.integers(0, LAST_MILLISECOND)


@st.composite
def contact_ids(draw: st.DrawFn, account: str = "demo") -> str:
    return ids.lower_bound(account, draw(milliseconds))[:-16] + ids.encode(
        draw(st.integers(0, 2**80 - 1)), 16
    )


contacts = st.builds(
    Contact,
    id=contact_ids(),
    fingerprint=texts,
    trusted=st.booleans(),
    updated_at=moments,
    rev=st.integers(1, 2**31),
    name=texts,
    description=texts,
    email=texts,
    phone=texts,
    nickname=texts,
    preferences=texts,
    metadata=metadata,
    verified_at=st.none() | moments,
)


def canonical(value: Any) -> str:
    """Equal for equal JSON only: unlike ==, it tells 1 from true; 1 and 1.0 are one number."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return repr(value)
