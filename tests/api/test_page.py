"""docs/python.md is true."""

import logging
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import kronos
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "python.md"
FAST: dict[str, Any] = {
    **{"max_steps": 2, "until": "2024-02-20", "use_cuda": False, "invented_drift": False, "stride": 24},
    **{"rivals": ["pretrained", "last_close", "drift"], "report.n_origins": 0},
}


def read_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_both_languages_have_the_same_code() -> None:
    code, chinese = (
        [re.sub(r"  # .*", "", block) for block in read_blocks(page)] for page in (PAGE, PAGE.parent / "zh" / PAGE.name)
    )
    assert code == chinese and len(code) > 6


@pytest.mark.slow
def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    few = {"evaluation.n_paths": 3}
    judged = {key: FAST[key] for key in ("invented_drift", "rivals", "use_cuda")} | {"stride": 480} | few

    def finetune(*given: Any, **options: Any) -> kronos.Run:
        return _finetune(*given, **FAST, **options, **({} if "evaluation" in options else few))

    _finetune = partial(kronos.finetune, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(kronos, "finetune", finetune)
    monkeypatch.setattr(kronos, "evaluate", partial(kronos.evaluate, **judged))
    names: dict[str, Any] = {}
    for block in read_blocks(PAGE):
        exec(block, names)
    printed = capsys.readouterr().out
    assert "A lookback of 96 and a horizon of 24 candles are proposed" in printed
    assert "epoch: no such option. Did you mean epochs?" in printed
    assert (tmp_path / "forecast.png").is_file() and [len(each.mean) for each in names["forecasts"]] == [24, 24]
    assert names["run"].config.training.seed == 7 and names["verdict"].fine_tuning is None
    assert (
        names["forecast"].history is not None
        and (tmp_path / "finetuned" / "season" / "report" / "index.html").is_file()
    )
