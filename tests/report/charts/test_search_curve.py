"""The curve of a search over one key."""

from math import inf
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from kronos.report.charts.search_curve import draw_search_curve
from kronos.report.words.catalogue import Words
from kronos.tuning.plan import TrialResult, TrialStatus
from kronos.tuning.search import SearchResult
from kronos.tuning.space import Parameter

KEY = "training.predictor_learning_rate"
RATE = Parameter(KEY, 1e-6, 1e-1, log=True)


def make_trial(number: int, value: object, loss: float, status: TrialStatus = "done", key: str = KEY) -> TrialResult:
    return TrialResult(number, {key: value}, status, loss, 1.0)


def make_result(*trials: TrialResult) -> SearchResult:
    return SearchResult(trials, 0, Path("best.yaml"), Path("trial"), Path("trial/basemodel/best_model"), 4.0, {})


TRIALS = make_result(
    make_trial(0, 1e-3, 2.0),
    make_trial(2, 1e-2, 2.5),
    make_trial(1, 1e-4, 3.0),
    make_trial(3, 1e-5, 3.9, "pruned"),
    make_trial(4, 0.1, inf, "failed"),
)


def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object, language: str = "en") -> Figure:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (figures.append(self), path.touch()))
    draw_search_curve(*arguments, tmp_path / "curve.png", "title", Words(language))
    return figures[0]


def test_trials_and_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = draw(tmp_path, monkeypatch, TRIALS, RATE, 4e-5).axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["Finished trial"] == [[1e-4, 3.0], [1e-3, 2.0], [1e-2, 2.5]], "by the value of the key"
    assert lines["Stopped early (not better than the others)"] == [[1e-5, 3.9]]
    assert [x for x, _ in lines["Diverged or failed"]] == [0.1]
    assert lines["Best: 0.001 (loss 2.00000)"] == [[1e-3, 2.0]]
    assert lines["Configured: 4e-05"][0][0] == 4e-5 and lines["Before training: 4.00000"][0][1] == 4.0
    assert axes.get_xscale() == "log" and axes.get_xlabel() == f"{KEY} (log scale)"


def test_choices_are_drawn_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Parameter("training.batch_size", choices=(16, 32))
    result = make_result(*(make_trial(n, value, 2.0 + n, key=batch.key) for n, value in enumerate(("32", "16"))))
    axes = draw(tmp_path, monkeypatch, result, batch, None).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[16.0, 3.0], [32.0, 2.0]] and axes.get_xscale() == "linear"
    assert not [line for line in axes.lines if line.get_label().startswith("Configured")]


@pytest.mark.parametrize("language, label", [("en", "Lowest validation loss"), ("zh", "最低验证损失")])
def test_the_picture_in_both_languages(tmp_path: Path, language: str, label: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        assert draw(tmp_path, patched, TRIALS, RATE, 4e-5, language=language).axes[0].get_ylabel() == label
    draw_search_curve(TRIALS, RATE, 4e-5, tmp_path / "curve.png", "试验", Words(language))
    assert imread(tmp_path / "curve.png").shape[:2] == (700, 1200)
