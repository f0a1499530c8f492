"""Findings of the data layer, which are English templates and values, in Chinese."""

import re
from pathlib import Path

import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import load_candles
from kronos.report.words.catalogue import CHINESE, Words
from kronos.report.words.details import write_detail, write_finding

ENGLISH, CHINESE_WORDS = Words("en"), Words("zh")
ROWS = "".join(f"2024-01-{day:02},10,11,9,10.5,{100 * day}\n" for day in (2, 3, 4, 5, 8, 9, 10, 11, 12))


@pytest.mark.parametrize(
    ("template", "values", "chinese"),
    [
        ("columns read: {names}", {"names": "Vol. → volume, 开盘 → open"}, "识别的列：Vol. → volume, 开盘 → open"),
        ("timestamps read as {unit}", {"unit": "seconds since 1970, in UTC"}, "时间戳按自 1970 年起的秒数（UTC）读取"),
        ("blank or non-finite prices ({column} is blank)", {"column": "close"}, "价格为空或非有限值（close 为空）"),
        ("repeated rows; one of each is kept", {}, "重复行；各保留一条"),
        (
            "stretches of different candle intervals ({before}, then {after})",
            {"before": "5 minutes", "after": "1 day"},
            "先是 5 分钟，后是 1 天",
        ),
        (
            "Correct the file, or set repairs.{key} to {options}.",
            {"key": "not_finite", "options": "drop or fill"},
            "或将 repairs.not_finite 设为 drop 或 fill。",
        ),
    ],
)
def test_details_in_chinese(template: str, values: dict[str, object], chinese: str) -> None:
    assert chinese in str(write_detail(template, values, CHINESE_WORDS))
    assert write_finding("reading", template, values, ENGLISH) == template.format(**values)


def test_what_has_no_wording_follows_its_kind_in_english() -> None:
    written = write_finding("unreadable", "this is {what}", {"what": "a pickle"}, CHINESE_WORDS)
    assert written == "文件无法读取：this is a pickle"


@pytest.mark.parametrize(
    "text",
    [
        "Date,Open,High,Low,Close,Vol.\n" + ROWS,
        "date;open;high;low;close\n" + re.sub(r",\d+\n", "\n", ROWS).replace(",", ";"),
        "date,open,high,low,close,volume\n" + "".join(reversed(ROWS.splitlines(keepends=True))),
        "date,open,high,low,close,volume\n" + ROWS + ROWS[:40].splitlines()[0] + "\n",
        "date,open,high,low,close,volume\n" + ROWS.replace("01-05,10,11", "01-05,,11"),
        "date,open,high,low,close,volume\n" + ROWS.replace("2024-01-05,10,11,9", "2024-01-05,10,8,9"),
    ],
)
def test_every_finding_of_common_files_has_a_wording(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    findings = load_candles(DataConfig(data_path=(tmp_path / "a.csv",)), RepairsConfig()).findings
    assert findings
    for each in findings:
        assert re.search(f"[{CHINESE}]", str(write_detail(each.template, each.values, CHINESE_WORDS))), each.template
        if each.remedy:
            assert re.search(f"[{CHINESE}]", str(write_detail(each.remedy_template, each.values, CHINESE_WORDS)))
