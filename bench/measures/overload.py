"""When too much is asked: what a refusal costs, whom a noisy account disturbs, what is still answered."""

import statistics
import time

from grpc_health.v1 import health_pb2

from bench import people, processes
from bench.figures import Figure, interleaved, ratio
from bench.laboratory import CALLERS, Laboratory, Sample
from bench.load_generator import Requests, outcome
from bench.processes import Running
from contactservice.v1 import contact_service_pb2 as pb

OK = "0"
CHECK = "/grpc.health.v1.Health/Check"
CHECKS_A_SECOND = 20
ALLOWED, QUIET_SHARE, NOISE = 20, 0.5, 50
# So that the slowest percent of 200 calls a second are two dozen, not eight.
QUIET_TIMES = 3
QUIET = tuple(f"quiet-{number}" for number in range(20))
TIMES = 10
CONNECTIONS = 10
RECOVERY_SECONDS = 5
NORMAL_RATE = 200


def refusals(lab: Laboratory) -> list[Figure]:
    """CPU of the service for a call that is refused for its rate, beside one that is answered."""
    requests = lab.get_requests()
    with lab.fresh_service("--rate-calls", "1/h:1") as refusing:
        contestants = {
            "refused": lambda _: _cpu_of_call(lab, refusing, requests),
            "answered": lambda _: _cpu_of_call(lab, lab.ours, requests),
        }
        costs = interleaved(contestants, lab.pace.rounds)
    refused, answered = (statistics.median(costs[name]) for name in ("refused", "answered"))
    return [
        Figure("CPU of a refused call", refused, "ms", 0.3, None, True, refused, answered, "answered", "ms"),
    ]


def noisy(lab: Laboratory) -> list[Figure]:
    """The p99 of twenty accounts below their rates, alone and beside one at fifty times its own."""
    lab.tokens.setdefault("*", processes.token(lab.token_file, "*"))
    known = (pb.EnsureContactRequest(contact=people.message(number)) for number in range(100))
    requests = lab.requests("ensure-quiet", "EnsureContact", known)
    with lab.fresh_service("--rate-calls", f"{ALLOWED}/s:{5 * ALLOWED}") as service:
        samples = interleaved(
            {
                "alone": lambda _: _quiet(lab, service, requests),
                "beside": lambda _: _quiet_beside_noise(lab, service, requests),
            },
            lab.pace.rounds,
        )
    alone, beside = ([sample.p99 for sample in samples[name]] for name in ("alone", "beside"))
    return [
        Figure(
            f"p99 of quiet accounts beside one at {NOISE} x its rate / alone",
            ratio(beside, alone),
            "x",
            1.2,
            None,
            True,
            statistics.median(beside),
            statistics.median(alone),
            "alone",
            "ms",
        )
    ]


def overload(lab: Laboratory) -> list[Figure]:
    """Ten times as many calls at once as saturate it, then ten times as many a second as it can answer."""
    requests = lab.get_requests()
    peak = lab.sample(lab.ours, requests, "-in-flight", "64").per_second
    at_once = ("-in-flight", str(TIMES * 64), "-connections", str(CONNECTIONS))
    a_second = ("-rate", f"{TIMES * peak:.0f}", "-connections", str(CONNECTIONS))
    return [
        *_under(lab, requests, peak, f"{TIMES} x the calls at once", *at_once),
        *_under(lab, requests, peak, f"{TIMES} x the calls a second", *a_second),
    ]


def _under(lab: Laboratory, requests: Requests, peak: float, name: str, *flags: str) -> list[Figure]:
    normal = lab.sample(lab.ours, requests, "-rate", str(NORMAL_RATE)).p99
    length = lab.pace.warmup + lab.pace.seconds
    ends = time.monotonic() + length
    flood = (*flags, "-seconds", str(length))
    with lab.load.start(lab.ours.address, lab.tokens[CALLERS], requests, *flood) as flooding:
        health = _longest_check(lab)
        time.sleep(max(0.0, ends - time.monotonic()))
        # What waits in queues when the flood ends is part of the way back.
        recovered = _seconds_until_normal(lab, requests, normal)
        said = outcome(flooding, requests.method, flood)
    answered = said["statuses"].get(OK, 0) / length
    others = ", ".join(f"{count} x status {each}" for each, count in said["statuses"].items() if each != OK)
    return [
        Figure(
            f"answered under {name}", answered / peak, "x", 0.8, None, False, answered, peak, "peak", others
        ),
        Figure(f"longest health check under {name}", health, "ms", 100, None, True),
        Figure(f"normal again after {name}", recovered, "s", RECOVERY_SECONDS, None, True),
    ]


def _longest_check(lab: Laboratory) -> float:
    """Of the health checks during the pace's seconds, in ms."""
    empty = lab.requests("check", CHECK, iter([health_pb2.HealthCheckRequest()]))
    length = ("-seconds", str(lab.pace.seconds))
    said = lab.load.run(lab.ours.address, "", empty, "-rate", str(CHECKS_A_SECOND), *length)
    return float(said["latency_ms"]["max"])


def _seconds_until_normal(lab: Laboratory, requests: Requests, normal: float) -> float:
    """Until half a second of calls at a small rate are all answered and do not take twice as long."""
    began = time.monotonic()
    flags = ("-rate", str(NORMAL_RATE), "-seconds", "0.5")
    while time.monotonic() - began < 4 * RECOVERY_SECONDS:
        with lab.load.start(lab.ours.address, lab.tokens[CALLERS], requests, *flags) as window:
            said = outcome(window, requests.method, flags)
        if said["statuses"].keys() == {OK} and said["latency_ms"]["p99"] < 2 * normal:
            break
    return time.monotonic() - began


def _cpu_of_call(lab: Laboratory, server: Running, requests: Requests) -> float:
    before = processes.cpu_seconds(server.pid)
    flags = ("-in-flight", "16", "-seconds", str(lab.pace.seconds))
    with lab.load.start(server.address, lab.tokens[CALLERS], requests, *flags) as running:
        said = outcome(running, requests.method, flags)
    return 1000 * (processes.cpu_seconds(server.pid) - before) / said["total_calls"]


def _quiet(lab: Laboratory, service: Running, requests: Requests) -> Sample:
    rate = str(ALLOWED * QUIET_SHARE * len(QUIET))
    spread = ("-connections", str(len(QUIET)), "-accounts", ",".join(QUIET))
    return lab.sample(service, requests, "-rate", rate, *spread, account="*", times=QUIET_TIMES)


def _quiet_beside_noise(lab: Laboratory, service: Running, requests: Requests) -> Sample:
    length = ("-seconds", str(lab.pace.warmup + QUIET_TIMES * lab.pace.seconds))
    flags = ("-rate", str(ALLOWED * NOISE), "-accounts", "noisy", *length)
    with lab.load.start(service.address, lab.tokens["*"], requests, *flags) as noise:
        sample = _quiet(lab, service, requests)
        outcome(noise, requests.method, flags)
    return sample
