"""The page: what it holds, that plots are Plotly's, and that nobody's name becomes markup."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from edgemeter_coordinator.report.page import html, markdown
from edgemeter_coordinator.report.page.changes import ABSENT, BETTER, SAME, UNSURE, WORSE
from edgemeter_coordinator.report.page.page import Material, Page, answers, compose
from edgemeter_coordinator.report.page.pareto import pareto
from edgemeter_coordinator.report.page.wording import NOTHING
from edgemeter_protos.v1 import lab_pb2
from tests.unit.coordinator.report.measured import measured, void_energy
from tests.unit.coordinator.report.page.studies import (
    everything,
    language,
    material,
    perplexity,
    pictures,
    power_trace,
    result,
)
from tests.unit.coordinator.report.responses import full, nothing_measured

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>\"'|`</script>&amp;"


def page_of(*materials: Material) -> Page:
    return compose(materials, title="study", made_at=NOW, version="0.1.0")


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(*everything())


class Elements(HTMLParser):
    """Every element's name, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.found)


def test_a_part_a_study_and_a_device(page: Page) -> None:
    assert [study.title for study in page.studies] == ["pictures", "text"]
    assert [[device.name for device in study.devices] for study in page.studies] == [
        ["pi-a", "pi-b"],
        ["pi-a"],
    ]
    assert page.studies[0].missing == [("int4@tflite", "not built: the converter knows no 4 bits")]
    assert page.studies[1].attachments == [("f16@gguf", "adapter", 1_800_000, "LoRA, r 8")]


def test_the_table_says_what_was_measured_and_of_what_it_was_not(page: Page) -> None:
    on_a, on_b = page.studies[0].devices
    assert [column.name for column in on_a.table.columns] == [
        "variant",
        "size",
        "top1",
        "latency p50",
        "latency p90",
        "latency",
        "energy",
        "peak memory",
        "verdict",
    ]
    int8 = next(row for row in on_a.table.rows if row.recipe == "int8@tflite")
    assert [(cell.text, cell.under) for cell in int8.cells] == [
        ("int8@tflite", ""),
        ("108 kB", "0.27\N{MULTIPLICATION SIGN}"),
        ("0.9090", "0.8990 \N{EN DASH} 0.9190"),
        ("4.20 ms", "4.12 \N{EN DASH} 4.33 ms"),
        ("4.62 ms", "4.41 \N{EN DASH} 5.04 ms"),
        ("0.42\N{MULTIPLICATION SIGN}", "0.41 \N{EN DASH} 0.43\nfaster"),
        ("4.10 mJ", "± 150 µJ"),
        ("50.0 MB", "4.00 MB"),
        ("valid", ""),
    ]
    assert "energy" not in [column.name for column in on_b.table.columns]
    assert "Energy: not measured (the agent said nothing of it)." in on_b.table.remarks
    assert (
        "Energy of low-rank(0.5)+float32@tflite: not measured (no meter on this board)." in on_a.table.remarks
    )


def test_a_language_models_table_has_its_speeds(page: Page) -> None:
    table = page.studies[1].devices[0].table
    names = [column.name for column in table.columns]
    row = next(row for row in table.rows if row.recipe == "q8_0@gguf")
    assert row.cells[names.index("tokens/s")].text == "34.5"
    assert row.cells[names.index("first token")].text == "180 ms"
    assert row.cells[names.index("perplexity ↓")].text == "31.30"
    assert any("48 tokens after a prompt of 64" in remark for remark in table.remarks)


def test_nothing_measured_is_a_dash_and_no_key() -> None:
    """The golden pair did not match: there is a size and a verdict."""
    table = page_of(Material(study=full().study, responses=[full(), nothing_measured()])).studies[0]
    row = table.devices[0].table.rows[1]
    assert [cell.text for cell in row.cells if cell.key is None] == [NOTHING] * 4
    assert (row.cells[-1].text, row.cells[-1].under) == ("void", "golden_mismatch")


def test_changes_against_the_baseline(page: Page) -> None:
    found = {each.recipe: each for each in page.studies[0].devices[0].changes}
    worth = {
        recipe: (each.size.worth, each.quality.worth, each.latency.worth, each.energy.worth)
        for recipe, each in found.items()
    }
    assert worth == {
        "float16@tflite": (BETTER, UNSURE, UNSURE, UNSURE),
        "int8@tflite": (BETTER, UNSURE, BETTER, BETTER),
        "prune-channels(0.3)+int8@tflite": (BETTER, WORSE, BETTER, BETTER),
        "int16x8@tflite": (BETTER, UNSURE, WORSE, WORSE),
        "low-rank(0.5)+float32@tflite": (BETTER, UNSURE, ABSENT, ABSENT),
    }
    assert found["low-rank(0.5)+float32@tflite"].latency.word == "void"
    assert found["float16@tflite"].latency.word == "cannot tell"


def test_a_column_of_changes_in_energy_only_where_there_is_energy() -> None:
    bare = markdown.render(page_of(material(language())))
    assert "| against the baseline | size | quality | latency |\n| :-- | --: | --: | --: |\n| `q8" in bare
    metered = markdown.render(page_of(material(pictures())))
    assert "| quality | latency | energy |\n| :-- | --: | --: | --: | --: |\n| `float16" in metered


def test_a_recipe_that_changes_nothing() -> None:
    same = [result("a@tflite"), result("b@tflite", ratio=(1.0, 0.9, 1.1), outcome="cannot_tell")]
    (change,) = page_of(material(same)).studies[0].devices[0].changes
    assert change.size.worth == SAME
    assert change.quality.worth == ABSENT


def test_plots_are_such_as_plotly_takes(page: Page) -> None:
    assert len(page.plots) == 26
    for plot in page.plots:
        figure = go.Figure(plot.figure)
        assert len(figure.data) == len(plot.figure["data"])
        assert plot.says
        json.dumps(plot.figure, allow_nan=False)


def traces_of(plot_name: str, page: Page) -> dict[str, dict[str, object]]:
    plot = next(each for each in page.plots if each.name == plot_name)
    return {trace["meta"]: trace for trace in plot.figure["data"] if trace["mode"] == "markers+text"}


def test_the_front_is_marked_and_joined(page: Page) -> None:
    plot = page.plots[0]
    (line,) = (trace for trace in plot.figure["data"] if trace["mode"] == "lines")
    assert line["x"] == [2.6e6, 4.2e6, 10e6]
    groups = traces_of("quality-latency", page)
    assert groups["front"]["customdata"] == ["prune-channels(0.3)+int8", "int8", "float32"]
    assert groups["dominated"]["customdata"] == ["float16", "int16x8"]
    assert plot.says.startswith("On the front, from the least latency: prune-channels(0.3)+int8@tflite")


def test_void_points_are_hollow_and_never_on_the_front(page: Page) -> None:
    void = traces_of("quality-latency", page)["void"]
    assert void["customdata"] == ["low-rank(0.5)+float32"]
    assert void["marker"]["symbol"] == ["circle-open"]  # type: ignore[index]


def test_a_lower_perplexity_is_on_the_front(page: Page) -> None:
    language_page = Page(title="", studies=page.studies[1:], made_at="", version="")
    groups = traces_of("quality-latency", language_page)
    assert groups["front"]["customdata"] == ["q4_k_m", "q8_0", "f16"]


def test_without_quality_there_is_no_front(page: Page) -> None:
    advice = page.studies[0].devices[0].advice
    assert pareto([], advice) == []
    bare = page_of(material([result("a@tflite"), result("b@tflite")])).studies[0].devices[0]
    assert [plot.name for plot in bare.plots] == ["forest"]


def test_everything_that_an_agent_can_say_is_drawn() -> None:
    """Operators of many kinds, a course with gaps, a meter that was not believed."""
    page = page_of(Material(study=full().study, responses=[full(), measured()]))
    assert {"operators", "sustained"} <= {plot.name for plot in page.plots}
    void = page_of(Material(study=full().study, responses=[full(), void_energy()]))
    assert void.studies[0].devices[0].advice.choices[1].answer == "none"
    assert html.render(void)


def test_the_html_needs_nothing_beside_itself(page: Page) -> None:
    text = html.render(page)
    without_plotly = text.replace(html.plotly(), "")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", without_plotly)
    assert "url(" not in without_plotly
    policy = next(
        attributes["content"] for tag, attributes in Elements(text).found if "http-equiv" in attributes
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy


def test_every_plot_has_a_place_and_words(page: Page) -> None:
    elements = Elements(html.render(page).replace(html.plotly(), ""))
    places = [attributes for tag, attributes in elements.found if "data-plot" in attributes]
    assert [int(each["data-plot"] or "") for each in places] == list(range(len(page.plots)))
    assert all(
        (each["aria-label"] or "").startswith(page.plots[index].title) for index, each in enumerate(places)
    )


def evil() -> Page:
    """Whatever a user, a model's converter or a board may name is such a name."""
    responses = pictures()
    for index, each in enumerate(responses):
        each.manifest.recipe = f"{index}{EVIL}@tflite"
        each.manifest.notes.append(EVIL)
        each.device.name = EVIL
        each.device.facts.board = EVIL
        each.manifest.tool_versions[EVIL] = EVIL
        each.result.verdict.reasons.add(code=EVIL, detail=EVIL)
        each.result.conditions.governor = EVIL
        each.result.conditions.changes.append(EVIL)
        each.result.energy.detail = EVIL
        for operator in each.result.operators.operators:
            operator.kind = EVIL
        for metric in each.device_metrics:
            metric.metric = EVIL
    traces = {responses[0].result.trace_digest: power_trace()}
    made = material(responses, name=f"file/{EVIL}", model=EVIL, failed=[(EVIL, EVIL)], traces=traces)
    made.study.dataset_name = EVIL
    made.study.jobs.add(device_name=EVIL, state=lab_pb2.JOB_STATE_FAILED, detail=EVIL)
    return compose([made], title=EVIL, made_at=NOW, version="0.1.0")


def test_no_name_becomes_markup() -> None:
    text = html.render(evil())
    elements = Elements(text.replace(html.plotly(), ""))
    assert elements.count("img") == 0
    assert elements.count("script") == Elements(html.render(page_of(*everything()))).count("script") == 3
    assert not [attributes for _, attributes in elements.found if "onerror" in attributes]
    assert EVIL in "".join(elements.text)
    # In a script block only its end tag is read.
    assert text.count("</script") == 3


def test_no_name_becomes_markup_of_plotlys() -> None:
    for plot in evil().plots:
        for trace in plot.figure["data"]:
            for name in ("hovertext", "name", "y", "text"):
                texts = trace.get(name, [])
                for each in [texts] if isinstance(texts, str) else texts:
                    assert "<img" not in str(each)


def test_no_name_becomes_markdown() -> None:
    text = markdown.render(evil())
    # Between backticks and in lines set in by four everything is literal.
    prose = re.sub(r"(`+).*?\1", "", re.sub(r"(?m)^    .*$", "", text))
    assert not re.search(r"(?<!\\)<img", prose)
    table = [line for line in text.splitlines() if line.startswith("|") and "@tflite" in line]
    columns = {len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) for line in table[1:7]}
    assert len(columns) == 1


def test_markdown_holds_the_same(page: Page) -> None:
    text = markdown.render(page)
    assert "| pictures | pi-a | `int8@tflite`: 2.4\N{MULTIPLICATION SIGN} as fast |" in text
    assert "| `int8@tflite` | 108 kB (0.27\N{MULTIPLICATION SIGN}) |" in text
    for study in page.studies:
        for device in study.devices:
            for choice in device.advice.choices:
                assert markdown.literal(choice.headline) in text
    assert "    edgemeter study replay study-pictures.zip" in text


def test_answers_for_programs(page: Page) -> None:
    found = json.loads(json.dumps(answers(page), allow_nan=False))
    assert [(each["study"], each["device"]) for each in found] == [
        ("study/pictures", "pi-a"),
        ("study/pictures", "pi-b"),
        ("study/text", "pi-a"),
    ]
    latency = found[0]["choices"][0]
    assert latency["recipe"] == "int8@tflite"
    assert latency["ratio_ci95"] == [0.41, 0.43]
    assert found[0]["metric"] == {"name": "top1", "against": "labels", "place": "device"}


def test_variants_for_the_coordinator_alone_are_told_apart() -> None:
    """A format that no board runs is compared by its size and its quality."""
    made = material(language(), name="study/text")
    variant = made.study.variants.add(
        variant_id="text-int4", recipe="int4@torch-llm", state=lab_pb2.VARIANT_STATE_READY
    )
    variant.manifest.size_bytes = 90_000_000
    variant.manifest.metrics.extend(perplexity(33.0, (1.05, 1.04, 1.06)))
    page = page_of(made)
    table = page.studies[0].unmeasured
    assert table is not None
    assert [column.name for column in table.columns] == ["variant", "size", "perplexity", "perplexity_ratio"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["int4@torch-llm", "90.0 MB", "33.00", "1.050"]
    ]
    assert "Built, and measured on no board" in html.render(page)
    assert "### Built, and measured on no board" in markdown.render(page)
    assert page_of(material(language())).studies[0].unmeasured is None


def test_late_results_are_left_out() -> None:
    late = result("int8@tflite")
    late.late = True
    assert len(page_of(material([result("float32@tflite"), late])).studies[0].devices[0].table.rows) == 1


def test_a_study_without_results_is_said() -> None:
    study = lab_pb2.Study(name="new", model_name="net", state=lab_pb2.STUDY_STATE_CONVERTING)
    page = page_of(Material(study=study, responses=[]))
    assert "No result yet: converting." in html.render(page)
    assert "No result yet." in markdown.render(page)


def test_the_language_models_plan_is_told() -> None:
    (study,) = page_of(material(language(), name="study/text", model="writer")).studies
    assert study.repeat.seeds == "plan 0; conversion 7"
    assert ("keras", "3.15.0") in study.repeat.tools
