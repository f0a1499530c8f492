"""Hashes of candles that earlier versions recorded."""

from dataclasses import replace
from pathlib import Path

from kronos.config import load_config
from kronos.data import load_candles
from kronos.evaluation.origins.held_out import is_own
from kronos.stage_record import StageRecord
from kronos.training.saved.resume import find_continuation
from kronos.training.saved.stage_settings import CANDLES_KEY, hash_candles, renew_candle_hashes
from tests.training.runs import run


def test_a_run_of_an_earlier_version_stands_on_the_same_candles(tiny_config: Path) -> None:
    """Its hash had the symbol's name, which is the file's; of large candles it depended on how they were read."""
    config = load_config(tiny_config)
    run(tiny_config, "training.max_steps=1", stages=["tokenizer"])
    folder = config.model_paths.run_folder.tokenizer.path
    record = StageRecord.read(folder)
    assert record
    candles = load_candles(config.data, config.repairs).candles
    large = replace(candles, known_hash=candles.content_hash())
    hashes = {candles.earlier_hash()[:12]: (True, True), "0" * 12: (False, True), "0" * 16: (False, False)}
    for recorded, is_same in hashes.items():
        for path in (folder, config.model_paths.run_folder.basemodel.path):
            path.mkdir(exist_ok=True)
            record.model_copy(update={"settings": record.settings | {CANDLES_KEY: recorded}}).write(path)
        assert (is_own(config, candles), is_own(config, large)) == is_same
        for read, expected in zip((candles, large), is_same, strict=True):
            found = find_continuation(folder, record, read)
            assert found and ("other settings (candles" in found.reason) != expected


def test_the_hash_of_replayed_candles_is_renewed_with_that_of_the_candles(tiny_config: Path) -> None:
    config = load_config(tiny_config)
    candles = load_candles(config.data, config.repairs).candles
    wanted = {CANDLES_KEY: hash_candles(candles), "data.replay": "new"}
    earlier = {CANDLES_KEY: candles.earlier_hash()[:12], "data.replay": "old", "training.seed": 1}
    assert renew_candle_hashes(earlier, wanted, candles) == earlier | wanted
    assert renew_candle_hashes(earlier | {CANDLES_KEY: "0" * 12}, wanted, candles)["data.replay"] == "old"
