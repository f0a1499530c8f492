"""Windows of other candles in training: how many, none of the held-out time, and the same after resuming."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from kronos import load_config
from kronos.data.windows.splits import find_moments
from kronos.errors import ConfigError, DataError
from kronos.stage_record import StageRecord
from kronos.training.inputs.replay import ReplayDataset, add_replay
from kronos.training.pipeline import prepare_inputs
from tests.conftest import ROOT
from tests.data.windows.test_splits import make_set
from tests.training.inputs.test_sampler import draw, make
from tests.training.runs import Killed, equal, interrupt_at, read_figures, run, weights


@pytest.fixture
def others(tiny_config: Path) -> Path:
    """A folder with two files of other candles: the lines before those of the run, and its own, under the same name."""
    folder = tiny_config.parent / "others"
    folder.mkdir()
    lines = (ROOT / "data" / "synthetic_5min.csv").read_text().splitlines()
    (folder / "candles.csv").write_text("\n".join(lines[:121]))
    (folder / "more.csv").write_text("\n".join([lines[0], *lines[21:71]]))
    return folder


def test_only_windows_from_before_the_validation_are_replayed(tiny_config: Path, others: Path) -> None:
    config = load_config(tiny_config, [f"data.replay={others}"])
    inputs = prepare_inputs(config)
    train = inputs.windows["train"]
    assert isinstance(train, ReplayDataset) and [each.symbol for each in train.other.candles.symbols] == [
        "candles",
        "more",
    ]
    begin = find_moments(inputs.audited.candles, config.data)[0]
    numbers = train.other.starts.take(np.arange(len(train.other)))
    ends = train.other.candles.instants[numbers + config.data.window - 1]
    assert ends.max() < begin and len(train.other) == (84 - 24 + 1) + (50 - 24 + 1)
    assert len(train) == len(prepare_inputs(load_config(tiny_config)).windows["train"]) == len(train.own)
    assert [symbol.symbol for symbol in inputs.audited.candles.symbols] == ["candles"]
    assert {name: len(split) for name, split in inputs.splits.items()}["val"] == 17


def combine(*lengths: int, **keys: object) -> ReplayDataset:
    own, config = make(400, 100, **keys)
    return add_replay(own, make_set(*lengths), find_moments(own.candles, config)[0])


def test_a_batch_keeps_its_order(tiny_config: Path) -> None:
    dataset = combine(300)
    numbers = [5, len(dataset) + 3, 0, len(dataset), 7]
    for each in (dataset, pickle.loads(pickle.dumps(dataset))):
        batch = each.__getitems__(numbers)
        for place, number in enumerate(numbers):
            part = dataset.own if number < len(dataset) else dataset.other
            alone = part.__getitems__([number % len(dataset)])
            for key in ("candles", "scale", "stamp"):
                assert torch.equal(batch[key][place], alone[key][0])
            offset = 0 if number < len(dataset) else len(dataset.candles)
            assert batch["window"][place] == alone["window"][0] + offset
    own_only = dataset.__getitems__([1, 2])
    assert own_only["candles"].shape[0] == 2
    described = dataset.describe(batch["window"])
    assert (
        described
        == f"{dataset.own.describe(batch['window'][[0, 2, 4]])}, {dataset.other.describe(alone_rows(dataset))}"
    )


def alone_rows(dataset: ReplayDataset) -> np.ndarray:
    return dataset.other.starts.take(np.array([3, 0]))


@pytest.mark.parametrize("keys", [{}, {"balance_symbols": True}, {"windows_per_epoch": "independent"}])
def test_the_share_of_an_epoch(keys: dict[str, object]) -> None:
    dataset = combine(300, 200, replay_share=0.25, **keys)
    own, config = make(400, 100, replay_share=0.25, **keys)
    first, second = (np.array(draw(dataset, config, epoch)) for epoch in (0, 1))
    assert len(first) == len(draw(own, config))  # an epoch is as long as without
    for drawn in (first, second):
        assert (drawn >= len(dataset)).sum() == round(0.25 * len(drawn))
        replayed = drawn[drawn >= len(dataset)]
        assert drawn.max() < len(dataset) + len(dataset.other) and len(set(replayed)) == len(replayed)
    assert set(first[first >= len(dataset)]) != set(second[second >= len(dataset)])
    halves = [(half >= len(dataset)).mean() for half in np.array_split(first, 2)]
    assert max(halves) < 0.5  # mixed, not one after the other


def test_few_windows_are_repeated() -> None:
    dataset = combine(30, replay_share=0.5)
    drawn = np.array(draw(dataset, dataset.config))
    counts = np.bincount(drawn[drawn >= len(dataset)] - len(dataset), minlength=len(dataset.other))
    assert counts.sum() == len(drawn) // 2 and np.ptp(counts) <= 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.replay={folder}/none.csv"], "data.replay: .*none.csv: no such file .*\\(data.replay\\)"),
        (["data.replay={folder}/broken.csv"], "data.replay: .*broken.csv"),
        (
            ["data.replay={folder}/late.csv"],
            "data.replay: no window of 24 candles ends before the validation split begins",
        ),
    ],
)
def test_errors_name_the_key_and_the_file(tiny_config: Path, others: Path, overrides: list[str], message: str) -> None:
    lines = (others / "candles.csv").read_text().splitlines()
    (others / "broken.csv").write_text("\n".join([*lines[:60], lines[60].replace(",", ",x", 2), *lines[61:]]))
    (others / "late.csv").write_text("\n".join([lines[0], *lines[70:]]))
    with pytest.raises(DataError) as caught:
        prepare_inputs(load_config(tiny_config, [each.format(folder=others) for each in overrides]))
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_held_out_symbol_is_not_replayed() -> None:
    own, _ = make(400, 100, val_symbols=("s1",))
    with pytest.raises(DataError, match=r"data\.replay has the symbols s1, which"):
        add_replay(own, make_set(50, 50), int(own.candles.instants.max()))


@pytest.mark.slow
def test_a_run_with_replay(tiny_config: Path, run_dir: Path, others: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without cached tokens, and interrupted, it ends the same; validation is that of a run without."""
    given = [f"data.replay={others}", "training.save_steps=2"]
    run(tiny_config, *given)
    expected = {name: (weights(run_dir / name), read_figures(run_dir / name)) for name in ("tokenizer", "basemodel")}
    settings = StageRecord.read(run_dir / "basemodel").settings
    assert len(settings["data.replay"]) == 12 and settings["data.replay_share"] == 0.25
    run_dir.rename(run_dir.with_name("whole"))
    given.append("training.token_cache=false")
    for stages in (["tokenizer"], ["tokenizer", "basemodel"]):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            interrupt_at(patched, 5)
            run(tiny_config, *given, stages=stages, skip_existing=True)
        if stages == ["tokenizer"]:
            with pytest.raises(ConfigError, match=r"data\.replay_share 0\.25 → 0\.5"):
                run(tiny_config, *given, "data.replay_share=0.5", stages=stages, skip_existing=True)
        run(tiny_config, *given, stages=stages, skip_existing=True)
    for name, (final, figures) in expected.items():
        assert equal(weights(run_dir / name), final) and read_figures(run_dir / name) == figures
    run_dir.rename(run_dir.with_name("replayed"))
    run(tiny_config, stages=["tokenizer"])
    without = read_figures(run_dir / "tokenizer")
    assert without[0] == expected["tokenizer"][1][0] and without[1:] != expected["tokenizer"][1][1:]
    assert not {"data.replay", "data.replay_share"} & StageRecord.read(run_dir / "tokenizer").settings.keys()
