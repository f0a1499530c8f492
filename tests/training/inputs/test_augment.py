"""Augmented windows: candles stay candles, draws depend on seed, step and window alone, and validation is not touched."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from kronos import load_config
from kronos.data import WindowDataset
from kronos.data.windows.dataset import Batch
from kronos.data.windows.normalize import Statistics
from kronos.training.inputs import augment as augment_module
from kronos.training.inputs.augment import (
    SCALE,
    Augmentation,
    add_noise,
    draw_numbers,
    mirror,
    normalise_again,
    warp_time,
)
from kronos.training.pipeline import prepare_inputs
from tests.training.runs import Killed, equal, interrupt_at, read_figures, run, weights

KINDS = ["noise", "mirror", "scale", "warp"]
ALL = "training.augment=[noise, mirror, scale, warp]"
LOOKBACK = 16


@pytest.fixture
def windows(tiny_config: Path) -> WindowDataset:
    return prepare_inputs(load_config(tiny_config, ["data.clip=50.0"])).windows["train"]


def build(tiny_config: Path, *kinds: str, seed: int = 1) -> Augmentation:
    config = load_config(tiny_config, [f"training.augment=[{', '.join(kinds)}]", f"training.seed={seed}"])
    return Augmentation(config.training, config.data)


def read_raw(windows: WindowDataset, batch: Batch) -> np.ndarray:
    return windows.candles.values[batch["window"][:, None] + np.arange(windows.config.window)].astype(np.float64)


def check_coherent(prices: np.ndarray, tolerance: float = 1e-4) -> None:
    opened, high, low, close = np.moveaxis(prices[..., :4], -1, 0)
    assert (low <= np.minimum(opened, close) + tolerance).all() and (
        high >= np.maximum(opened, close) - tolerance
    ).all()


@pytest.mark.parametrize("kind", ["noise", "mirror", "warp"])
def test_candles_stay_coherent(windows: WindowDataset, kind: str) -> None:
    """In prices, by the statistics that belong to the changed window."""
    batch = windows.__getitems__(range(40))
    raw, candles = read_raw(windows, batch), batch["candles"]
    statistics = Statistics.compute(raw[:, :LOOKBACK])
    check_coherent(raw)
    normals, uniforms = map(torch.from_numpy, draw_numbers(1, 3, batch["window"], candles.shape[1]))
    if kind == "mirror":
        mean = -statistics.mean[..., [0, 2, 1, 3, 4, 5]]
        turned = Statistics(mean, statistics.scale[..., [0, 2, 1, 3, 4, 5]]).denormalise(
            mirror(candles).double().numpy()
        )
        check_coherent(turned)
        assert np.allclose(turned[..., 3], -raw[..., 3])
    elif kind == "noise":
        noisy = add_noise(candles, batch["scale"], normals, LOOKBACK)
        prices = statistics.denormalise(noisy.double().numpy())
        check_coherent(prices)
        shift = (prices - raw)[..., :4]
        assert np.allclose(shift, shift[..., :1], atol=1e-4) and shift.std() > 0.01  # the same for all four prices
        assert (prices[..., 4:] >= (1 - 1e-5) * raw[..., 4:].min(axis=1, keepdims=True)).all()
    else:
        check_coherent(statistics.denormalise(warp_time(candles, *uniforms[:, :2].T).double().numpy()))


def test_a_mirrored_window_is_the_mirrored_market(windows: WindowDataset) -> None:
    batch = windows.__getitems__(range(10))
    raw = read_raw(windows, batch)
    turned = raw.copy()
    turned[..., :4] = 1e4 - raw[..., [0, 2, 1, 3]]
    expected = Statistics.compute(turned[:, :LOOKBACK]).normalise(turned, 50.0)
    assert np.allclose(mirror(batch["candles"]), expected, atol=1e-3)
    assert torch.equal(mirror(mirror(batch["candles"])), batch["candles"])


def test_noise_adds_up_along_time(windows: WindowDataset) -> None:
    batch = windows.__getitems__(range(60))
    candles = batch["candles"]
    normals, _ = map(torch.from_numpy, draw_numbers(1, 0, batch["window"], candles.shape[1]))
    change = (add_noise(candles, batch["scale"], normals, LOOKBACK) - candles)[..., 3]
    returns = candles[:, :LOOKBACK, 3].diff(dim=1).std(1, correction=0)
    assert torch.allclose(change.diff(dim=1), 0.25 * returns[:, None] * normals[:, 1:, 0], atol=1e-4)
    flat = torch.zeros(2, 24, 6)
    assert torch.equal(add_noise(flat, torch.ones(2, 6), torch.randn(2, 24, 2), LOOKBACK), flat)
    assert torch.equal(normalise_again(flat, LOOKBACK), flat)


def test_warped_time_runs_forward(windows: WindowDataset) -> None:
    rows = torch.arange(512.0)[None, :, None].expand(50, 512, 6)
    _, uniforms = draw_numbers(1, 0, np.arange(50), 512)
    warped = warp_time(rows, *torch.from_numpy(uniforms[:, :2]).T)[..., 0]
    steps = warped.diff(dim=1)
    assert set(steps.unique().tolist()) == {0.0, 1.0, 2.0}  # repeated, kept, left out
    assert (warped[:, 0] == 0).all() and (warped[:, -1] == 511).all()
    assert 5 < (warped - rows[..., 0]).abs().max() < 50
    assert torch.equal(warp_time(rows, torch.full((50,), 0.5), torch.zeros(50)), rows)  # the rate of each candle is 1


def test_changed_windows_are_normalised_by_their_own_lookback(tiny_config: Path, windows: WindowDataset) -> None:
    batch = windows.__getitems__(range(40))
    for kinds in (["noise"], ["warp"], ["noise", "warp", "mirror"]):
        lookback = build(tiny_config, *kinds)(batch, 2)["candles"][:, :LOOKBACK, :4]
        is_clipped = (lookback.abs() >= 5).any(dim=1)
        assert torch.allclose(lookback.mean(1)[~is_clipped], torch.zeros(()), atol=1e-4)
        assert torch.allclose(lookback.std(1, correction=0)[~is_clipped], torch.ones(()), atol=1e-3)


def test_scale_is_one_factor_for_a_window(tiny_config: Path, windows: WindowDataset) -> None:
    """The candles are those of the market, normalised by another deviation, so they stay coherent."""
    batch = windows.__getitems__(range(40))
    candles = batch["candles"].clamp(-1, 1)  # far from the clipping
    scaled = build(tiny_config, "scale")(batch | {"candles": candles}, 0)["candles"]
    factors = scaled[:, 3, 3] / candles[:, 3, 3]
    assert torch.allclose(scaled, factors[:, None, None] * candles, atol=1e-5)
    assert (factors >= 1 / SCALE - 1e-4).all() and (factors <= SCALE + 1e-4).all() and factors.std() > 0.05


def test_draws_depend_on_seed_step_and_window_alone(tiny_config: Path, windows: WindowDataset) -> None:
    change, batch = build(tiny_config, *KINDS), windows.__getitems__(range(12))
    changed = change(batch, 4)["candles"]
    for part in ([3], [7, 3, 11]):  # as in another batch, on another rank, or after resuming
        alone = change(windows.__getitems__(part), 4)["candles"]
        assert torch.allclose(alone, changed[part], atol=1e-5)
    others = [
        change(batch, 5),
        build(tiny_config, *KINDS, seed=2)(batch, 4),
        change(windows.__getitems__([*range(1, 13)]), 4),
    ]
    assert all(not torch.allclose(each["candles"], changed, atol=0.1) for each in others)
    one_by_one = [set(change(batch, step)["candles"][0].flatten().tolist()) for step in range(20)]
    assert len({frozenset(each) for each in one_by_one}) == 20


def test_validation_and_the_default_change_nothing(tiny_config: Path, windows: WindowDataset) -> None:
    batch = windows.__getitems__(range(3))
    assert build(tiny_config, *KINDS)(batch, None) is batch and build(tiny_config)(batch, 1) is batch


def test_one_kind_needs_no_list(tiny_config: Path) -> None:
    assert load_config(tiny_config, ["training.augment=mirror"]).training.augment == ("mirror",)


@pytest.mark.slow
def test_both_stages_train_on_changed_windows(
    tiny_config: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run in parts, interrupted in both stages and resumed, ends as an uninterrupted one."""
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        run(tiny_config, ALL, "training.save_steps=2")
    assert "tokenises the train windows at each step, because training.augment changes them" in caplog.text
    assert "validation windows once and cached" in caplog.text and "train windows once" not in caplog.text
    expected = {name: (weights(run_dir / name), read_figures(run_dir / name)) for name in ("tokenizer", "basemodel")}
    run_dir.rename(run_dir.with_name("whole"))
    for stages in (["tokenizer"], ["tokenizer", "basemodel"]):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            interrupt_at(patched, 5)
            run(tiny_config, ALL, "training.save_steps=2", stages=stages, skip_existing=True)
        run(tiny_config, ALL, "training.save_steps=2", stages=stages, skip_existing=True)
    for name, (final, figures) in expected.items():
        assert equal(weights(run_dir / name), final) and read_figures(run_dir / name) == figures


@pytest.mark.slow
def test_a_batch_in_parts_is_changed_in_the_same_way(tiny_config: Path, run_dir: Path) -> None:
    """Also the mean of the code bits over the whole batch, which the tokenizer's loss needs."""
    losses = []
    for n_parts in (1, 4):
        run(tiny_config, ALL, f"training.accumulation_steps={n_parts}", "training.max_steps=4")
        losses.append(
            [line[1] for name in ("tokenizer", "basemodel") for line in read_figures(run_dir / name) if line[1]]
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == 8


@pytest.mark.slow
def test_without_it_the_run_is_another(tiny_config: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(augment_module, "draw_numbers", lambda *given: seen.append(given[1]) or draw_numbers(*given))
    run(tiny_config, "training.augment=[noise]", "training.max_steps=3", stages=["basemodel"])
    assert seen == [0, 1, 2]  # once a step, not in validation
    run(tiny_config, "training.max_steps=3", stages=["basemodel"])
    assert len(seen) == 3
