from dataclasses import replace
from math import isfinite, nan
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import Evaluation
from kronos.report.charts.chart import RUN_COLOUR, Chart, choose_range, choose_ticks
from kronos.report.charts.chart_figure import build_panel
from kronos.report.charts.chart_picture import draw_chart
from kronos.report.charts.charts import build_charts
from kronos.report.charts.learning import StageCurves
from kronos.report.words.catalogue import Words
from tests.report.conftest import needs_chinese_font
from tests.report.made_evaluation import make_evaluation

STAGES = [StageCurves("basemodel", ((10.0, 3.0), (20.0, 2.5)), ((0.0, 4.0), (20.0, 2.6)), ((20.0, 2.6),))]
EN = Words("en")
NAMES = ["learning_curves", "error_by_horizon", "skill_by_horizon", "coverage", "pit", "reliability", "calibration"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures saved so far."""
    saved: list[Figure] = []
    monkeypatch.setattr(
        "kronos.report.charts.chart_picture.write_png", lambda figure, path: (saved.append(figure), path.touch())
    )
    return saved


def forget(evaluation: Evaluation) -> Evaluation:
    """The evaluation without a single figure of log returns."""
    unknown = HorizonFigures(overall=nan, by_horizon=(nan,) * evaluation.horizon)
    forecasters = [
        each.model_copy(
            update={"log_return": dict.fromkeys(each.log_return, unknown), "pit": (0,) * 20, "direction": None}
        )
        for each in evaluation.forecasters
    ]
    return evaluation.model_copy(update={"forecasters": forecasters, "comparisons": [], "calibration": None})


def draw(chart: Chart, path: Path) -> np.ndarray:
    draw_chart(chart, path)
    return imread(path)


def test_every_chart_in_the_order_of_the_page() -> None:
    evaluation = make_evaluation()
    charts = build_charts(evaluation, STAGES, EN)
    assert list(charts) == NAMES
    assert [len(chart.panels) for chart in charts.values()] == [1, 2, 6, 2, 6, 1, 3]
    errors = charts["error_by_horizon"].panels[0].series
    assert errors[0].y == pytest.approx([1e4 * v for v in evaluation.forecasters[0].log_return["crps"].by_horizon])
    assert [each.colour == RUN_COLOUR for each in errors] == [True] + 6 * [False]
    assert len({each.colour for each in errors}) == len(errors)
    skill = charts["skill_by_horizon"].panels[2].series[0]
    assert skill.low == pytest.approx([100 * v for v in evaluation.comparisons[2].low_by_horizon])
    pit = charts["pit"].panels[0].series[0]
    assert sum(pit.y) == pytest.approx(100) and charts["pit"].panels[0].levels == (5.0,)
    assert [round(v) for v in charts["coverage"].panels[0].series[0].x] == [0, 100]  # as stated
    own = charts["coverage"].panels[0].series[1]
    assert list(own.x) == [50, 80, 90] and own.whiskers and own.low is not None and own.low[0] < own.y[0]
    assert charts["coverage"].panels[0].series[2].low is None  # whiskers of all would cover one another
    assert charts["pit"].panels[0].expected == pytest.approx((3.5, 6.5))
    _, *shown = charts["reliability"].panels[0].series
    assert [each.label for each in shown] == ["Fine-tuned model", "Pretrained model"] and len(shown[0].x) == 7


def test_what_has_no_figures_is_not_drawn() -> None:
    assert build_charts(forget(make_evaluation()), [], EN) == {}
    labels = [panel.title for panel in build_charts(make_evaluation(), [], EN)["pit"].panels]
    assert "No change" not in labels  # one sure path has no distribution


@pytest.mark.parametrize("language", ["en", "zh"])
def test_pictures_and_page_show_the_same(language: Any, tmp_path: Path, figures: list[Figure]) -> None:
    needs_chinese_font(language)
    for chart in build_charts(make_evaluation(), STAGES, Words(language)).values():
        draw_chart(chart, tmp_path / "a.png")
        drawn = [axes for axes in figures[-1].axes if axes.axison]
        assert len(drawn) == len(chart.panels)
        for axes, panel in zip(drawn, chart.panels):
            figure = build_panel(panel)
            traces = [trace for trace in figure["data"] if trace.get("fill") != "toself"]
            assert figure["layout"]["xaxis"]["title"]["text"] == axes.get_xlabel() == panel.x_label
            if traces[0]["type"] == "bar":
                bars = [patch for patch in axes.patches if patch.get_width() > 1]  # the other is what is expected
                assert [bar.get_height() for bar in bars] == pytest.approx(traces[0]["y"])
            else:
                lines = [line for line in axes.lines if len(line.get_xdata()) == len(traces[-1]["y"])]
                assert any(np.allclose(line.get_ydata(), traces[-1]["y"], rtol=1e-6) for line in lines)


def test_a_picture_is_written_and_leaves_the_settings_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    chart = build_charts(make_evaluation(), STAGES, EN)["skill_by_horizon"]
    named = replace(chart, panels=(replace(chart.panels[0], title=r"$\frac{ <b> & 茅台"), *chart.panels[1:]))
    picture = draw(named, tmp_path / "deep" / "a.png")
    assert picture.shape[1] == 1200 and [file.name for file in (tmp_path / "deep").iterdir()] == ["a.png"]
    assert dict(matplotlib.rcParams) == before


def test_one_candle_ahead_has_an_error_bar_for_a_band(tmp_path: Path) -> None:
    charts = build_charts(make_evaluation(horizon=1), STAGES, EN)
    data = build_panel(charts["skill_by_horizon"].panels[0])["data"]
    assert len(data) == 1 and data[0]["mode"] == "lines+markers" and data[0]["error_y"]["array"][0] > 0
    for chart in charts.values():
        draw(chart, tmp_path / "a.png")


def test_gaps_are_no_zeros() -> None:
    evaluation = make_evaluation()
    found = evaluation.comparisons[0].skill_by_horizon
    changed = evaluation.comparisons[0].model_copy(
        update={"skill_by_horizon": (nan, *found[1:]), "low_by_horizon": (nan, *found[1:])}
    )
    panel = build_charts(evaluation.model_copy(update={"comparisons": [changed]}), [], EN)["skill_by_horizon"].panels[0]
    band, line = build_panel(panel)["data"]
    assert line["y"][0] is None and None not in line["y"][1:] and line["mode"] == "lines+markers"
    assert len(band["x"]) == 2 * (len(found) - 1) and None not in band["y"]
    assert all(isfinite(value) for value in panel.y_range or (nan,))


@pytest.mark.parametrize(
    "first, last, expected",
    [(1, 1, (1,)), (1, 5, (1, 2, 3, 4, 5)), (1, 24, (1, 3, 6, 9, 12, 15, 18, 21, 24)), (0, 1, (0, 1))],
)
def test_ticks_are_whole_numbers(first: int, last: int, expected: tuple[int, ...]) -> None:
    assert choose_ticks(first, last) == expected


def test_ticks_are_few_however_long_the_axis() -> None:
    for last in (7, 48, 96, 400, 12_345, 9_999_999):
        assert 3 <= len(choose_ticks(1, last)) <= 10


def test_a_range_of_nothing_and_of_one_value() -> None:
    assert choose_range([], -1, 1) == (-1, 1)
    low, high = choose_range([], 0, 100, 50.0)
    assert low < 50 < high


def test_panels_of_different_things_have_their_own_legends(tmp_path: Path, figures: list[Figure]) -> None:
    charts = build_charts(make_evaluation(), STAGES, EN)
    coverage = charts.pop("coverage")
    assert not coverage.legend and [len(legend) for legend in coverage.legends] == [7, 3]
    assert not any(any(chart.legends) for chart in charts.values())
    draw_chart(coverage, tmp_path / "a.png")
    told = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figures[-1].axes]
    assert told[1] == ["50% band", "80% band", "90% band"] and not figures[-1].legends


def test_intervals_of_single_points_are_whiskers_and_what_is_expected_is_grey() -> None:
    charts = build_charts(make_evaluation(), [], EN)
    own = build_panel(charts["coverage"].panels[0])["data"][1]
    assert own["error_y"]["array"] == pytest.approx([6.0] * 3, rel=1e-3)
    pit = build_panel(charts["pit"].panels[0])["layout"]["shapes"]
    assert [(each["type"], each["y0"], each["y1"]) for each in pit] == [
        ("rect", pytest.approx(3.5), pytest.approx(6.5)),
        ("line", 5.0, 5.0),
    ]
