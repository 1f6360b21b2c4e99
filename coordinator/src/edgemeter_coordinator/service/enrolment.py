"""Boards join here: a token in, a certificate out."""

from __future__ import annotations

from typing import Any

import grpc.aio
from sqlalchemy import Connection

from edgemeter_coordinator.authority import Authority
from edgemeter_coordinator.ids import new_id
from edgemeter_coordinator.store import devices, tokens
from edgemeter_coordinator.store.database import Database
from edgemeter_protos.v1 import enrolment_pb2, enrolment_pb2_grpc


class EnrolmentService(enrolment_pb2_grpc.EnrolmentServicer):
    def __init__(self, *, database: Database, authority: Authority, fleet_port: int) -> None:
        self._database = database
        self._authority = authority
        self._fleet_port = fleet_port

    async def GetAuthority(  # noqa: N802
        self,
        request: enrolment_pb2.GetAuthorityRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> enrolment_pb2.GetAuthorityResponse:
        return enrolment_pb2.GetAuthorityResponse(ca_pem=self._authority.ca_pem)

    async def Enrol(  # noqa: N802
        self,
        request: enrolment_pb2.EnrolRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> enrolment_pb2.EnrolResponse:
        enrolled = await self._database.transact(self._enrol, request)
        return enrolment_pb2.EnrolResponse(enrolled=enrolled)

    def _enrol(self, connection: Connection, request: enrolment_pb2.EnrolRequest) -> enrolment_pb2.Enrolled:
        """In one transaction: a request that is refused uses up nothing."""
        labels = tokens.redeem(connection, request.token)
        device_id = new_id()
        certificate = self._authority.sign_device(request.csr_pem, device_id)
        name = devices.insert(
            connection,
            device_id=device_id,
            wanted_name=request.name or request.facts.hostname,
            labels=labels,
            facts=request.facts,
            certificate_sha256=certificate.sha256,
        )
        return enrolment_pb2.Enrolled(
            device_id=device_id,
            name=name,
            certificate_chain_pem=certificate.chain_pem,
            fleet_port=self._fleet_port,
        )
