from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edgemeter_coordinator.authority import certificate_identity
from edgemeter_coordinator.store import devices
from edgemeter_coordinator.store import tokens as token_store
from edgemeter_coordinator.store.schema import tokens
from edgemeter_protos.v1 import enrolment_pb2, enrolment_pb2_grpc, fleet_pb2, refusal_pb2
from tests.integration.coordinator.fleet.conftest import Site, key_pem, refusal_of, signing_request


@pytest.fixture
def csr() -> str:
    return signing_request(ec.generate_private_key(ec.SECP256R1()))


async def test_the_authority_is_told_to_anybody(site: Site) -> None:
    stub = enrolment_pb2_grpc.EnrolmentStub(site.users_channel())
    response = await stub.GetAuthority(enrolment_pb2.GetAuthorityRequest())
    assert response.ca_pem == site.coordinator.ca_pem
    _, sha256 = certificate_identity(response.ca_pem.encode())
    assert site.coordinator.ca_fingerprint == f"sha256:{sha256}"


async def test_a_board_joins_with_the_labels_of_its_token(site: Site) -> None:
    board = await site.join("pi5")
    assert (await board.attach()).welcome.epoch == 1
    device = await site.database(devices.get, board.device_id)
    assert device is not None
    assert (device.name, device.labels, device.attached) == ("pi5", {"rack": "a"}, True)


async def test_the_names_in_a_request_mean_nothing(site: Site) -> None:
    first = await site.join()
    key = ec.generate_private_key(ec.SECP256R1())
    token = await site.join_token()
    enrolled = await site.enrol(token.secret, signing_request(key, first.device_id))
    assert enrolled.device_id != first.device_id
    name, _ = certificate_identity(enrolled.certificate_chain_pem.encode())
    assert name == enrolled.device_id
    impostor = site.board(enrolled, key_pem(key))
    await impostor.attach()
    device = await site.database(devices.get, first.device_id)
    assert device is not None
    assert device.epoch == 0


async def test_a_used_token(site: Site, csr: str) -> None:
    token = await site.join_token()
    await site.enrol(token.secret, csr)
    assert await refusal_of(site.enrol(token.secret, csr)) == refusal_pb2.REFUSAL_REASON_TOKEN_USED


async def test_a_token_with_two_uses_and_three_boards_at_once(site: Site, csr: str) -> None:
    token = await site.join_token(uses=2)
    outcomes = await asyncio.gather(
        *(site.enrol(token.secret, csr) for _ in range(3)), return_exceptions=True
    )
    joined = [outcome.name for outcome in outcomes if isinstance(outcome, enrolment_pb2.Enrolled)]
    assert sorted(joined) == ["pi", "pi-2"]
    assert sum(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes) == 1


async def test_an_expired_token(site: Site, csr: str) -> None:
    token = await site.join_token()
    await site.database(lambda connection: connection.execute(tokens.update().values(expires_at_ms=1)))
    assert await refusal_of(site.enrol(token.secret, csr)) == refusal_pb2.REFUSAL_REASON_TOKEN_EXPIRED


@pytest.mark.parametrize("secret", ["", "em-join-guess", "x" * 10_000, "\0"])
async def test_an_unknown_token(site: Site, csr: str, secret: str) -> None:
    assert await refusal_of(site.enrol(secret, csr)) == refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN


async def test_a_users_token_lets_no_board_in(site: Site, csr: str) -> None:
    assert await refusal_of(site.enrol(site.owner_token, csr)) == refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN


async def test_a_request_that_is_refused_uses_up_nothing(site: Site, csr: str) -> None:
    token = await site.join_token()
    assert await refusal_of(site.enrol(token.secret, "rubbish")) == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    assert (await site.database(token_store.every))[-1].uses_left == 1
    await site.enrol(token.secret, csr)


async def test_without_a_certificate_nobody_comes_to_the_fleet(site: Site) -> None:
    channel = site.channel(site.coordinator.fleet_port)
    call: Any = channel.unary_unary(
        "/edgemeter.v1.Fleet/Claim", request_serializer=fleet_pb2.ClaimRequest.SerializeToString
    )
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(fleet_pb2.ClaimRequest())
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_servers_own_certificate_is_no_boards(site: Site) -> None:
    tls = site.state_dir / "tls"
    enrolled = enrolment_pb2.Enrolled(certificate_chain_pem=(tls / "server.pem").read_text())
    board = site.board(enrolled, (tls / "server.key").read_bytes())
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await board.fleet.Claim(fleet_pb2.ClaimRequest())
    assert failed.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)
