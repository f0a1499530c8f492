"""What the two ways of conditioning s2 in training teach about the pair (s1, s2)."""

import pytest
import torch
import torch.nn.functional as F

from kronos.model import Kronos

N_CODES = 8


def build_model() -> Kronos:
    torch.manual_seed(0)
    dropouts = dict.fromkeys(("ffn_dropout_p", "attn_dropout_p", "resid_dropout_p", "token_dropout_p"), 0.0)
    return Kronos(s1_bits=3, s2_bits=3, n_layers=1, d_model=16, n_heads=2, ff_dim=32, learn_te=True, **dropouts)


@pytest.mark.parametrize(("teacher_forcing", "learnt"), [(True, True), (False, False)])
def test_only_the_true_s1_tells_of_s2(teacher_forcing: bool, learnt: bool) -> None:
    """s1 is random and s2 equals it: s2 is certain for a model that reads s1, and costs log(8) nats otherwise."""
    model, generator = build_model(), torch.Generator().manual_seed(1)
    optimizer, stamp = torch.optim.Adam(model.parameters(), lr=2e-2), torch.zeros(16, 12, 5)
    for _ in range(100):
        ids = torch.randint(N_CODES, (16, 12), generator=generator)
        uniforms = None if teacher_forcing else torch.rand(16, 11, generator=generator)
        optimizer.zero_grad()
        model(ids, ids, stamp, uniforms).loss.backward()
        optimizer.step()
    ids = torch.randint(N_CODES, (16, 12), generator=generator)
    s2_logits = model(ids, ids, stamp).s2_logits
    loss = F.cross_entropy(s2_logits.flatten(0, 1), ids[:, 1:].flatten()).item()
    assert loss < 1.0 if learnt else loss > 1.8
