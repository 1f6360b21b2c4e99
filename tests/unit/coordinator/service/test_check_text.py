"""Plans that a model which writes text is not measured by."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service.submission import check_text
from edgemeter_protos import plans
from edgemeter_protos.v1 import refusal_pb2


def test_batches_are_refused_before_anything_is_built() -> None:
    plan = plans.resolve("quick", scenario="offline", batch_size=4)
    with pytest.raises(Refused, match="use single-stream, not offline") as refused:
        check_text("llama", plan)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST


@pytest.mark.parametrize(
    ("framework", "scenario"), [("llama", "single-stream"), ("keras", "offline"), ("torch", "server")]
)
def test_others_are_none_of_its_business(framework: str, scenario: str) -> None:
    numbers: dict[str, plans.Value] = {"target_qps": 10.0} if scenario == "server" else {}
    check_text(framework, plans.resolve("quick", scenario=scenario, **numbers))
