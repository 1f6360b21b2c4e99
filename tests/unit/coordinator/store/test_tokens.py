from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.store import tokens
from edgemeter_coordinator.store.schema import tokens as table
from edgemeter_coordinator.tokens import TokenKind, new_secret, secret_sha256
from edgemeter_protos.v1 import refusal_pb2


def issue(connection: Connection, *, uses: int = 1, ttl_s: int = 60) -> tokens.Issued:
    return tokens.create_join(connection, user="ada", labels={"rack": "a"}, uses=uses, ttl_s=ttl_s)


def expire(connection: Connection, issued: tokens.Issued) -> None:
    connection.execute(table.update().where(table.c.id == issued.id).values(expires_at_ms=1))


def refusal(connection: Connection, secret: str) -> int:
    with pytest.raises(Refused) as refused:
        tokens.redeem(connection, secret)
    return refused.value.reason


def test_secrets_tell_their_kind_and_are_never_the_same() -> None:
    assert new_secret(TokenKind.JOIN).startswith("em-join-")
    assert new_secret(TokenKind.USER).startswith("em-user-")
    assert len({new_secret(TokenKind.JOIN) for _ in range(100)}) == 100


def test_only_the_hash_is_stored(connection: Connection) -> None:
    issued = issue(connection)
    row = connection.execute(select(table)).one()
    assert row.secret_sha256 == secret_sha256(issued.secret)
    assert issued.secret not in str(row)


def test_a_token_gives_its_labels_as_often_as_it_says(connection: Connection) -> None:
    issued = issue(connection, uses=2)
    assert tokens.redeem(connection, issued.secret) == {"rack": "a"}
    assert tokens.redeem(connection, issued.secret) == {"rack": "a"}
    assert refusal(connection, issued.secret) == refusal_pb2.REFUSAL_REASON_TOKEN_USED


def test_an_expired_token(connection: Connection) -> None:
    issued = issue(connection)
    expire(connection, issued)
    assert refusal(connection, issued.secret) == refusal_pb2.REFUSAL_REASON_TOKEN_EXPIRED


def test_a_token_of_nobody(connection: Connection) -> None:
    assert refusal(connection, "em-join-guess") == refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN
    assert refusal(connection, "") == refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN


def test_neither_kind_stands_in_for_the_other(connection: Connection) -> None:
    user = tokens.create_user(connection, user="ada")
    assert refusal(connection, user.secret) == refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN
    assert tokens.user_of(connection, issue(connection).secret) is None


def test_a_users_token_speaks_for_the_user_until_it_expires(connection: Connection) -> None:
    assert not tokens.any_user(connection)
    lasting = tokens.create_user(connection, user="ada")
    brief = tokens.create_user(connection, user="bob", ttl_s=60)
    assert tokens.any_user(connection)
    assert tokens.user_of(connection, lasting.secret) == "ada"
    assert lasting.expires_at_ms is None
    assert tokens.user_of(connection, brief.secret) == "bob"
    expire(connection, brief)
    assert tokens.user_of(connection, brief.secret) is None
    assert tokens.user_of(connection, "em-user-guess") is None


def test_every_token_is_listed_without_its_secret(connection: Connection) -> None:
    issued = issue(connection, uses=3)
    (listed,) = tokens.every(connection)
    assert (listed.id, listed.kind, listed.uses_left) == (issued.id, TokenKind.JOIN, 3)
    assert issued.secret not in repr(listed)
