"""Single calls: Get, Ensure and Create, ours against the peers."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench import people
from bench.figures import Figure, interleaved, ratio
from bench.laboratory import Laboratory, Sample
from bench.load_generator import Requests
from contactservice.v1 import contact_service_pb2 as pb

# In flight: must and aim against the textbook.
GET_BOUNDS = {64: (2.5, None), 16: (1.5, 3.0), 4: (1.1, 1.5), 1: (0.95, 1.1)}
ECHO_BOUNDS = (0.5, 0.8)
# Twice what the fastest prototype took in a second.
NEW_A_SECOND = 8000

Samples = Mapping[str, Sequence[Sample]]


def get(lab: Laboratory) -> list[Figure]:
    """GetContact over all people of an account, with 64, 16, 4 and 1 in flight."""
    return [figure for in_flight in GET_BOUNDS for figure in _get(lab, in_flight)]


def get_saturated(lab: Laboratory) -> list[Figure]:
    """Only with 64 in flight."""
    return _get(lab, 64)


def ensure(lab: Laboratory) -> list[Figure]:
    """EnsureContact of trusted contacts: all known, then all new."""
    known = lab.requests("ensure-known", "EnsureContact", _ensures(range(lab.pace.callers), "person"))
    existing = _against_textbook(lab, lambda _: known, 64)
    new = _against_textbook(lab, lambda number: _new_people(lab, number), 64, "-once")
    return [
        _figure("EnsureContact existing, 64 in flight", existing, "textbook", 2.5, 4.0),
        _figure("EnsureContact new, 64 in flight", new, "textbook", 2.0, 4.0),
    ]


def create(lab: Laboratory) -> list[Figure]:
    """CreateContact of guests: each call makes a contact."""
    guests = [people.message(number, "guest") for number in range(2000)]
    for guest in guests:
        guest.ClearField("fingerprint")
    creations = (pb.CreateContactRequest(contact=guest) for guest in guests)
    requests = lab.requests("create", "CreateContact", creations)
    samples = _against_textbook(lab, lambda _: requests, 64)
    return [_figure("CreateContact burst, 64 in flight", samples, "textbook", 3.0, 5.0)]


def motor(lab: Laboratory) -> list[Figure]:
    """For the record: the textbook on Motor, the driver that many services still have."""
    requests = lab.get_requests()
    samples = _interleaved(lab, ("motor",), lambda _: requests, 64)
    return [_figure("GetContact, 64 in flight", samples, "motor")]


def _get(lab: Laboratory, in_flight: int) -> list[Figure]:
    requests = lab.get_requests()
    peers = ("textbook", "echo") if in_flight == 64 else ("textbook",)
    samples = _interleaved(lab, peers, lambda _: requests, in_flight)
    name = f"GetContact, {in_flight} in flight"
    figures = [_figure(name, samples, "textbook", *GET_BOUNDS[in_flight])]
    if "echo" in samples:
        figures.append(_figure(name, samples, "echo", *ECHO_BOUNDS))
    return figures


def _against_textbook(
    lab: Laboratory, requests: Callable[[int], Requests], in_flight: int, *flags: str
) -> Samples:
    return _interleaved(lab, ("textbook",), requests, in_flight, *flags)


def _interleaved(
    lab: Laboratory,
    peers: Sequence[str],
    requests: Callable[[int], Requests],
    in_flight: int,
    *flags: str,
) -> Samples:
    def of(server: str) -> Callable[[int], Sample]:
        running = lab.ours if server == "ours" else lab.peer(server)

        def sample(number: int) -> Sample:
            asked = requests(number)
            # Another part of the people in every round; those who may be sent once begin at the first.
            offset = 0 if flags else number * 4001
            return lab.sample(running, asked, "-in-flight", str(in_flight), *flags, offset=offset)

        return sample

    return interleaved({name: of(name) for name in ("ours", *peers)}, lab.pace.rounds)


def _new_people(lab: Laboratory, number: int) -> Requests:
    count = int(NEW_A_SECOND * (lab.pace.seconds + lab.pace.warmup))
    return lab.requests(f"new-{number}", "EnsureContact", _ensures(range(count), f"new-{number}"))


def _ensures(numbers: range, series: str) -> Iterator[pb.EnsureContactRequest]:
    return (pb.EnsureContactRequest(contact=people.message(number, series)) for number in numbers)


def _figure(
    measure: str, samples: Samples, peer: str, must: float | None = None, aim: float | None = None
) -> Figure:
    ours = [sample.per_second for sample in samples["ours"]]
    theirs = [sample.per_second for sample in samples[peer]]
    return Figure(
        f"{measure} / {peer}",
        ratio(ours, theirs),
        "x",
        must,
        aim,
        ours=statistics.median(ours),
        peer=statistics.median(theirs),
        peer_name=peer,
        note=f"CPU s per 1,000 {_cost(samples['ours'])}, {peer} {_cost(samples[peer])}",
    )


def _cost(samples: Sequence[Sample]) -> str:
    """Server, mongod, load generator: of the round in the middle."""
    return sorted(samples, key=lambda sample: sample.per_second)[len(samples) // 2].cost
