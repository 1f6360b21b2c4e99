"""Join tokens and users' tokens: never the secrets, only their hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from edgemeter_coordinator.ids import new_id
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import tokens
from edgemeter_coordinator.tokens import TokenKind, new_secret, secret_sha256
from edgemeter_protos.v1 import refusal_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """A new token. This is the only time that its secret is known."""

    id: str
    secret: str
    expires_at_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    id: str
    kind: TokenKind
    user: str
    labels: Mapping[str, str]
    uses_left: int | None
    expires_at_ms: int | None
    created_at_ms: int


def create_join(
    connection: Connection, *, user: str, labels: Mapping[str, str], uses: int, ttl_s: int
) -> Issued:
    """A token by which `uses` boards may join within `ttl_s`; they get `labels`."""
    return _create(connection, TokenKind.JOIN, user=user, labels=labels, uses=uses, ttl_s=ttl_s)


def create_user(connection: Connection, *, user: str, ttl_s: int = 0, secret: str | None = None) -> Issued:
    """A token that speaks for `user`; a `ttl_s` of 0 never expires. `secret` is made where none is given."""
    return _create(connection, TokenKind.USER, user=user, labels={}, uses=None, ttl_s=ttl_s, secret=secret)


def redeem(connection: Connection, secret: str) -> Mapping[str, str]:
    """Uses up one use of a join token; the labels that it gives.

    Raises Refused: TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED.
    """
    token = (tokens.c.secret_sha256 == secret_sha256(secret)) & (tokens.c.kind == TokenKind.JOIN)
    now = now_ms(connection)
    # One statement, so that of two boards with one use left only one joins.
    labels = connection.execute(
        tokens.update()
        .where(token, tokens.c.uses_left > 0, tokens.c.expires_at_ms > now)
        .values(uses_left=tokens.c.uses_left - 1)
        .returning(tokens.c.labels)
    ).scalar_one_or_none()
    if labels is not None:
        return dict(labels)
    row = connection.execute(select(tokens.c.uses_left).where(token)).one_or_none()
    if row is None:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN,
            "this coordinator gave out no such join token: "
            "copy the whole line that 'edgemeter token new' prints",
        )
    if row.uses_left <= 0:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_TOKEN_USED,
            "this join token has been used up: make another with 'edgemeter token new'",
        )
    raise Refused(
        refusal_pb2.REFUSAL_REASON_TOKEN_EXPIRED,
        "this join token has expired: make another with 'edgemeter token new'",
    )


def user_of(connection: Connection, secret: str) -> str | None:
    """Whom a user's token speaks for; None where it is unknown or has expired."""
    user: str | None = connection.execute(
        select(tokens.c.user).where(
            tokens.c.secret_sha256 == secret_sha256(secret),
            tokens.c.kind == TokenKind.USER,
            or_(tokens.c.expires_at_ms.is_(None), tokens.c.expires_at_ms > now_ms(connection)),
        )
    ).scalar_one_or_none()
    return user


def any_user(connection: Connection) -> bool:
    """Whether a user's token was ever made here."""
    count = select(func.count()).select_from(tokens).where(tokens.c.kind == TokenKind.USER)
    return connection.execute(count).scalar_one() > 0


def every(connection: Connection) -> list[Token]:
    """All tokens, the oldest first."""
    rows = connection.execute(select(tokens).order_by(tokens.c.created_at_ms, tokens.c.id))
    return [
        Token(
            id=row.id,
            kind=TokenKind(row.kind),
            user=row.user,
            labels=dict(row.labels),
            uses_left=row.uses_left,
            expires_at_ms=row.expires_at_ms,
            created_at_ms=row.created_at_ms,
        )
        for row in rows
    ]


def _create(
    connection: Connection,
    kind: TokenKind,
    *,
    user: str,
    labels: Mapping[str, str],
    uses: int | None,
    ttl_s: int,
    secret: str | None = None,
) -> Issued:
    secret = secret or new_secret(kind)
    now = now_ms(connection)
    issued = Issued(id=new_id(), secret=secret, expires_at_ms=now + ttl_s * 1000 if ttl_s else None)
    connection.execute(
        tokens.insert().values(
            id=issued.id,
            kind=kind,
            secret_sha256=secret_sha256(secret),
            user=user,
            labels=dict(labels),
            uses_left=uses,
            expires_at_ms=issued.expires_at_ms,
            created_at_ms=now,
        )
    )
    return issued
