from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from tests.conftest import GOLDEN
from tests.hub.fake_hub import FakeHub, serve_hub

SMALL, TOKENIZER = "NeoQuasar/Kronos-small", "NeoQuasar/Kronos-Tokenizer-base"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with the golden models under published names, an empty cache, and a user with a token."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr("kronos.model.stored.hub.STALL_SECONDS", 2.0)
    huggingface_hub.close_session()
    with serve_hub({SMALL: GOLDEN / "predictor", TOKENIZER: GOLDEN / "tokenizer"}) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.endpoint)
        resolve = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "".join([served.endpoint, *resolve[1:]]))
        yield served
    huggingface_hub.close_session()
