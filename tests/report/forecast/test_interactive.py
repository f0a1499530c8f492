import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from kronos.report.forecast.interactive import write_page
from tests.report.forecast.made_forecast import HISTORY, TRUTH, make_forecast
from tests.report.verdict.parsed_page import Page

TITLE = "贵州茅台 $5_x$ <b>&amp; \"bold\" 'x' \udcff"
SHOWN = TITLE.replace("\udcff", "?")


class PlotPage(Page):
    """A page with one plot."""

    def figure(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The traces and the layout handed to plotly."""

        def refuse(constant: str) -> NoReturn:
            raise AssertionError(f"{constant} in the page")

        script = "".join(self.texts["script"])
        decoder = json.JSONDecoder(parse_constant=refuse)
        start = script.index("[", script.rindex("Plotly.newPlot("))
        traces, end = decoder.raw_decode(script, start)
        layout, _ = decoder.raw_decode(script, script.index("{", end))
        return traces, layout


def write(
    path: Path, truth: pd.DataFrame | None = None, n_paths: int = 30, history: pd.DataFrame = HISTORY
) -> PlotPage:
    write_page(history, make_forecast(n_paths), truth, path, TITLE, "red")
    return PlotPage(path)


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = write(tmp_path / "deep" / "page.html")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["page.html"]
    assert not [attributes for _, attributes in page.tags if {"src", "href", "data", "action"} & set(attributes)]
    metas = [attributes for tag, attributes in page.tags if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';") and "http" not in policy
    assert "url(" not in "".join(page.texts["style"])


def test_the_title_is_shown_as_it_is(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html")
    assert "".join(page.texts["title"]).strip() == "".join(page.texts["h1"]).strip() == SHOWN
    tags = dict(page.tags)
    assert tags["html"] == {"lang": "en"} and "b" not in tags
    assert {"charset": "utf-8"} in [attributes for _, attributes in page.tags]
    assert "viewport" in [attributes.get("name") for _, attributes in page.tags]


def test_the_page_holds_the_candles_and_the_forecast(tmp_path: Path) -> None:
    traces, layout = write(tmp_path / "page.html", TRUTH[:5]).figure()
    known, expected = [trace for trace in traces if trace["type"] == "candlestick"]
    forecast = make_forecast()
    for column in ("open", "high", "low", "close"):
        assert known[column] == [*HISTORY[column], *TRUTH[column][:5]]
        assert expected[column] == list(forecast.mean[column][5:])
    assert known["x"] + expected["x"] == [f"{time:%Y-%m-%d<br>%H:%M}" for time in HISTORY.index.append(TRUTH.index)]
    hover = next(trace for trace in traces if "Forecast close" in (trace.get("hovertemplate") or ""))
    close, volume = (np.quantile(forecast.paths[..., i], (0.05, 0.25, 0.5, 0.75, 0.95), axis=0).T for i in (3, 4))
    np.testing.assert_allclose(hover["customdata"], np.hstack([close, volume]))
    assert layout["xaxis"]["type"] == "category" and layout["shapes"][0]["x0"] == 39.5


def test_one_path_has_no_bands(tmp_path: Path) -> None:
    one, _ = write(tmp_path / "page.html", n_paths=1).figure()
    several, _ = write(tmp_path / "page.html").figure()
    assert not [trace for trace in one if trace.get("fill")]
    assert [trace["name"] for trace in several if trace.get("fill")] == ["5–95%", "25–75%"]


def test_what_is_not_a_number_is_left_out(tmp_path: Path) -> None:
    history = HISTORY.copy()
    history.iloc[3, :] = np.nan
    traces, _ = write(tmp_path / "page.html", history=history).figure()
    assert traces[0]["open"][3] is None and None not in traces[0]["open"][4:]


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path: Path, browser: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector: str) -> list[Any]:
        return browser.find_elements("css selector", selector)

    write(tmp_path / "page.html", TRUTH[:5])
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.title == SHOWN and find("h1")[0].text == SHOWN
    wait = WebDriverWait(browser, 20)
    wait.until(lambda _: find(".barlayer .point"))
    candles = find(".boxes path.box")
    assert len(candles) == 60
    assert not find("[data-title^=Share]")  # nothing offers to upload the candles
    width, room = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= room

    ActionChains(browser).move_to_element(candles[42]).perform()
    wait.until(lambda _: find(".hoverlayer text"))
    told = find(".hoverlayer")[0].get_attribute("textContent")
    assert "Known candle" in told and "Forecast close" in told and f"{TRUTH.index[2]:%H:%M}" in told
    ActionChains(browser).scroll_from_origin(ScrollOrigin.from_element(candles[42]), 0, -300).perform()
    shown = "return document.getElementById('forecast').layout.xaxis.range"
    wait.until(lambda _: np.ptp(browser.execute_script(shown)) < 55)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
