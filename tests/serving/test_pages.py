"""The pages in a browser: a dropped file becomes an audit, a fan and a verdict, in both languages and widths."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FinishedRun
from tests.report.conftest import browser  # noqa: F401  # a fixture
from tests.serving.conftest import TOKEN


def wait_for(browser: Any, script: str) -> None:  # noqa: F811
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda each: each.execute_script(f"return {script}"))


def read(browser: Any, name: str) -> str:  # noqa: F811
    return str(browser.execute_script(f"return document.getElementById('{name}').innerText"))


@pytest.mark.slow
@pytest.mark.process
def test_a_file_becomes_a_fan_and_a_verdict(
    token_server: str,
    finished_run: FinishedRun,
    browser: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    done = "!document.getElementById('forecast-part').hidden && !document.getElementById('status').textContent"
    url = token_server
    browser.get(url)
    wait_for(browser, "document.getElementById('status').textContent.includes('needs a token')")
    browser.find_element("id", "token").send_keys(TOKEN, "\t")
    wait_for(browser, "document.getElementById('model').value === 'tiny'")
    browser.find_element("id", "file").send_keys(str(finished_run.candles))
    wait_for(browser, done)
    assert "Verdict on these models" in read(browser, "verdict") and "candles.csv" in read(browser, "check")
    assert "100 sampled futures" in read(browser, "legend")
    assert not re.search(r"\d\.\d{5}", read(browser, "legend"))  # prices as people read them
    assert browser.execute_script("return document.querySelectorAll('svg .band').length") == 2
    for width in (1280, 390):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        hidden = "const each = document.getElementById('check'); return each.scrollWidth - each.clientWidth"
        assert width < 500 or not browser.execute_script(hidden)  # no line of the audit is cut off
    browser.find_element("id", "language").click()
    wait_for(browser, f"{done} && document.documentElement.lang === 'zh'")
    assert "微调" in read(browser, "verdict") and "条采样路径" in read(browser, "legend")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,<img src=x onerror=alert(1)>\n")
    browser.find_element("id", "file").send_keys(str(wrong))
    wait_for(browser, "document.getElementById('status').classList.contains('bad')")
    assert "wrong.csv" in read(browser, "status")
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0

    browser.get(f"{url}/docs")
    browser.find_element("id", "token").send_keys(TOKEN, "\t")
    wait_for(browser, "document.querySelectorAll('section').length > 5")
    for part in browser.find_elements("css selector", "section"):
        part.find_element("css selector", "button").click()
        wait_for(browser, "[...document.querySelectorAll('pre')].every(each => each.textContent !== '…')")
        assert part.find_element("css selector", "pre").text.startswith("200"), part.text
    severe = [each["message"] for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    assert all("401" in each or "422" in each for each in severe), severe
