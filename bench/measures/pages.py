"""Pages of a large account: what the last one costs against the first."""

import statistics

import grpc

from bench.figures import Figure, interleaved, ratio
from bench.laboratory import EXPORTED, Laboratory
from bench.processes import Running
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub

PAGE_SIZE = 100
STRIDE = 1000


def pages(lab: Laboratory) -> list[Figure]:
    """Of the account that is exported."""
    return [last_against_first(lab, lab.ours, EXPORTED, lab.pace.exported)]


def last_against_first(lab: Laboratory, server: Running, account: str, contacts: int) -> Figure:
    """Milliseconds of the last page, newest first, against those of the first one."""
    requests = {
        "first": pb.ListContactsRequest(page_size=PAGE_SIZE),
        "last": pb.ListContactsRequest(
            page_size=PAGE_SIZE, page_token=_last_token(lab, server, account, contacts)
        ),
    }
    files = {
        name: lab.requests(f"page-{name}", "ListContacts", iter([request]))
        for name, request in requests.items()
    }

    def sample(name: str) -> float:
        return lab.sample(server, files[name], "-in-flight", "1", account=account).p50

    taken = interleaved(
        {name: lambda _, name=name: sample(name) for name in files},  # type: ignore[misc]
        lab.pace.rounds,
    )
    first, last = statistics.median(taken["first"]), statistics.median(taken["last"])
    found = ratio(taken["last"], taken["first"])
    name = f"last / first page of {PAGE_SIZE}, {contacts:,} contacts"
    return Figure(name, found, "x", 1.2, 1.0, True, last, first, "first page", "ms")


def _last_token(lab: Laboratory, server: Running, account: str, contacts: int) -> str:
    """The token of the account's last page: found as a caller finds it, by walking there."""
    metadata = (("authorization", f"Bearer {lab.tokens[account]}"),)
    token, passed = "", 0
    with grpc.insecure_channel(server.address) as channel:
        stub = ContactServiceStub(channel)
        while passed < contacts - PAGE_SIZE:
            size = min(STRIDE, contacts - PAGE_SIZE - passed)
            page = stub.ListContacts(
                pb.ListContactsRequest(page_size=size, page_token=token), metadata=metadata
            )
            token, passed = page.next_page_token, passed + len(page.contacts)
    return token
