"""A watch: what to ask for, and where to go on after a break."""

from typing import Unpack

import grpc

from contactservice._errors import ContactServiceError, Details, ServiceUnavailable
from contactservice._fields import FilterTerms, filter_with
from contactservice._patience import StreamPatience
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import ContactFilter


class WatchState:
    """How far a watch is: the `resume_token` of the last message that was handed out."""

    def __init__(self, request: pb.WatchContactsRequest) -> None:
        self.request = request
        self._patience = StreamPatience()

    @property
    def resume_token(self) -> str:
        """Continues the watch after the last message that was handed out."""
        return self.request.resume_token

    def take(self, message: pb.WatchContactsResponse) -> None:
        self.request.resume_token = message.resume_token
        self._patience.reward()

    def pause(self, error: ContactServiceError) -> float:
        """Seconds until the stream is worth another try; raises the error when it is not."""
        return self._patience.pause(error)

    def pause_after_end(self) -> float:
        """As after an error: a watch has no end, so somebody on the way made this one."""
        return self.pause(
            ServiceUnavailable(grpc.StatusCode.UNAVAILABLE, "the watch ended without an error", Details())
        )


def watch(
    matching: ContactFilter | None = None, /, *, resume_token: str = "", **terms: Unpack[FilterTerms]
) -> pb.WatchContactsRequest:
    """Streams the changes of all contacts that match, from now on or from where `resume_token` leads.

    Iterate over it for its messages, which have a `change` or a `heartbeat`, and a `resume_token`: keep that
    with the change. It has no end, and goes on by itself after a break: no change is left out, some may come
    again. Raises ResumeTokenExpired when the database no longer knows what came after the token: export
    anew, and watch from the `watch_token` of the summary.
    """
    return pb.WatchContactsRequest(filter=filter_with(matching, terms), resume_token=resume_token)
