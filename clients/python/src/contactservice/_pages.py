"""A list, page by page: where it is, and what comes next."""

from collections.abc import Sequence
from typing import Unpack

from contactservice._fields import FilterTerms, Order, filter_with, order_of
from contactservice._plans import Call
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact, ContactFilter


class Pages:
    """All pages of one list; `is_over` after the last one."""

    def __init__(self, request: pb.ListContactsRequest) -> None:
        self._request = request
        self.is_over = False

    @property
    def call(self) -> Call:
        return Call("ListContacts", self._request)

    def take(self, page: pb.ListContactsResponse) -> Sequence[Contact]:
        self._request.page_token = page.next_page_token
        self.is_over = not page.next_page_token
        return page.contacts


def pages(
    matching: ContactFilter | None = None,
    /,
    *,
    order: Order | None = None,
    page_size: int = 0,
    **terms: Unpack[FilterTerms],
) -> Pages:
    """An iterator over all contacts that match, newest first unless `order` says otherwise.

    Pages of `page_size` are fetched as they are needed. To read everything, `export` is faster and proves
    that it is complete.
    """
    matching = filter_with(matching, terms)
    return Pages(pb.ListContactsRequest(filter=matching, order=order_of(order), page_size=page_size))
