import json
import re
import shutil
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from plotly.offline import get_plotlyjs

from kronos.config.schema import LANGUAGES
from kronos.evaluation.records import HorizonFigures, Note
from kronos.evaluation.results import Evaluation
from kronos.report.charts.chart_figure import build_panel
from kronos.report.charts.charts import build_charts
from kronos.report.verdict.page import write_report
from kronos.report.words.answers import write_answer, write_headline
from kronos.report.words.catalogue import Words, read_texts
from kronos.report.words.labels import MARK
from kronos.report.words.sentences import write_sentence
from kronos.timing import run_clock, timed
from tests.report.conftest import needs_chinese_font
from tests.report.made_evaluation import make_evaluation, make_examples, make_run
from tests.report.verdict.parsed_page import Page

CHARTS = ["learning_curves", "error_by_horizon", "skill_by_horizon", "coverage", "pit", "reliability", "calibration"]
PICTURES = {f"{name}.png" for name in (*CHARTS, "example_best", "example_median", "example_worst")}
MAX_BYTES = 6_000_000
NASTY = "a<b>&amp;</script><script>alert(1)</script>"
ENGLISH = re.compile(r"[A-Za-z]{2,}(?:[ ,:;]+[A-Za-z]{2,}){2,}")  # three words in a row


def write(folder: Path, evaluation: Evaluation | None = None, language: str = "en", **kwargs: Any) -> Path:
    run_dir, config = make_run(folder, language)
    evaluation = evaluation or make_evaluation()
    return write_report(run_dir, evaluation, config, make_examples(evaluation, **kwargs))


def test_one_page_and_its_pictures(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert path.name == "index.html" and {file.name for file in path.parent.iterdir()} == PICTURES | {"index.html"}
    assert path.stat().st_size < MAX_BYTES
    page = Page(path)
    assert not [attributes for _, attributes in page.tags if {"src", "href", "data", "action"} & set(attributes)]
    metas = [attributes for tag, attributes in page.tags if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';") and "http" not in policy
    assert "url(" not in "".join(page.texts["style"])
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    names = {attributes["aria-labelledby"] for tag, attributes in page.tags if attributes.get("role") == "img"}
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert len(names) == 25 and all(set((name or "").split()) <= ids for name in names)


@pytest.mark.slow
def test_the_page_tells_where_the_time_went(tmp_path: Path) -> None:
    assert 'id="times"' not in write(tmp_path / "without").read_text()
    with run_clock(), timed("steps"):
        page = write(tmp_path / "with").read_text()
    times = page[page.index('id="times"') : page.index("</dl>", page.index('id="times"'))]
    assert all(name in times for name in ("Pictures and page", "图片与报告页", "Total", "合计"))


@pytest.mark.slow
def test_a_picture_that_is_no_longer_meant_goes(tmp_path: Path) -> None:
    run_dir, config = make_run(tmp_path)
    evaluation = make_evaluation()
    write_report(run_dir, evaluation, config, make_examples(evaluation))
    (run_dir / "report" / "forecast_1.png").touch()  # another's
    write_report(run_dir, evaluation.model_copy(update={"calibration": None, "examples": []}), config, [])
    left = {file.name for file in (run_dir / "report").iterdir()}
    kept = {name for name in PICTURES if not name.startswith(("calibration", "example"))}
    assert left == kept | {"index.html", "forecast_1.png"}


@pytest.mark.slow
def test_other_candles_leave_the_run_s_own_report_alone(tmp_path: Path) -> None:
    (run_dir, config), evaluation = make_run(tmp_path), make_evaluation()
    own = write_report(run_dir, evaluation, config, [])
    before = {path: path.stat().st_mtime_ns for path in own.parent.iterdir()}
    other = write_report(run_dir, evaluation, config, [], run_dir / "report-later")
    assert other == run_dir / "report-later" / "index.html" and other.is_file()
    assert {path: path.stat().st_mtime_ns for path in own.parent.iterdir()} == before


@pytest.mark.slow
def test_pictures_speak_the_language_of_the_page(tmp_path: Path) -> None:
    needs_chinese_font("zh")
    pictures = [imread(write(tmp_path / tag, language=tag).parent / "pit.png") for tag in ("en", "zh")]
    if pictures[0].shape == pictures[1].shape:
        assert np.abs(pictures[0] - pictures[1]).max() > 0.5


@pytest.mark.slow
def test_nothing_in_a_name_is_taken_for_markup(tmp_path: Path) -> None:
    evaluation = make_evaluation(run=NASTY, command=NASTY, environment={NASTY: NASTY}, candles=NASTY)
    own = evaluation.forecasters[0].model_copy(update={"label": NASTY})
    example = evaluation.examples[0].model_copy(update={"symbol": NASTY})
    evaluation = evaluation.model_copy(
        update={
            "forecasters": [own, *evaluation.forecasters[1:]],
            "notes": [Note(code=NASTY), Note(code="text", texts={"en": NASTY, "zh": NASTY})],
            "examples": [example, *evaluation.examples[1:]],
        }
    )
    run_dir, config = make_run(tmp_path)
    audit = json.loads((run_dir / "data.json").read_text())
    audit["symbols"][0]["source"] = f"{NASTY}\udcff"  # a file name that is no text
    (run_dir / "data.json").write_text(json.dumps(audit))
    page = Page(write_report(run_dir, evaluation, config, make_examples(evaluation)))
    assert [tag for tag, _ in page.tags].count("script") == 3 and not [tag for tag, _ in page.tags if tag == "b"]
    assert page.texts["li"].count(NASTY) == 2
    assert f"{NASTY}\\udcff" in page.texts["td"]


@pytest.mark.slow
def test_only_pretrained_weights_may_have_seen_the_candles(tmp_path: Path) -> None:
    warning = "pretrained weights may have been trained on candles of the same time"
    assert warning in write(tmp_path / "a").read_text(encoding="utf-8")
    own = [each for each in make_evaluation().comparisons if each.baseline != "pretrained"]
    text = write(tmp_path / "b", make_evaluation(comparisons=own)).read_text(encoding="utf-8")
    assert warning not in text and "Is it any good?" in text


def lose(evaluation: Evaluation) -> Evaluation:
    """Every figure is not a number."""
    unknown = HorizonFigures(overall=nan, by_horizon=(nan,) * evaluation.horizon)
    changes = {
        "log_return": dict.fromkeys(evaluation.forecasters[0].log_return, unknown),
        "price": {"mae": unknown},
        "pit": (0,) * 20,
        "direction": None,
        "seconds": nan,
    }
    nothing = {
        **dict.fromkeys(
            [
                "skill",
                "low",
                "high",
                "p_value",
                "p_adjusted",
                "n_independent",
                "smallest_gain",
                "own_figure",
                "baseline_figure",
            ],
            nan,
        ),
        **dict.fromkeys(["skill_by_horizon", "low_by_horizon", "high_by_horizon"], (nan,) * evaluation.horizon),
    }
    return evaluation.model_copy(
        update={
            "forecasters": [each.model_copy(update=changes) for each in evaluation.forecasters],
            "comparisons": [each.model_copy(update=nothing) for each in evaluation.comparisons],
        }
    )


def forget_files(run_dir: Path) -> None:
    for path in ("data.json", "tokenizer", "basemodel"):
        (shutil.rmtree if (run_dir / path).is_dir() else Path.unlink)(run_dir / path)


BARE = {
    "comparisons": [],
    "left_out": [],
    "notes": [],
    "next_steps": [],
    "clock_times": {},
    "money": None,
    "value_at_risk": None,
    "examples": [],
    "tokenizer": None,
    "calibration": None,
}
CASES: dict[str, Callable[[], Evaluation]] = {
    "bare": lambda: make_evaluation(**BARE),
    "one candle ahead": lambda: make_evaluation(horizon=1),
    "one origin": lambda: make_evaluation(n_origins=1, first_origin="2024-05-03", last_origin="2024-05-03"),
    "nothing known": lambda: lose(make_evaluation()),
    "alone": lambda: make_evaluation(**BARE, forecasters=make_evaluation().forecasters[:1]),
}


def write_case(folder: Path, name: str) -> Path:
    run_dir, config = make_run(folder)
    evaluation = CASES[name]()
    if name in ("bare", "alone"):
        forget_files(run_dir)
    return write_report(run_dir, evaluation, config, make_examples(evaluation, horizon=1 if "candle" in name else 20))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_missing_pieces_do_not_break_it(tmp_path: Path, name: str) -> None:
    page = Page(write_case(tmp_path, name))
    assert ("–" in page.texts["td"]) == (name in ("nothing known", "bare", "one candle ahead", "one origin"))
    titles = {attributes.get("id") for tag, attributes in page.tags if tag == "h2"}
    assert ("calibration-title" in titles) == ("tokenizer-title" in titles) == (name not in ("bare", "alone"))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_prices_of_any_scale(tmp_path: Path, scale: float) -> None:
    figures, _ = read_figures(write(tmp_path, scale=scale))
    first = figures["example-best"]["data"][0]["close"][0]
    assert first == pytest.approx(20 * scale, rel=0.1)


def read_figures(path: Path) -> Any:
    """The figures of the page, and their texts by language and number."""
    values = json.loads(path.read_text(encoding="utf-8").partition('id="charts">')[2].partition("</script>")[0])
    return values["charts"], values["texts"]


def put_in(value: Any, texts: dict[str, str]) -> Any:
    """Plain values with the texts of a language, as the page's script puts them in."""
    return json.loads(MARK.sub(lambda mark: json.dumps(texts[mark[1]])[1:-1], json.dumps(value, ensure_ascii=False)))


@pytest.mark.slow
def test_figures_are_built_once_and_labelled_in_both_languages(tmp_path: Path) -> None:
    figures, texts = read_figures(write(tmp_path))
    assert texts.keys() == set(LANGUAGES) and len(json.dumps(texts)) < 0.1 * len(json.dumps(figures))
    for language in LANGUAGES:
        panel = build_charts(make_evaluation(), [], Words(language))["coverage"].panels[0]
        built, labelled = build_panel(panel), put_in(figures["coverage-1"], texts[language])
        for trace in (*built["data"], *labelled["data"]):
            del trace["meta"]  # which tells curves apart, in no language
        assert labelled == json.loads(json.dumps(built))


@pytest.mark.slow
def test_the_buttons_of_a_legend_name_the_curves_of_their_chart(tmp_path: Path) -> None:
    path = write(tmp_path)
    figures, _ = read_figures(path)
    buttons = re.findall(r'data-chart="([^"]+)" data-key="([^"]+)"', path.read_text(encoding="utf-8"))
    assert len(buttons) > 10
    for chart, key in buttons:
        traces = [trace for name in figures if name.rpartition("-")[0] == chart for trace in figures[name]["data"]]
        assert key in [trace.get("meta") for trace in traces], (chart, key)


@pytest.mark.slow
def test_figures_speak_both_languages_down_to_the_hover_texts(tmp_path: Path) -> None:
    figures, texts = read_figures(write(tmp_path))
    both = zip(read_texts("en").items(), read_texts("zh").values())
    english = [en for (key, en), zh in both if en != zh and key.startswith(("charts.", "forecast.")) and " " in en]
    for name, figure in figures.items():
        shown = re.findall(
            r'"(?:name|hovertemplate|text)": "([^"]*)"', json.dumps(put_in(figure, texts["zh"]), ensure_ascii=False)
        )
        assert shown and not [text for text in english if text in shown], name
        shown = " ".join(shown)
        assert "Forecast close" not in shown and "Known candle" not in shown
    assert "预测收盘价" in shown


class Reader:
    """A page in a browser."""

    def __init__(self, browser: Any, path: Path, width: int) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        self._browser = browser
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(path.as_uri())
        self.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        self.wait = WebDriverWait(browser, 30)
        self.wait.until(lambda _: len(self.find(".plot .main-svg")) >= len(self.find(".plot")))

    def find(self, selector: str) -> list[Any]:
        return list(self._browser.find_elements("css selector", selector))

    def run(self, script: str) -> Any:
        return self._browser.execute_script(script)

    def speak(self, tag: str) -> None:
        self.find(f'.switch button[lang="{tag}"]')[0].click()

    def check(self) -> None:
        """No error, no request, nothing beside the screen, every chart drawn."""
        assert [entry for entry in self._browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert self.run("return performance.getEntriesByType('resource').length") == 0
        width, room = self.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width <= room
        drawn = self.run(
            "return [...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll("
            "'.scatterlayer path, .barlayer path, path.box').length)"
        )
        assert all(drawn) and len(drawn) == len(self.find(".plot"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_the_page_in_a_browser(tmp_path: Path, browser: Any, width: int) -> None:
    evaluation = make_evaluation()
    reader = Reader(browser, write(tmp_path, evaluation), width)
    reader.check()
    assert (
        browser.title == f"{evaluation.run} · Kronos"
        and reader.find("h1")[0].text == write_answer(evaluation, Words("en"))[0]
    )
    row = [cell.text for cell in reader.find(".baselines tbody tr:first-child > *")]
    assert row[:2] == ["Pretrained model", "helped"] and "+8.3%" in row[2]
    assert reader.find(".baselines .sentence")[0].text == write_sentence(
        evaluation.comparisons[0], evaluation, Words("en")
    )
    assert write_headline(evaluation, Words("en")) in reader.find("#statistics > .how")[0].text
    crps = f"{1e4 * evaluation.forecasters[0].log_return['crps'].overall:.2f}"
    assert reader.find(".numbers tbody tr:nth-child(2) td.run")[0].text == crps
    assert reader.find(".legend button[data-chart=learning_curves]")[0].text == "Train loss"

    reader.speak("zh-CN")
    reader.wait.until(lambda _: "预测步" in reader.find("#error_by_horizon-1")[0].get_attribute("textContent"))
    reader.check()
    assert reader.run("return document.documentElement.lang") == "zh-CN"
    assert reader.find("h1")[0].text == write_answer(evaluation, Words("zh"))[0]
    shown = reader.find("body")[0].text + reader.run(
        "return [...document.querySelectorAll('.plot')].map(plot => plot.textContent).join('\\n')"
    )
    for name in ("NVIDIA H200", evaluation.command, evaluation.judge_new):
        shown = shown.replace(name, "")
    assert ENGLISH.findall(shown) == []

    reader.speak("en")
    reader.wait.until(lambda _: "Candles ahead" in reader.find("#error_by_horizon-1")[0].get_attribute("textContent"))
    shown = reader.find("body")[0].text.replace("中文", "")
    assert re.findall("[\u4e00-\u9fff]", shown) == []


@pytest.mark.slow
@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_first_screen_answers_three_questions(
    tmp_path: Path, browser: Any, width: int, height: int, language: str
) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(write(tmp_path, language=language).as_uri())
    script = "return [...document.querySelectorAll(arguments[0])].map(each => each.getBoundingClientRect().bottom)"
    for selector in ("h1", "header .scale", ".believe .lead", ".next li:first-child strong"):
        (bottom,) = browser.execute_script(script, selector)
        assert bottom < height, selector
    drawn = browser.execute_script("return document.querySelectorAll('#statistics .main-svg').length")
    assert drawn == 0  # charts are drawn when they are asked for


@pytest.mark.slow
def test_a_name_in_a_legend_hides_its_curve(tmp_path: Path, browser: Any) -> None:
    reader = Reader(browser, write(tmp_path), 1280)

    def count() -> list[int]:
        return [len(reader.find(f"#error_by_horizon-{n} .scatterlayer .trace")) for n in (1, 2)]

    assert count() == [7, 7]
    button = reader.find(".legend button[data-chart=error_by_horizon]")[2]
    reader.run("window.scrollTo(0, document.getElementById('error_by_horizon-title').offsetTop)")
    button.click()
    reader.wait.until(lambda _: count() == [6, 6])
    assert button.get_attribute("aria-pressed") == "false"
    reader.run("window.scrollTo(0, 0)")
    reader.speak("zh-CN")
    assert count() == [6, 6]


@pytest.mark.slow
def test_a_chinese_page_and_missing_pieces_in_a_browser(tmp_path: Path, browser: Any) -> None:
    Reader(browser, write(tmp_path / "zh", language="zh"), 390).check()
    assert browser.execute_script("return document.documentElement.lang") == "zh-CN"
    for n, name in enumerate(CASES):
        reader = Reader(browser, write_case(tmp_path / str(n), name), 390)
        reader.check()
        assert bool(reader.find(".plot")) == (name != "nothing known" or bool(reader.find(".example")))


@pytest.mark.slow
def test_without_scripts_one_language_is_shown(tmp_path: Path, browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(write(tmp_path, language="zh").as_uri())
    shown = browser.find_element("css selector", "body").text
    assert Words("zh")("page.believe") in shown and Words("en")("page.believe") not in shown


@pytest.mark.slow
def test_the_page_is_made_for_a_run_that_has_moved(tmp_path: Path) -> None:
    run_dir, config = make_run(tmp_path)
    moved = run_dir.rename(tmp_path / "moved")
    text = write_report(moved, make_evaluation(), config, []).read_text(encoding="utf-8")
    assert "43,210" in text and 'id="learning_curves-2"' in text


@pytest.mark.slow
def test_names_from_outside_control_no_page(tmp_path: Path) -> None:
    evil = "\x1b]0;name\x07\u202e\x7f \ue0000\ue001\ue00099999\ue001.csv"
    path = write(tmp_path, make_evaluation(candles=evil, metric="crps"))
    left = {each for each in path.read_text("utf-8").replace(get_plotlyjs(), "") if each in "\x1b\x07\u202e\x7f\ue000"}
    assert not left and r"\x1b]0;name\x07\u202e\u007f \ue0000\ue001" in path.read_text("utf-8")
