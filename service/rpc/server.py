"""Where the real things are chosen and joined: store, boundary, servicer, health, reflection."""

import asyncio
import gc
import logging
from functools import partial

import grpc

from contactservice.v1 import contact_service_pb2, contact_service_pb2_grpc
from service.config import Config
from service.domain.deletion import Rules
from service.ops import memory
from service.ops.metrics import Metrics
from service.rpc import accepting
from service.rpc.audit import Audit, trail
from service.rpc.boundary import Boundary, Onlookers
from service.rpc.health import Readiness, Revive
from service.rpc.health_servicer import HealthServicer
from service.rpc.limits import Limits, buckets
from service.rpc.listening import Address, CannotServe, certificates, credentials
from service.rpc.options import OPTIONS
from service.rpc.reflection import add_reflection
from service.rpc.servicer import Servicer
from service.rpc.signers import Signers
from service.rpc.slots import Slots
from service.rpc.telemetry import Telemetry
from service.storage import linked_rows, transcode
from service.storage.connection import connect
from service.storage.gate import Gate
from service.storage.store import Store

log = logging.getLogger(__name__)

SERVICE = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"]
_OLDEST_GRPC = (1, 84)
# For the last answers to reach who reads them. Streams of health have no end, and are cut off then.
_PARTING_SECONDS = 2.0


def rules(config: Config) -> Rules:
    """What a deletion reaches, by --linked; raises LinkedFileInvalid."""
    return Rules(links=linked_rows.read(config.linked) if config.linked else ())


class Server:
    """The service on one address, whose port workers share. `start`, then `stop`; both once."""

    def __init__(
        self, config: Config, mongodb_uri: str, revive: Revive, *, shares_port: bool = False
    ) -> None:
        self._config = config
        gate = Gate(seconds=config.store_timeout)
        self.store = Store(
            connect(mongodb_uri, config.store_timeout),
            config.database,
            gate,
            batching=config.batching,
            rules=rules(config),
            unhurried=partial(connect, mongodb_uri, config.store_timeout, unhurried=True),
        )
        self.export_slots = Slots(config.export_slots_per_account, config.export_slots)
        self.watch_slots = Slots(config.watch_slots_per_account, config.watch_slots, "watch")
        self.memory = memory.guard(config.memory_limit, config.workers)
        self.limits = Limits(
            config.calls_in_flight,
            config.calls_in_flight_per_account,
            {"export_slots": self.export_slots, "watch_slots": self.watch_slots},
            buckets(config.rate_calls, config.rate_deletes, config.rate_exports),
            self.memory,
        )
        self.certificates = certificates(config)
        self.telemetry = Telemetry(self._why_not_ready)
        self._signers = Signers(self.store, config.token_keys)
        self._trail = trail(config.audit_file)
        self._credentials = credentials(config)
        self._boundary = Boundary(
            SERVICE,
            self._credentials,
            self.limits,
            config.stall_timeout,
            Onlookers(self.telemetry.tracing, Audit(self._trail, self._signers)),
        )
        self._health = HealthServicer(config.stall_timeout)
        self.readiness = Readiness(self.store, self._health, SERVICE.full_name, revive)
        options = (*OPTIONS, ("grpc.so_reuseport", int(shares_port)))
        self._grpc = accepting.server([self._boundary], options)
        self.address = Address.parse(config.address)
        self._following: list[asyncio.Task[None]] = []
        self._serving = False
        self._show(self.telemetry.metrics)

    async def start(self) -> None:
        """Binds, serves, and follows the database; raises CannotServe when the address is taken."""
        await self.telemetry.listen(self._config.ops_address)
        servicer = Servicer(self.store, self._signers)
        contact_service_pb2_grpc.add_ContactServiceServicer_to_server(servicer, self._grpc)
        self._health.serve(self._grpc)
        if self._config.reflection:
            services = [SERVICE.full_name, "grpc.health.v1.Health"]
            add_reflection(self._grpc, services, self._config.stall_timeout, self.memory)
        self.readiness.start()
        await asyncio.gather(self.readiness.look(), self._credentials.begin())
        # Last, as it listens at once: on a shared port connections would come and wait.
        try:
            port = self._bind()
        except RuntimeError as error:
            raise CannotServe(taken(self.address)) from error
        self.address = Address(self.address.host, port)
        await self._grpc.start()
        _spare_garbage_collection()
        followed = [self.readiness.follow(), self.store.sweeper.follow()]
        followed += [self.memory.follow(), self._boundary.follow()]
        if self.certificates:
            followed.append(self.certificates.follow())
        self._following = [asyncio.create_task(each) for each in followed]
        self.telemetry.start()
        self._serving = True
        if not transcode.IS_NATIVE:
            log.info("the compiled part is not built: Python serves calls and exports, which takes longer")

    async def fails(self) -> None:
        """Raises what keeps the started server from following what it depends on; does not return."""
        await asyncio.gather(*self._following)

    async def stop(self) -> None:
        """Leaves: is not ready at once, serves on for a moment, then only what is under way, then nothing."""
        self.readiness.leave()
        if self._following:
            # Those who choose among replicas need that long to hear of it.
            await asyncio.sleep(self._config.drain_delay)
        await self._boundary.drain()
        await self._boundary.idle(self._config.drain_timeout)
        self._boundary.end_streams()
        await self._grpc.stop(_PARTING_SECONDS)
        await self._boundary.idle()
        for task in self._following:
            task.cancel()
        await self.store.close()
        await self.telemetry.close()
        self._trail.close()

    def _show(self, metrics: Metrics) -> None:
        self.telemetry.show(
            self._boundary, self.limits, self.store, self.readiness, native=transcode.IS_NATIVE
        )
        metrics.read("contactservice_memory_limit_bytes", lambda: self.memory.limit)
        if certificates := self.certificates:
            metrics.read("contactservice_certificate_expires_seconds", lambda: certificates.expires_at)

    def _why_not_ready(self) -> str | None:
        return self.readiness.why_not if self._serving else "starting"

    def _bind(self) -> int:
        if self.certificates:
            return self._grpc.add_secure_port(str(self.address), self.certificates.credentials())
        return self._grpc.add_insecure_port(str(self.address))


def taken(address: Address) -> str:
    return f"{address} cannot be bound, another process may have it; choose another with --address"


def check_grpc() -> None:
    """Raises CannotServe with a gRPC that inflates requests beyond the receive limit (before 1.84)."""
    found = tuple(int(part) for part in grpc.__version__.split(".")[:2])
    if found < _OLDEST_GRPC:
        raise CannotServe(f"grpcio {grpc.__version__} is too old, 1.84 is needed")


def _spare_garbage_collection() -> None:
    # What is loaded by now stays, and need not be looked through again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
