from collections.abc import Sequence

import pytest
import torch

from kronos.model import Kronos, KronosTokenizer
from kronos.model.base_model import KronosCaches
from kronos.model.cache import CacheLayout
from kronos.model.linear import FEW_ROWS, Linear
from tests.conftest import GOLDEN, assert_close

N_TOKENS = 24


def load_model() -> Kronos:
    return Kronos.from_pretrained(GOLDEN / "predictor").eval()


def make_tokens(model: Kronos, n_rows: int, n_tokens: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    s1_ids, s2_ids = (
        torch.randint(2**bits, (n_rows, n_tokens), generator=generator) for bits in (model.s1_bits, model.s2_bits)
    )
    sizes = (60, 24, 7, 31, 12)
    stamp = torch.stack([torch.randint(n, (n_rows, n_tokens), generator=generator) for n in sizes], dim=-1).float()
    return s1_ids, s2_ids, stamp


def read(model: Kronos, tokens: Sequence[torch.Tensor], caches: KronosCaches) -> torch.Tensor:
    s1_ids, s2_ids, stamp = tokens
    return model.read(s1_ids, s2_ids, model.time_emb(stamp), caches)


@torch.inference_mode()
@pytest.mark.parametrize("rotate_s2", [True, False])
@pytest.mark.parametrize("n_prefix", [1, 7, 23])
def test_reading_bit_by_bit_gives_the_logits_of_the_whole(n_prefix: int, rotate_s2: bool) -> None:
    model = load_model()
    tokens = make_tokens(model, 1, N_TOKENS)
    caches = model.build_caches(CacheLayout((n_prefix,), 1, N_TOKENS - n_prefix), rotate_s2)
    hidden = read(model, [part[:, :n_prefix] for part in tokens], caches)
    s1_next = torch.tensor([[3]])
    for end in range(n_prefix, N_TOKENS + 1):
        s1_logits, whole = model.decode_s1(*(part[:, :end] for part in tokens))
        assert_close(model.predict_s1(hidden)[:, -1], s1_logits[:, -1], 1e-5)
        expected = model.decode_s2(whole, s1_next, rotate_s2)
        assert_close(model.predict_s2(hidden[:, -1:], s1_next, caches), expected, 1e-5)
        if end < N_TOKENS:
            hidden = read(model, [part[:, end : end + 1] for part in tokens], caches)


@torch.inference_mode()
def test_paths_share_a_prefix_and_differ_in_what_they_add() -> None:
    model = load_model()
    prefix, own = make_tokens(model, 2, 9), make_tokens(model, 6, 5, seed=1)
    caches = model.build_caches(CacheLayout((9, 9), 3, 5))
    read(model, prefix, caches)
    together = read(model, own, caches)  # five positions at once
    for row in range(6):
        series = row // 3
        whole = [torch.cat([a[series : series + 1], b[row : row + 1]], dim=1) for a, b in zip(prefix, own)]
        assert_close(together[row], model.decode_s1(*whole)[1][0, 9:], 1e-5)


@torch.inference_mode()
def test_padding_is_not_looked_at() -> None:
    model = load_model()
    own = make_tokens(model, 2, 3, seed=1)
    results = []
    for padding in (2, 3):
        prefix = make_tokens(model, 2, 8)
        for part in prefix:
            part[0, 5:] = padding
        caches = model.build_caches(CacheLayout((5, 8), 1, 3))
        read(model, prefix, caches)
        results.append(read(model, own, caches))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@torch.inference_mode()
def test_tokenizer_decodes_a_continuation_as_part_of_the_whole() -> None:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").eval()
    indices = torch.randint(2 ** (tokenizer.s1_bits + tokenizer.s2_bits), (1, 12))
    caches = tokenizer.build_caches(CacheLayout((7,), 1, 5))
    parts = [tokenizer.decode(part, caches=caches) for part in (indices[:, :7], indices[:, 7:])]
    assert_close(torch.cat(parts, dim=1), tokenizer.decode(indices), 1e-5)


@pytest.mark.parametrize("n_rows", [1, 5, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize(("n_in", "n_out", "bias"), [(16, 24, True), (16, 24, False), (5, 7, True)])
def test_linear_is_pytorch_s(n_rows: int, n_in: int, n_out: int, bias: bool) -> None:
    layer, x = Linear(n_in, n_out, bias), torch.randn(n_rows, 1, n_in)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), expected.detach())
    layer(x).sum().backward()  # and training is untouched
    assert layer.weight.grad is not None
