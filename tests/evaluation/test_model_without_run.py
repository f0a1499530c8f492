"""Which tokenizer, settings and candles belong to a model that is judged without a run."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from kronos.config import Config
from kronos.data import CandleSet, load_candles, split_candles
from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.evaluation.model_without_run import (
    build_model_config,
    choose_for_model,
    load_judged_models,
    name_model,
    split_for_model,
)
from kronos.evaluation.records import Note
from tests.conftest import GOLDEN, ROOT

CANDLES = ROOT / "data" / "synthetic_5min.csv"  # 3,360 rows
SHORT = ["data.lookback_window=16", "data.predict_window=8"]


def build(*overrides: str, model: str = "NeoQuasar/Kronos-small", tokenizer: str | None = None) -> Config:
    return build_model_config(model, tokenizer, CANDLES, None, overrides)


def load(config: Config) -> CandleSet:
    return load_candles(config.data, config.repairs)[0]


@pytest.mark.parametrize(
    ("model", "tokenizer", "context"),
    [
        ("NeoQuasar/Kronos-mini", "NeoQuasar/Kronos-Tokenizer-2k", 2048),
        ("NeoQuasar/Kronos-small", "NeoQuasar/Kronos-Tokenizer-base", 512),
        ("NeoQuasar/Kronos-base", "NeoQuasar/Kronos-Tokenizer-base", 512),
    ],
)
def test_published_models_have_their_tokenizer_and_context(model: str, tokenizer: str, context: int) -> None:
    config = build(model=model)
    assert config.model_paths.pretrained_tokenizer == tokenizer and config.data.max_context == context
    assert config.model_paths.base_save_path == Path("evaluations") / f"{model.split('/')[1]}-synthetic_5min"
    assert "pretrained" not in config.evaluation.rivals and "lstm" in config.evaluation.rivals


def test_the_lookback_is_what_the_model_sees() -> None:
    assert build(model="nano").data.lookback_window == build(model="nano").data.max_context == 144
    assert build("data.lookback_window=96", model="nano").data.lookback_window == 96
    assert build(model="NeoQuasar/Kronos-mini").data.lookback_window == 512


def test_downloaded_models_use_the_tokenizer_beside_them(tmp_path: Path) -> None:
    for name in ("Kronos-mini", "Kronos-Tokenizer-2k"):
        (tmp_path / name).mkdir()
    config = build(model=str(tmp_path / "Kronos-mini"))
    assert config.model_paths.pretrained_tokenizer == str(tmp_path / "Kronos-Tokenizer-2k")


def test_a_runs_model_is_named_after_the_run_and_uses_its_tokenizer(tmp_path: Path) -> None:
    model = Path(shutil.copytree(GOLDEN / "predictor", tmp_path / "mine" / "basemodel" / "best_model"))
    tokenizer = Path(shutil.copytree(GOLDEN / "tokenizer", tmp_path / "mine" / "tokenizer" / "best_model"))
    config = build(model=str(model))
    assert config.model_paths.pretrained_tokenizer == str(tokenizer) and name_model(str(model)) == "mine"
    assert config.model_paths.exp_name == "mine-synthetic_5min"


def test_overrides_and_a_file(tmp_path: Path) -> None:
    config = build("data.max_context=100", "model_paths.exp_name=other", "evaluation.rivals=[pretrained, drift]")
    assert config.data.max_context == 100 and config.model_paths.base_save_path == Path("evaluations/other")
    assert config.evaluation.rivals == ("drift",)
    file = tmp_path / "x.yaml"
    file.write_text(
        f"data: {{data_path: {CANDLES}, lookback_window: 30}}\n"
        "model_paths: {exp_name: mine, base_save_path: finetuned/mine, finetuned_tokenizer: a/b}\n"
        "experiment: {pre_trained: false, train_tokenizer: false}\n"
    )
    config = build_model_config("NeoQuasar/Kronos-small", None, None, file, [])
    assert config.data.lookback_window == 30 and config.model_paths.exp_name == "Kronos-small-synthetic_5min"
    assert config.model_paths.base_save_path.parent == Path("evaluations"), "nothing of the run is touched"


def test_the_first_fifth_is_kept() -> None:
    config = build(*SHORT)
    candles = load(config)
    config = split_for_model(config, candles, None)
    held_out, splits = choose_for_model(config, candles)
    assert {name: split.rows for name, split in splits.items()} == {"train": 504, "val": 168, "test": 2688}
    assert held_out.split == "test" and held_out.origins.rows[0] == 671 and held_out.stride == 11
    assert held_out.notes == (Note(code="weights_may_have_seen"),)


@pytest.mark.parametrize(("lookback", "kept"), [(800, 856), (3290, 3346)])
def test_long_windows_keep_more(lookback: int, kept: int) -> None:
    config = build(f"data.lookback_window={lookback}", "data.predict_window=28", "data.max_context=512")
    if kept > 3360 - 28:
        with pytest.raises(DataError, match=r"too few candles \(3,360\)\. At least 3,346 are kept"):
            split_for_model(config, load(config), None)
        return
    candles = load(config)
    splits = split_candles(candles, split_for_model(config, candles, None).data)
    assert splits["train"].rows + splits["val"].rows == kept and len(splits["train"]) == 1


def test_since_sets_another_start() -> None:
    config = build(*SHORT)
    candles = load(config)
    time = candles.timestamps(999, 1000)[0].to_pydatetime()
    held_out, splits = choose_for_model(split_for_model(config, candles, time), candles)
    assert held_out.origins.rows[0] == 999 and splits["test"].rows == 2360
    for wrong in (datetime(1990, 1, 1), datetime(2990, 1, 1)):
        with pytest.raises(DataError, match="are not later than --since"):
            split_for_model(config, candles, wrong)


def test_splits_that_are_set_are_kept() -> None:
    config = build(*SHORT, "data.train_ratio=0.5", "data.val_ratio=0.2", "data.test_ratio=0.3")
    assert split_for_model(config, load(config), None) is config
    without_test = build(*SHORT, "data.train_ratio=0.5", "data.val_ratio=0.5")
    assert split_for_model(without_test, load(config), None).data.test_ratio == 0.8


def wrong(model: str, tokenizer: str | None = None, data: Path | None = CANDLES) -> str:
    with pytest.raises(KronosError) as raised:
        load_judged_models(build_model_config(model, tokenizer, data, None, []))
    return str(raised.value)


def test_what_is_wrong_and_how_to_fix_it(tmp_path: Path, copied_run: Path) -> None:
    golden, own = str(GOLDEN / "predictor"), str(GOLDEN / "tokenizer")
    assert "the tokenizer of this model is not known. Give its tokenizer too" in wrong(golden)
    assert wrong(str(tmp_path / "no" / "model")).startswith(f"--model {tmp_path}/no/model: no such model folder.")
    assert "not the configuration of a Kronos:" in wrong(own, own)
    assert wrong(golden, golden).startswith("--tokenizer ") and "KronosTokenizer" in wrong(golden, golden)
    assert "put config.json and model.safetensors into one folder" in wrong("nobody/nothing")
    assert "Give it as the run." in wrong(str(copied_run))
    assert "--model needs --data" in wrong(golden, own, None)
    assert "this model folder has no config.json" in wrong(str(tmp_path))


def test_a_tokenizer_that_does_not_fit(copied_run: Path) -> None:
    """The run's tokenizer was fine-tuned; its base model names it."""
    model = copied_run / "basemodel" / "best_model"
    assert load_judged_models(build(model=str(model)))
    with pytest.raises(CheckpointError, match=r"trained with another tokenizer .*Give --tokenizer the tokenizer that"):
        load_judged_models(build(model=str(model), tokenizer=str(GOLDEN / "tokenizer")))


def test_what_a_runs_model_has_seen_is_known(copied_run: Path) -> None:
    config = build(*SHORT, model=str(copied_run / "basemodel" / "best_model"))
    candles = load(config)
    seen = choose_for_model(split_for_model(config, candles, datetime(2024, 1, 3)), candles)[0]
    assert [note.code for note in seen.notes] == ["on_seen"]
    later = choose_for_model(split_for_model(config, candles, datetime(2024, 2, 1)), candles)[0]
    assert not later.notes


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.lookback"):
        build("data.lookback=3")
