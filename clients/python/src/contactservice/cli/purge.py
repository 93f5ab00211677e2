"""`contacts purge`: deletes all that match, or says how many these are."""

import argparse
from typing import Any

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, add_filter, command
from contactservice.cli.output import show_object
from contactservice.cli.settings import UsageError
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import ContactFilter

_MOST_IN_A_CALL = 1000


def add(commands: Commands) -> None:
    parser = command(
        commands, "purge", _purge, "delete the contacts that match for ever; without --force, count them"
    )
    add_filter(parser, is_required=True)
    parser.add_argument("--limit", type=int, metavar="N", help="how many to delete at most (default: all)")
    parser.add_argument("--force", action="store_true", help="really delete")


def _purge(client: ContactClient, options: argparse.Namespace) -> None:
    if options.limit is not None and options.limit < 1:
        raise UsageError("--limit must be 1 or more")
    if options.force:
        show_object(_deleted(client, options.filter, options.limit))
        return
    seen = client.purge(options.filter)
    show_object(_told(0, seen) | {"matching": seen.count, "sampleIds": list(seen.sample_ids)})


def _deleted(client: ContactClient, matching: ContactFilter, limit: int | None) -> dict[str, Any]:
    deleted = 0
    while True:
        left = _MOST_IN_A_CALL if limit is None else min(limit - deleted, _MOST_IN_A_CALL)
        answer = client.purge(matching, limit=left, force=True)
        deleted += answer.count
        is_over = answer.state == pb.PURGE_STATE_COMPLETE or not answer.count
        if is_over or deleted == limit:
            return _told(deleted, answer)


def _told(deleted: int, answer: pb.PurgeContactsResponse) -> dict[str, Any]:
    state = pb.PurgeState.Name(answer.state)
    # Each call looks from the oldest on, so the last one has met all that linked data protects.
    return {"deleted": deleted, "restricted": answer.restricted, "state": state}
