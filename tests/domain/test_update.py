"""A partial update: which fields a mask means."""

from dataclasses import replace

import pytest

from service.domain import update
from service.domain.contact import TEXT_FIELDS, Draft
from service.domain.errors import (
    InvalidField,
    MaskPathInvalid,
    TrustImmutable,
)
from tests.domain.changes import CREATED, FULL, NOW, STORED, WRITABLE, applied


def test_a_mask_writes_the_fields_that_it_names() -> None:
    """Fields that were sent and not named stay as they were."""
    changed = applied(FULL, "name", "nickname")
    assert changed == replace(STORED, name="Bo", nickname="b", updated_at=NOW, rev=8)


def test_without_a_mask_the_populated_fields_are_written() -> None:
    """What was not sent stays as it was; nothing is cleared."""
    assert update.masked_fields([], Draft(name="Bo", phone="+1")) == {"name", "phone"}
    assert update.masked_fields([], FULL) == WRITABLE
    assert update.masked_fields([], Draft()) == set()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        *((replace(Draft(), **{name: "x"}), name) for name in (*TEXT_FIELDS, "fingerprint")),
        (Draft(metadata={}), "metadata"),
        (Draft(verified_at=NOW), "verified_at"),
    ],
)
def test_each_writable_field_counts_as_populated(values: Draft, field: str) -> None:
    """A field is populated when it was sent; metadata counts also when it is an empty object."""
    assert update.masked_fields([], values) == {field}


def test_a_star_means_all_writable_fields() -> None:
    """Under `*` every field takes the value that was sent."""
    changed = applied(FULL, "*", replace_metadata=True)
    values = {name: getattr(FULL, name) for name in WRITABLE}
    assert changed == replace(STORED, **values, updated_at=NOW, rev=8)


@pytest.mark.parametrize("paths", [("*",), ("*", "name"), ("name", "*", "*")])
def test_a_star_clears_all_but_the_fingerprint(paths: tuple[str, ...]) -> None:
    """Under `*` absent fields are cleared, an absent fingerprint is left alone."""
    changed = applied(Draft(), *paths)
    assert changed == replace(
        STORED,
        **dict.fromkeys(TEXT_FIELDS, ""),
        metadata={},
        verified_at=None,
        updated_at=NOW,
        rev=8,
    )
    assert changed.fingerprint == "user:1"


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_a_masked_absent_text_is_cleared(field: str) -> None:
    """A text that the mask names and that was not sent is absent afterwards."""
    assert applied(Draft(), field) == replace(STORED, **{field: ""}, updated_at=NOW, rev=8)


@pytest.mark.parametrize("replace_metadata", [False, True])
def test_masked_absent_metadata_is_cleared(replace_metadata: bool) -> None:
    """Metadata that the mask names and that was not sent is gone, in either mode."""
    assert applied(Draft(), "metadata", replace_metadata=replace_metadata).metadata == {}


def test_verified_is_a_state_that_is_set_and_cleared() -> None:
    """An update takes the time away, and puts any other."""
    cleared = applied(Draft(), "verified_at")
    assert cleared.verified_at is None
    assert applied(Draft(verified_at=CREATED), contact=cleared).verified_at == CREATED


@pytest.mark.parametrize("paths", [["fingerprint"], ["name", "fingerprint"], ["*", "fingerprint"]])
def test_a_fingerprint_is_never_cleared(paths: list[str]) -> None:
    """Named and empty it can only be a mistake, also beside a `*`."""
    with pytest.raises(InvalidField) as caught:
        update.masked_fields(paths, Draft(name="Bo"))
    assert [violation.field for violation in caught.value.violations] == ["contact.fingerprint"]


@pytest.mark.parametrize("path", sorted(WRITABLE))
def test_each_writable_field_may_be_named(path: str) -> None:
    """A mask takes the fields of the contact by their names in the .proto."""
    assert update.masked_fields([path], FULL) == {path}
    assert update.masked_fields([path, path], FULL) == {path}


@pytest.mark.parametrize("path", ["id", "created_at", "updated_at", "etag"])
def test_fields_of_the_server_are_refused_in_a_mask(path: str) -> None:
    """What the server writes cannot be written, and the error says why."""
    with pytest.raises(MaskPathInvalid, match="written by the server only"):
        update.masked_fields([path], FULL)
    with pytest.raises(MaskPathInvalid):
        update.masked_fields(["name", path, "*"], FULL)


def test_the_class_of_the_identity_cannot_be_named() -> None:
    """`trusted` in a mask has a reason of its own."""
    with pytest.raises(TrustImmutable):
        update.masked_fields(["trusted"], FULL)
    with pytest.raises(TrustImmutable):
        update.masked_fields(["*", "name", "trusted"], FULL)


@pytest.mark.parametrize(
    "path", ["metadata.plan", "metadata.a.b", "metadata.", "name.first", "verified_at.seconds"]
)
def test_a_deeper_path_is_refused_with_the_way_out(path: str) -> None:
    """Masks name top-level fields; the error says that metadata merges by itself."""
    with pytest.raises(MaskPathInvalid, match="metadata merges by itself"):
        update.masked_fields([path], FULL)


@pytest.mark.parametrize(
    "path",
    ["", "canary", "Name", "verifiedAt", "preferences ", "**", "*.name", "account", "rev", "id.x", "terms"],
)
def test_an_unknown_path_is_refused(path: str) -> None:
    """What is no field, camelCase included, is refused with the paths there are, and not repeated."""
    with pytest.raises(MaskPathInvalid, match=r"a path is \* or one of description, email") as caught:
        update.masked_fields(["name", path], FULL)
    assert "canary" not in str(caught.value)
    assert [violation.field for violation in caught.value.violations] == ["update_mask"]


def test_the_paths_that_an_error_lists_are_the_paths_there_are() -> None:
    """The error about an unknown path names every writable field."""
    with pytest.raises(MaskPathInvalid) as caught:
        update.masked_fields(["unknown"], FULL)
    listed = caught.value.violations[0].rule.rpartition("one of ")[2]
    assert set(listed.split(", ")) == WRITABLE
