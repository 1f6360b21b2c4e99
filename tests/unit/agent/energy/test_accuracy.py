"""The reduced form of tests/benchmarks/energy.py: simulated meters, seeds fixed, so nothing here is luck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulated_board.models import MODELS, Model
from tests.simulated_board.trials import score

RUNS = 40


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_energy_is_near_the_truth_and_its_interval_holds_it(model: Model) -> None:
    exact = replace(model, description=replace(model.description, gain_error=0.0, offset_error_mw=0.0))
    method = score(exact, RUNS)
    assert method.median_error <= 0.005
    assert method.p95_error <= 0.02
    stated = score(model, RUNS)
    # 40 runs of 95 %: fewer than 33 in one of 1,000 series.
    assert stated.coverage >= 33 / 40
    assert stated.voided == 0
    # An interval that is far too wide covers as well.
    assert stated.stated <= 3 * (model.description.gain_error + 0.006)
