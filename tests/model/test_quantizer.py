import torch
from hypothesis import given
from hypothesis import strategies as st

from kronos.model import PRESETS, KronosTokenizer
from kronos.model.quantizer import BinarySphericalQuantizer, bits_to_indices, indices_to_bits


@given(st.integers(1, 20), st.data())
def test_bits_and_indices_round_trip(n_bits: int, data: st.DataObject) -> None:
    indices = torch.tensor(data.draw(st.lists(st.integers(0, 2**n_bits - 1), min_size=1, max_size=20)))
    assert torch.equal(bits_to_indices(indices_to_bits(indices, n_bits)), indices)


def test_least_significant_bit_first() -> None:
    assert indices_to_bits(torch.tensor(1), 3).tolist() == [1, -1, -1]
    assert bits_to_indices(torch.tensor([-1.0, -1.0, 1.0])) == 4


def test_codes_lie_on_the_sphere() -> None:
    quantizer = BinarySphericalQuantizer(8, beta=0.05, gamma0=1.0, gamma=1.1, zeta=0.05, group_size=4)
    codes, _ = quantizer(torch.randn(2, 5, 8))
    torch.testing.assert_close(codes.norm(dim=-1), torch.ones(2, 5))


def test_halves_and_whole_agree_where_the_bits_differ() -> None:
    sizes = PRESETS["demo"].tokenizer | {"s1_bits": 3, "s2_bits": 5, "group_size": 4}
    tokenizer = KronosTokenizer(**sizes).eval()
    candles = torch.randn(2, 7, 6)
    s1_ids, s2_ids = tokenizer.encode(candles, half=True)
    assert s1_ids.max() < 8 and s2_ids.max() < 32
    assert torch.equal(s1_ids + s2_ids * 8, tokenizer.encode(candles))
    torch.testing.assert_close(tokenizer.decode((s1_ids, s2_ids), half=True), tokenizer(candles).fine)
    torch.testing.assert_close(tokenizer.decode(tokenizer.encode(candles)), tokenizer(candles).fine)
