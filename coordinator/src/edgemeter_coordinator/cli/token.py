"""`edgemeter token`: what lets boards join and users in."""

from __future__ import annotations

import re
import shlex
from typing import Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json, print_table

app = noun("Tokens that let boards join and users in.")

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration_s(text: str) -> int:
    """Seconds of "90s", "30m", "1h" or "7d". Raises typer.BadParameter."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"'{text}' is no duration: write 90s, 30m, 1h or 7d")
    return int(match[1]) * _UNIT_S[match[2]]


def parse_labels(pairs: list[str]) -> dict[str, str]:
    """Of "rack=a" each. Raises typer.BadParameter for another form, or a label given twice."""
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals and value):
            raise typer.BadParameter(f"'{pair}' is no label: write LABEL=VALUE, as in rack=a")
        if key in labels:
            raise typer.BadParameter(f"label '{key}' is given twice")
        labels[key] = value
    return labels


def join_command(address: str, token: str, ca_fingerprint: str) -> str:
    """The line to paste on a board."""
    return shlex.join(("edgemeter-agent", "join", address, token, "--ca-fingerprint", ca_fingerprint))


def login_command(address: str, token: str, ca_fingerprint: str) -> str:
    """The line for another user."""
    return shlex.join(("edgemeter", "login", address, "--token", token, "--ca-fingerprint", ca_fingerprint))


@app.command(epilog=example("edgemeter token new --label rack=a --uses 4 --expires 8h"))
@with_coordinator
def new(
    where: Where,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=VALUE", help="A label that boards get which join with it; may be repeated."
        ),
    ] = None,
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many boards may join with it.")] = 1,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="90s, 30m, 8h, 7d; 1h for boards, never for a user."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a token for this user rather than for boards.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Makes a join token and prints the one line to paste on a board. It is shown this once."""
    labels = parse_labels(label or [])
    ttl_s = parse_duration_s(expires) if expires else 0
    if user is not None and (labels or uses != 1):
        raise typer.BadParameter("--user makes no board join: it takes neither --label nor --uses")
    with where.connect() as lab:
        if user is not None:
            token = lab.new_user_token(user, ttl_s=ttl_s)
            fingerprint = lab.coordinator().ca_fingerprint
            command = login_command(lab.address, token, fingerprint)
            record: dict[str, str | None] = {
                "user": user,
                "token": token,
                "ca_fingerprint": fingerprint,
                "command": command,
            }
        else:
            made = lab.new_join_token(labels, uses=uses, ttl_s=ttl_s or 3600)
            command = join_command(made.address or lab.address, made.token, made.ca_fingerprint)
            record = _join_record(made.token, made.ca_fingerprint, made.expires_at_unix_ms, command)
    if as_json:
        print_json(record)
        return
    note("on the board:" if user is None else f"for {user}:")
    typer.echo(command)


def _join_record(
    token: str, fingerprint: str, expires_at_unix_ms: int, command: str
) -> dict[str, str | None]:
    from edgemeter_coordinator.cli import records

    return {
        "token": token,
        "ca_fingerprint": fingerprint,
        "expires_at": records.iso_time(expires_at_unix_ms),
        "command": command,
    }


@app.command(epilog=example("edgemeter token ls"))
@with_coordinator
def ls(where: Where, as_json: AsJson = False) -> None:
    """Lists the tokens: who and what for, never the secrets, which are kept hashed."""
    from edgemeter_coordinator.cli import cells, records

    with where.connect() as lab:
        tokens = [(token, records.token(token)) for token in lab.tokens()]
    if as_json:
        print_json([record for _, record in tokens])
        return
    print_table(
        ("id", "for", "user", "labels", "uses left", "expires"),
        [
            (
                token.id,
                "boards" if record["kind"] == "join" else "a user",
                token.user or cells.NONE,
                cells.labels(token.labels),
                cells.NONE if record["uses_left"] is None else str(record["uses_left"]),
                cells.ago(token.expires_at_unix_ms) if token.expires_at_unix_ms else "never",
            )
            for token, record in tokens
        ],
        empty="no tokens",
    )
