"""What a plan means for a model that writes text: a query is one generation, many runs of the model. Pure."""

from __future__ import annotations

from edgemeter_protos.v1 import plan_pb2, variant_pb2

LEAST_GENERATIONS = 3
"""In a block: one that is out of the ordinary is seen to be so."""
LEAST_WARM_UP = 1


def text_plan(plan: plan_pb2.Plan, generation: variant_pb2.Generation) -> plan_pb2.Plan:
    """The plan as it is for one variant's blocks; a result has it so.

    A generation runs the model about once for each new token, so it counts for so many of the plan's queries:
    of a model that takes a second to write, the hundred queries of a standard block would be two minutes.
    There are at least LEAST_GENERATIONS in a block and LEAST_WARM_UP in its warm-up. Durations stay what they
    are: `block_min_duration_ns` makes blocks of fast models as long as any, and more of slow ones on request.
    """
    made = plan_pb2.Plan()
    made.CopyFrom(plan)
    runs = max(generation.new_tokens, 1)
    made.block_min_queries = max(-(-plan.block_min_queries // runs), LEAST_GENERATIONS)
    made.warmup_min_queries = max(-(-plan.warmup_min_queries // runs), LEAST_WARM_UP)
    return made


def refusal(plan: plan_pb2.Plan) -> str | None:
    """Why a model that writes text can't be measured so, one line; None where it can."""
    if plan.scenario not in (plan_pb2.SCENARIO_UNSPECIFIED, plan_pb2.SCENARIO_SINGLE_STREAM):
        name = plan_pb2.Scenario.Name(plan.scenario).removeprefix("SCENARIO_").lower().replace("_", "-")
        return f"a model that writes text takes one prompt after another: use single-stream, not {name}"
    if plan.batch_size > 1:
        return f"a model that writes text takes one prompt at a time: use batch_size 1, not {plan.batch_size}"
    return None
