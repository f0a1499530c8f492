import copy

import pytest
import torch

from kronos.model.base_model import Kronos, KronosCaches
from kronos.model.cache import CacheLayout
from kronos.model.fusing import fuse_projections
from kronos.model.static_cache import StaticPositions, StaticShape
from tests.conftest import assert_close
from tests.model.test_cache import load_model, make_tokens, read

LENGTHS, N_PATHS, N_OWN = (9, 5), 3, 6
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 3e-2}


def build_both(model: Kronos, window: int | None) -> tuple[KronosCaches, KronosCaches, StaticPositions]:
    """Return caches that grow, and static ones with more room than is needed."""
    growing = model.build_caches(CacheLayout(LENGTHS, N_PATHS, N_OWN, window))
    shape = StaticShape(len(LENGTHS), N_PATHS, 16, 8, window)
    positions = StaticPositions(shape, model.norm.weight)
    positions.lengths.copy_(torch.tensor(LENGTHS))
    return growing, model.build_caches(positions), positions


@torch.inference_mode()
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("window", [None, 10])
def test_token_by_token_both_caches_give_the_same_hidden_states(dtype: torch.dtype, window: int | None) -> None:
    model = load_model().to(dtype)
    prefix, own = make_tokens(model, 2, 9), make_tokens(model, 6, N_OWN, seed=1)
    growing, static, positions = build_both(model, window)
    expected, actual = (read(model, prefix, caches) for caches in (growing, static))
    assert_close(actual, expected, TOLERANCES[dtype])
    s1_next = torch.tensor([[3]] * 6)
    for t in range(N_OWN):
        token = [part[:, t : t + 1] for part in own]
        positions.advance()
        expected, actual = (read(model, token, caches) for caches in (growing, static))
        assert_close(actual, expected, TOLERANCES[dtype])
        s2_logits = [model.predict_s2(expected, s1_next, caches) for caches in (growing, static)]
        assert_close(s2_logits[1], s2_logits[0], TOLERANCES[dtype])


@torch.inference_mode()
def test_own_tokens_at_once_are_own_tokens_one_by_one() -> None:
    model = load_model()
    prefix, own = make_tokens(model, 2, 9), make_tokens(model, 6, 8, seed=1)
    growing, static, positions = build_both(model, window=None)
    expected, _ = read(model, prefix, growing), read(model, prefix, static)
    expected = read(model, [part[:, :4] for part in own], growing)
    positions.n_own += 4
    positions.read_own()
    assert_close(read(model, own, static)[:, :4], expected, 1e-5)


@torch.inference_mode()
def test_fused_projections_are_the_projections() -> None:
    model = load_model()
    fused = copy.deepcopy(model)
    for _ in range(2):  # again after the weights have changed, into the same tensors
        fuse_projections(fused)
        assert_close(fused.decode_s1(*make_tokens(model, 2, 9))[1], model.decode_s1(*make_tokens(model, 2, 9))[1], 1e-5)
        weight = fused.transformer[0].self_attn.fused.weight
        assert fused.transformer[0].ffn.fused.weight.shape[0] == 2 * model.transformer[0].ffn.w1.out_features
        for each in (model, fused):
            each.transformer[0].self_attn.v_proj.weight.mul_(2)
            each.transformer[0].ffn.w3.weight.mul_(2)
    assert weight is fused.transformer[0].self_attn.fused.weight
