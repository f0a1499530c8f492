"""nano, the small model in the package."""

from pathlib import Path

import pytest

from kronos import KronosPredictor
from kronos.candles import CANDLE_COLUMNS
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.model.pretrained import NANO, NANO_FOLDER, check_pair, check_trained_with
from tests.conftest import GOLDEN


@pytest.fixture(scope="module")
def pair() -> tuple[KronosTokenizer, Kronos]:
    return KronosTokenizer.from_pretrained(NANO), Kronos.from_pretrained(NANO)


def test_its_parts_belong_together(pair: tuple[KronosTokenizer, Kronos]) -> None:
    tokenizer, model = pair
    check_pair(tokenizer, model, len(CANDLE_COLUMNS))
    assert model.tokenizer_hash is not None
    check_trained_with(model, tokenizer)
    assert isinstance(KronosPredictor(model, tokenizer), KronosPredictor)


def test_it_has_the_architecture_of_its_preset(pair: tuple[KronosTokenizer, Kronos]) -> None:
    for model, untrained in zip(pair, (KronosTokenizer(**PRESETS[NANO].tokenizer), Kronos(**PRESETS[NANO].base_model))):
        assert {k: v.shape for k, v in model.state_dict().items()} == {
            k: v.shape for k, v in untrained.state_dict().items()
        }


def test_it_is_small_and_complete() -> None:
    files = [path for path in NANO_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 2_000_000
    assert {"README.md", "config.json", "model.safetensors"} <= {path.name for path in files}


def test_a_local_model_folder_of_its_name_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NANO).symlink_to(GOLDEN / "predictor")
    monkeypatch.chdir(tmp_path)
    assert Kronos.from_pretrained(NANO).s1_bits == Kronos.from_pretrained(GOLDEN / "predictor").s1_bits
    assert Kronos.from_pretrained(NANO).s1_bits != PRESETS[NANO].base_model["s1_bits"]
