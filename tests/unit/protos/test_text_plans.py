"""Plans for models that write text."""

from __future__ import annotations

import pytest

from edgemeter_protos import plans
from edgemeter_protos.text_plans import refusal, text_plan
from edgemeter_protos.v1 import plan_pb2, variant_pb2


@pytest.mark.parametrize(
    ("queries", "warm_up", "new_tokens", "counts"),
    [
        # quick and standard, of a usual generation
        (64, 10, 48, (3, 1)),
        (100, 10, 48, (3, 1)),
        # one token a generation: it is a query like any other
        (64, 10, 1, (64, 10)),
        (1000, 100, 48, (21, 3)),
        # never fewer than three, whatever the plan says
        (1, 0, 48, (3, 1)),
        (0, 0, 0, (3, 1)),
    ],
)
def test_a_generation_counts_for_as_many_queries_as_it_writes_tokens(
    queries: int, warm_up: int, new_tokens: int, counts: tuple[int, int]
) -> None:
    plan = plans.resolve("standard")
    plan.block_min_queries, plan.warmup_min_queries = queries, warm_up
    made = text_plan(plan, variant_pb2.Generation(new_tokens=new_tokens))
    assert (made.block_min_queries, made.warmup_min_queries) == counts
    made.block_min_queries, made.warmup_min_queries = queries, warm_up
    assert made == plan


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({}, None),
        ({"scenario": plan_pb2.SCENARIO_UNSPECIFIED}, None),
        ({"scenario": plan_pb2.SCENARIO_OFFLINE}, "use single-stream, not offline"),
        ({"scenario": plan_pb2.SCENARIO_MULTI_STREAM}, "use single-stream, not multi-stream"),
        ({"scenario": plan_pb2.SCENARIO_SERVER}, "use single-stream, not server"),
        ({"batch_size": 4}, "use batch_size 1, not 4"),
    ],
)
def test_texts_are_written_one_after_another(numbers: dict[str, int], said: str | None) -> None:
    plan = plans.resolve("quick")
    for name, value in numbers.items():
        setattr(plan, name, value)
    found = refusal(plan)
    assert (found is None) if said is None else (found is not None and found.endswith(said))
