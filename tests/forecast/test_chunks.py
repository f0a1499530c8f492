import torch
from hypothesis import given
from hypothesis import strategies as st

from kronos.forecast.chunks import GROUP, Footprint, choose_group_size, estimate_footprint, measure_budget, plan_chunks
from kronos.model import PRESETS, Kronos, KronosTokenizer

FOOTPRINT = Footprint(token=3, path=50)


@given(
    lengths=st.lists(st.integers(1, 100), min_size=1, max_size=30),
    n_paths=st.integers(1, 20),
    budget=st.integers(1, 20_000),
)
def test_chunks_cover_everything_once_within_the_budget(lengths: list[int], n_paths: int, budget: int) -> None:
    chunks = list(plan_chunks(lengths, n_paths, FOOTPRINT, budget))
    covered = [
        (i, path) for chunk in chunks for i in chunk.series for path in range(chunk.paths.start, chunk.paths.stop)
    ]
    assert sorted(covered) == [(i, path) for i in range(len(lengths)) for path in range(n_paths)]
    for series, paths in chunks:
        n_together = paths.stop - paths.start
        padded = len(series) * (max(lengths[i] for i in series) * FOOTPRINT.token + n_together * FOOTPRINT.path)
        assert padded <= budget or (len(series) == 1 and n_together == 1)


def test_a_gpu_forecasts_more_series_together() -> None:
    assert choose_group_size(torch.device("cuda")) > choose_group_size(torch.device("cpu")) == GROUP


def test_footprint_grows_with_the_model_and_the_horizon() -> None:
    def estimate(preset: str, horizon: int) -> Footprint:
        tokenizer = KronosTokenizer(**PRESETS[preset].tokenizer)
        return estimate_footprint(tokenizer, Kronos(**PRESETS[preset].base_model), 512, horizon)

    demo, mini = estimate("demo", 24), estimate("mini", 24)
    assert demo.token < mini.token and demo.path < mini.path < estimate("mini", 48).path
    assert 0 < measure_budget(torch.device("cpu")) <= 2**30
