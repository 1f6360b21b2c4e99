from __future__ import annotations

import pytest

from edgemeter_converters import tasks


def test_which_tasks_are_learned_by_cross_entropy() -> None:
    assert {name for name in tasks.TASKS if tasks.scores_classes(name)} == {
        "classification",
        "next-character",
    }
    # Their labels are classes, their outputs are not scores of them.
    assert {"anomaly", "encoder"} <= set(tasks.TASKS)


@pytest.mark.parametrize("text", ["", "detection(centernet, classes=80)", "encoder(mask=1)"])
def test_no_task_and_one_with_arguments_score_no_classes(text: str) -> None:
    assert not tasks.scores_classes(text)
