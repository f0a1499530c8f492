"""Parity with what the reference implementation computed, and with the files it stores."""

import pytest
import torch
from safetensors.torch import load_file

from kronos.model import Kronos, KronosTokenizer
from kronos.model.tokenizer import TokenizerOutput
from tests.conftest import GOLDEN, assert_close, load_vectors

PREDICTORS = ["predictor", "predictor_fixed_time"]


@pytest.fixture
def tokenizer() -> KronosTokenizer:
    return KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")


@pytest.fixture(params=PREDICTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check_gradients(model: torch.nn.Module, vectors: dict[str, torch.Tensor]) -> None:
    expected = {key.removeprefix("grad_norm."): v for key, v in vectors.items() if key.startswith("grad_norm.")}
    assert expected.keys() == {key for key, p in model.named_parameters() if p.requires_grad}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            torch.testing.assert_close(parameter.grad.norm(), expected[key].squeeze(), rtol=1e-3, atol=1e-7, msg=key)


def test_tokenizer_forward(tokenizer: KronosTokenizer) -> None:
    vectors = load_vectors("tokenizer")
    output: TokenizerOutput = tokenizer(vectors["x"])
    assert_close(output.codes, vectors["quantized"])
    assert_close(output.coarse, vectors["recon_pre"])
    assert_close(output.fine, vectors["recon"])
    assert_close(output.bsq_loss.reshape(1), vectors["bsq_loss"])
    assert_close(output.window_loss.mean().reshape(1), vectors["recon_loss"])
    assert_close(output.loss.reshape(1), vectors["loss"])


def test_tokenizer_gradients(tokenizer: KronosTokenizer) -> None:
    vectors = load_vectors("tokenizer")
    tokenizer.train()(vectors["x"]).loss.backward()
    check_gradients(tokenizer, vectors)


def test_tokenizer_indices_exactly(tokenizer: KronosTokenizer) -> None:
    vectors = load_vectors("tokenizer")
    s1_ids, s2_ids = tokenizer.encode(vectors["x"], half=True)
    assert torch.equal(s1_ids, vectors["s1_ids"])
    assert torch.equal(s2_ids, vectors["s2_ids"])
    assert torch.equal(tokenizer.encode(vectors["x"]), vectors["ids"])


def test_tokenizer_decode(tokenizer: KronosTokenizer) -> None:
    vectors = load_vectors("tokenizer")
    assert_close(tokenizer.decode((vectors["s1_ids"], vectors["s2_ids"]), half=True), vectors["decoded"])
    assert_close(tokenizer.decode(vectors["ids"]), vectors["decoded"])


@pytest.mark.parametrize("training", [True, False])
def test_base_model_parallel_pass(name: str, training: bool) -> None:
    vectors = load_vectors(name)
    model = Kronos.from_pretrained(GOLDEN / name).train(training)
    output = model(vectors["s1_ids"], vectors["s2_ids"], vectors["stamp"])
    assert_close(output.s1_logits, vectors["teacher_s1_logits"])
    assert_close(output.s2_logits, vectors["teacher_s2_logits"])
    assert_close(output.loss.reshape(1), vectors["loss"])
    assert_close(output.loss.reshape(1), (vectors["ce_s1"] + vectors["ce_s2"]) / 2)
    output.loss.backward()
    check_gradients(model, vectors)


def test_base_model_decoding(name: str) -> None:
    vectors = load_vectors(name)
    model = Kronos.from_pretrained(GOLDEN / name)
    s1_logits, hidden = model.decode_s1(vectors["s1_ids"], vectors["s2_ids"], vectors["stamp"])
    assert_close(hidden, vectors["context"])
    assert_close(s1_logits[:, -1], vectors["next_s1_logits"])
    s1_next = s1_logits[:, -1:].argmax(-1)
    assert torch.equal(s1_next, vectors["next_s1_ids"])
    assert_close(model.decode_s2(hidden, s1_next, rotate=False)[:, -1], vectors["next_s2_logits"])


def test_one_step_decode_equals_the_parallel_pass(name: str) -> None:
    vectors = load_vectors(name)
    model = Kronos.from_pretrained(GOLDEN / name)
    for t in (0, 1, 17, 38):
        end = t + 1
        _, hidden = model.decode_s1(*(vectors[key][:, :end] for key in ("s1_ids", "s2_ids", "stamp")))
        next_logits = model.decode_s2(hidden, vectors["s1_ids"][:, end : end + 1])
        assert_close(next_logits[:, -1], vectors["teacher_s2_logits"][:, t])


@pytest.mark.parametrize("name", ["tokenizer", *PREDICTORS])
def test_files_interchange(name: str, tmp_path) -> None:
    """What we save carries the published names, shapes, types and values, and the same config.json."""
    model_class = KronosTokenizer if name == "tokenizer" else Kronos
    model_class.from_pretrained(GOLDEN / name).save_pretrained(tmp_path)
    published, ours = (load_file(folder / "model.safetensors") for folder in (GOLDEN / name, tmp_path))
    assert published.keys() == ours.keys()
    for key, tensor in published.items():
        assert tensor.dtype == ours[key].dtype and torch.equal(tensor, ours[key]), key
    assert (GOLDEN / name / "config.json").read_text() == (tmp_path / "config.json").read_text()
