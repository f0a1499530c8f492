"""A browser for the pages, and Chinese where a font has it."""

import shutil
from typing import Any

import pytest

from kronos.report.fonts import can_draw


def needs_chinese_font(language: str) -> None:
    """Skip a test of Chinese pictures where no font has the characters; such pictures are drawn in English."""
    if language == "zh" and not can_draw("优化步数"):
        pytest.skip("no font with Chinese characters")


@pytest.fixture
def browser() -> Any:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium, or no chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()
