"""Workers elsewhere read what requests name, for as long as these last."""

from __future__ import annotations

from edgemeter_coordinator.conversion.worker_grant import WorkerGrant


def test_a_blob_is_readable_while_any_request_names_it() -> None:
    grant = WorkerGrant()
    with grant.reading(["a", "b"]):
        with grant.reading(["b"]):
            assert grant.may_read("b")
        assert grant.may_read("a")
        assert grant.may_read("b")
        assert not grant.may_read("c")
    assert not grant.may_read("a")
    assert not grant.may_read("b")


def test_the_token_is_one_coordinators_run_s() -> None:
    grant, other = WorkerGrant(), WorkerGrant()
    assert grant.is_worker(grant.token)
    assert not grant.is_worker(other.token)
    assert not grant.is_worker("")
    assert not grant.is_worker("ü")
    assert grant.token.startswith("em-worker-")
