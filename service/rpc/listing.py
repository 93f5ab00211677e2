"""One page of ListContacts: how many contacts, how many bytes, and whether there are more."""

from contextlib import aclosing

from contactservice.v1 import contact_pb2
from contactservice.v1.contact_service_pb2 import ListContactsRequest, ListContactsResponse
from service.domain import limits, paging
from service.domain.errors import InvalidField, Violation
from service.domain.paging import ListPosition, TokenSigner
from service.rpc import messages
from service.storage.store import Store

# In the response a contact has a tag and its length before it, and behind all of them comes the token.
_FRAMING_BYTES = 5
_TOKEN_BYTES = 512


async def page(
    store: Store, signer: TokenSigner, account: str, request: ListContactsRequest
) -> ListContactsResponse:
    """The page behind the token; it ends at the page size or at 3 MiB, and holds one contact at least."""
    size = _page_size(request.page_size)
    selection = messages.selection(account, request, contact_pb2.CONTACT_ORDER_NEWEST_FIRST)
    bound = paging.binding("ListContacts", selection)
    after = signer.list_position(request.page_token, bound).after if request.page_token else ""
    response = ListContactsResponse()
    weight = _TOKEN_BYTES
    # One more than the page holds tells whether there is a next one.
    async with aclosing(store.scan(selection, after, size + 1)) as slices:
        async for contacts in slices:
            for contact in contacts:
                message = messages.contact(contact)
                weight += message.ByteSize() + _FRAMING_BYTES
                shown = len(response.contacts)
                if shown == size or (shown and weight > limits.PAGE_BYTES):
                    last = ListPosition(response.contacts[-1].id)
                    response.next_page_token = signer.sign(bound, last)
                    return response
                response.contacts.append(message)
    return response


def _page_size(asked: int) -> int:
    if asked < 0:
        raise InvalidField(Violation("page_size", "must not be negative"))
    return min(asked or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)
