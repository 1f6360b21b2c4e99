"""Who may call what: the one place where that is decided.

Every RPC of a port stands in that port's table with the identity that it needs; one that doesn't stand
there is denied. The guard also turns exceptions into what a caller may see: a typed refusal, or
"internal error" with the id under which the log has the rest.
"""

from __future__ import annotations

import errno
import inspect
import logging
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Never

import grpc
import grpc.aio
from sqlalchemy.exc import DBAPIError

from edgemeter_coordinator.authority import certificate_identity
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service import refusal
from edgemeter_coordinator.store import devices, tokens
from edgemeter_coordinator.store.database import Database
from edgemeter_protos.v1 import enrolment_pb2, fleet_pb2, lab_pb2, refusal_pb2

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

BELIEVED_FOR_S = 2.0
"""How long an identity that was looked up is believed without looking again."""
MAX_BELIEVED = 20_000


class Need(Enum):
    """What a caller must be."""

    ANYBODY = auto()
    USER = auto()
    BOARD = auto()
    USER_OR_WORKER = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    device_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A conversion worker on another machine: it reads the blobs that its requests name, and puts others."""


Caller = User | Board | Worker | None


def _rules(service: Any, need: Need) -> dict[str, Need]:
    return {f"/{service.full_name}/{method.name}": need for method in service.methods}


def _blobs(need: Need) -> dict[str, Need]:
    return {f"/edgemeter.v1.Blobs/{method}": need for method in ("Stat", "Fetch", "Put")}


USERS_PORT: Mapping[str, Need] = {
    **_rules(enrolment_pb2.DESCRIPTOR.services_by_name["Enrolment"], Need.ANYBODY),
    **_rules(lab_pb2.DESCRIPTOR.services_by_name["Lab"], Need.USER),
    **_blobs(Need.USER_OR_WORKER),
}
FLEET_PORT: Mapping[str, Need] = {
    **_rules(fleet_pb2.DESCRIPTOR.services_by_name["Fleet"], Need.BOARD),
    **_blobs(Need.BOARD),
}

_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Who makes the call that is being served."""
    return _caller.get()


def user() -> User:
    """The user who makes the call. Refused (NOT_ALLOWED) where it is none."""
    found = caller()
    if not isinstance(found, User):
        raise Refused(refusal_pb2.REFUSAL_REASON_NOT_ALLOWED, "only a user may call this")
    return found


def board() -> Board:
    """The board that makes the call. Refused (NOT_ALLOWED) where it is none."""
    found = caller()
    if not isinstance(found, Board):
        raise Refused(refusal_pb2.REFUSAL_REASON_NOT_ALLOWED, "only a board may call this")
    return found


class Identities:
    """Looks callers up in the database, and believes what it found for a moment."""

    def __init__(self, database: Database, is_worker: Callable[[str], bool] = lambda _secret: False) -> None:
        self._database = database
        self._is_worker = is_worker
        self._believed: OrderedDict[bytes, tuple[float, User | Board]] = OrderedDict()

    async def of(self, need: Need, context: Context) -> Caller:
        """The caller of a call that needs `need`. Raises Refused (UNAUTHENTICATED, DEVICE_UNKNOWN)."""
        match need:
            case Need.ANYBODY:
                return None
            case Need.USER:
                return await self._look_up(_bearer(context), self._user)
            case Need.USER_OR_WORKER:
                proof = _bearer(context)
                if self._is_worker(proof.decode(errors="replace")):
                    return Worker()
                return await self._look_up(proof, self._user)
            case Need.BOARD:
                return await self._look_up(_certificate(context), self._board)

    def forget(self) -> None:
        """Looks everybody up anew from now on: a certificate or a token was withdrawn."""
        self._believed.clear()

    async def _look_up(
        self, proof: bytes, look_up: Callable[[bytes], Awaitable[User | Board]]
    ) -> User | Board:
        now = time.monotonic()
        believed = self._believed.get(proof)
        if believed is not None and believed[0] > now:
            return believed[1]
        found = await look_up(proof)
        self._believed[proof] = (now + BELIEVED_FOR_S, found)
        self._believed.move_to_end(proof)
        if len(self._believed) > MAX_BELIEVED:
            self._believed.popitem(last=False)
        return found

    async def _user(self, proof: bytes) -> User:
        name = await self._database.transact(tokens.user_of, proof.decode(errors="replace"))
        if name is None:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED,
                "this token is unknown here or has expired: log in again with 'edgemeter login'",
            )
        return User(name=name)

    async def _board(self, proof: bytes) -> Board:
        device_id, sha256 = certificate_identity(proof)
        if not await self._database.transact(devices.accepts, device_id, sha256):
            raise Refused(
                refusal_pb2.REFUSAL_REASON_DEVICE_UNKNOWN,
                "this board's certificate is not one that this coordinator accepts: join again",
            )
        return Board(device_id=device_id)


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every RPC of a port."""

    def __init__(self, rules: Mapping[str, Need], identities: Identities) -> None:
        self._rules = rules
        self._identities = identities

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        method = handler_call_details.method
        kind = _kind(handler)
        guarded = self._guarded(method, getattr(handler, kind))
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        guarded_handler: grpc.RpcMethodHandler[Any, Any] = make(
            guarded, handler.request_deserializer, handler.response_serializer
        )
        return guarded_handler

    def _guarded(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        need = self._rules.get(method)

        async def enter(context: Context) -> None:
            if need is None:
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_NOT_ALLOWED, f"{method} may not be called on this port"
                )
            _caller.set(await self._identities.of(need, context))

        async def answer(request: Any, context: Context) -> Any:
            try:
                await enter(context)
                return await behaviour(request, context)
            except Exception as error:
                await _give_up(error, method, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                await enter(context)
                async for response in behaviour(request, context):
                    yield response
            except Exception as error:
                await _give_up(error, method, context)

        return stream if inspect.isasyncgenfunction(behaviour) else answer


async def _give_up(error: Exception, method: str, context: Context) -> Never:
    if isinstance(error, Refused):
        await refusal.abort(context, error)
    if isinstance(error, grpc.aio.BaseError):
        raise error  # aborted already, or the call is over
    if _is_full_disk(error):
        log.error("no space left for %s: %s", method, error)
        await refusal.abort(
            context,
            Refused(
                refusal_pb2.REFUSAL_REASON_DISK_FULL,
                "the coordinator's disk is full: free some space there and try again",
            ),
        )
    incident = secrets.token_hex(4)
    log.error("internal error %s in %s", incident, method, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL, f"internal error {incident}: the coordinator's log says more"
    )


def _is_full_disk(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _kind(handler: Any) -> str:
    request = "stream" if handler.request_streaming else "unary"
    response = "stream" if handler.response_streaming else "unary"
    return f"{request}_{response}"


def _bearer(context: Context) -> bytes:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            scheme, _, secret = text.partition(" ")
            if scheme.lower() == "bearer" and secret:
                return str(secret).strip().encode()
    raise Refused(
        refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED, "a user's token is needed: log in with 'edgemeter login'"
    )


def _certificate(context: Context) -> bytes:
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return bytes(pem)
    raise Refused(refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED, "a board's certificate is needed: join first")
