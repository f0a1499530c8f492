"""`kronos push`: the folders and cards of a run's models, and their upload."""

import json
import re
import shutil
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard

import kronos
from kronos.evaluation.results import Evaluation
from kronos.files import hash_file, write_sealed
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import NANO_FOLDER, hash_weights
from kronos.model.stored.identity import ModelIdentity
from kronos.run_folder import RunFolder
from kronos.stage_record import StageRecord
from tests.conftest import GOLDEN, FinishedRun, invoke
from tests.hub.fake_hub import FakeHub

LEFT_OUT = {
    "baseline": "pretrained",
    "reason": {"code": "not_loadable", "values": {"error": "/home/me/models: no folder."}},
}
TO, TOKENIZER_TO = "me/kronos-tiny", "me/kronos-tiny-tokenizer"


@pytest.fixture
def run(copied_run: Path) -> Path:
    """A finished run with its verdict."""
    return copied_run


def push(run: Path, *more: object, status: int = 0) -> str:
    done = invoke("push", "--run", run, "--to", TO, *more)
    assert done.exit_code == status, done.output
    return done.output


def read_card(run: Path, which: str = "model") -> ModelCard:
    return ModelCard.load(run / "push" / which / "README.md")


def edit_verdict(run: Path, **changes: object) -> None:
    path = RunFolder(run).report.results
    evaluation = Evaluation.read(path)
    values = json.loads(evaluation.model_dump_json()) | changes
    Evaluation.model_validate(values).write(path)


def test_a_dry_run_writes_folders_and_cards(run: Path) -> None:
    output = push(run, "--dry-run")
    assert "Nothing was uploaded" in output
    for which, model_class, stage in (("model", Kronos, "basemodel"), ("tokenizer", KronosTokenizer, "tokenizer")):
        folder = run / "push" / which
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
        own = model_class.from_pretrained(run / stage / "best_model")
        assert hash_weights(model_class.from_pretrained(folder)) == hash_weights(own)


def test_the_card_has_what_the_hub_reads(run: Path) -> None:
    push(run, "--dry-run", "--license", "apache-2.0")
    evaluation = Evaluation.read(RunFolder(run).report.results)
    data = read_card(run).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "kronos", "time-series-forecasting")
    assert {"time-series-forecasting", "kronos", "finance"} <= set(data.tags)
    assert data.base_model is None  # a folder of this machine
    assert data.model_name == "kronos-tiny"
    own, *against = data.eval_results
    assert own.metric_type == evaluation.metric
    assert own.metric_value == evaluation.forecasters[0].log_return[evaluation.metric].overall
    assert own.dataset_revision == evaluation.provenance.candles and own.dataset_split == "test"
    stated = {each.metric_args["baseline"]: each for each in against}
    for comparison in evaluation.comparisons:
        if comparison.metric == evaluation.metric and comparison.baseline in stated:
            each = stated[comparison.baseline]
            assert each.metric_value == comparison.skill and each.metric_args["outcome"] == comparison.outcome
    header = (run / "push" / "model" / "README.md").read_text().split("---\n")[1]
    assert json.loads(json.dumps(yaml.safe_load(header), allow_nan=False))["model-index"][0]["name"] == "kronos-tiny"
    assert read_card(run, "tokenizer").data.license == "apache-2.0"


def test_the_card_names_candles_settings_and_nothing_of_this_machine(run: Path, finished_run: FinishedRun) -> None:
    push(run, "--dry-run")
    for which in ("model", "tokenizer"):
        text = read_card(run, which).content
        assert (
            str(finished_run.path.parent) not in text and str(run.parent) not in text and str(Path.home()) not in text
        )
        assert "MIT licence" in text
    text = read_card(run).content
    assert "- candles: 2024-01-02 09:35 – 2024-01-04 11:30 (120)" in text and "interval: 5 minutes" in text
    settings = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert settings["data"] == {"lookback_window": 16, "predict_window": 8, "max_context": 24, "clip": 5.0}
    assert settings["training"]["basemodel_epochs"] == 1 and settings["training"]["predictor_learning_rate"] == 0.01
    assert hash_file(run / "basemodel" / "best_model" / "model.safetensors") in text


def test_hidden_candles(run: Path) -> None:
    push(run, "--dry-run", "--hide-data")
    text = read_card(run).content
    assert not re.search(r"\b2024-01-0\d|- candles: ", text)
    assert "Candles: 120; symbols: 1;" in text and "does not name them" in text


def test_hidden_candles_keep_their_caveats(run: Path) -> None:
    """Only the data are left out of a note; a symbol such as T hides no other word."""
    audit = RunFolder(run).audit
    values = json.loads(audit.read_text(encoding="utf-8"))
    values["symbols"][0]["symbol"] = "T"
    values.pop("seal")
    write_sealed(audit, values)
    level = {"difference": "level_close", "own": "123", "low": "4.5", "high": "6.7", "run": "", "text": "close"}
    notes = [
        {"code": "judged_before", "values": {"n": 3, "n_all": 9, "since": "2024-09-02 09:35"}},
        {"code": "unlike_candles", "values": {"symbol": "T", "n_more": 0, **level}},
        {"code": "over_budget", "values": {"n": 180, "n_usable": 1912, "minutes": 10.0}},
        {"code": "text", "texts": dict.fromkeys(("en", "zh"), "Trained on T until 2024-09-02, of The market.")},
    ]
    edit_verdict(run, notes=notes)
    push(run, "--dry-run", "--hide-data")
    text = read_card(run).content
    assert not re.search(r"2024-|123|\(T\)", text)
    for words in ("3 of 9 origins lie in the time that", "These candles differ from those in training.", "10 minutes"):
        assert words in text
    assert "Trained on … until …, of The market." in text
    push(run, "--dry-run")
    text = read_card(run).content
    assert '--since "2024-09-02 09:35"' in text and "(T): close is about 123" in text


def test_no_path_in_the_reason_why_nothing_was_compared(run: Path) -> None:
    edit_verdict(run, comparisons=[], left_out=[LEFT_OUT])
    push(run, "--dry-run")
    assert "was not compared with a pretrained model (cannot be loaded)" in read_card(run).content


def test_the_code_of_the_card_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ours, and with upstream's names, for which our classes stand in."""
    push(run, "--dry-run")
    ours, upstream = re.findall(r"```python\n(.*?)```", read_card(run).content, re.DOTALL)
    folders = {f'"{TOKENIZER_TO}"': repr(str(run / "push" / "tokenizer")), f'"{TO}"': repr(str(run / "push" / "model"))}
    for name, folder in folders.items():
        ours, upstream = ours.replace(name, folder), upstream.replace(name, folder)
    candles = pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"])
    names = {"candles": candles.set_index("timestamps")}
    exec(ours, names)
    assert len(names["forecast"].median) == 8
    monkeypatch.setitem(sys.modules, "model", kronos)
    times = candles["timestamps"]
    names = {"df": candles[:16], "x_timestamp": times[:16], "y_timestamp": times[16:24]}
    exec(upstream, names)
    assert names["forecast"].shape == (8, 6) and np.isfinite(names["forecast"]).all(axis=None)


@pytest.mark.parametrize(
    ("outcome", "first"),
    [
        ("hurt", "> **Fine-tuning made this model worse than the pretrained one on held-out candles.**"),
        ("no difference", "> **This model has no proven skill:**"),
    ],
)
def test_a_bad_verdict_comes_first(run: Path, outcome: str, first: str) -> None:
    verdict = json.loads(RunFolder(run).report.results.read_text())
    edit_verdict(run, comparisons=[each | {"outcome": outcome} for each in verdict["comparisons"]])
    push(run, "--dry-run")
    title, after, *_ = read_card(run).text.strip().split("\n\n")
    assert title.startswith("# kronos-tiny") and after.startswith(first)


@pytest.mark.parametrize("how", ["no verdict", "of other weights"])
def test_a_model_without_a_verdict(run: Path, how: str) -> None:
    if how == "no verdict":
        shutil.rmtree(run / "report")
    else:
        verdict = json.loads(RunFolder(run).report.results.read_text())
        of_other = verdict["provenance"]["base_model"] | {"sha256": "0" * 64}
        edit_verdict(run, provenance=verdict["provenance"] | {"base_model": of_other})
    push(run, "--dry-run")
    card = read_card(run)
    assert card.text.strip().split("\n\n")[1].startswith("> **These weights were not evaluated")
    assert card.data.eval_results is None and "Verdict" not in card.text


def test_a_tokenizer_that_is_on_the_hub_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = "NeoQuasar/Kronos-Tokenizer-base"
    monkeypatch.setattr("kronos.hub.push.find_tokenizer", lambda config: f"{tokenizer}@main")
    push(run, "--dry-run")
    assert [path.name for path in (run / "push").iterdir()] == ["model"]
    assert f'from_pretrained("{TO}", "{tokenizer}"' in read_card(run).content


def test_models_that_started_from_the_hub(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the record of the training, not by what is called so in the current folder."""
    monkeypatch.chdir(run)
    for name in ("NeoQuasar/Kronos-small", "nano"):
        (run / name).mkdir(parents=True)
        (run / name / "config.json").touch()
    nano = KronosTokenizer.from_pretrained(NANO_FOLDER / "tokenizer").identity
    start_from(run, "basemodel", ModelIdentity("NeoQuasar/Kronos-small@main", "c" * 40, "0" * 64))
    start_from(run, "tokenizer", nano)
    push(run, "--dry-run", "--language", "zh")
    data = read_card(run).data
    assert (data.base_model, data.license, data["base_model_relation"]) == ("NeoQuasar/Kronos-small", "mit", "finetune")
    data = read_card(run, "tokenizer").data
    assert (data.base_model, data.license) == (None, "mit")
    assert "## 使用方法" in read_card(run).text and "## 训练设置" in read_card(run).text


def test_a_local_folder_like_a_hub_name_is_no_base_model(run: Path) -> None:
    """Its name is relative; nothing of it is in the current folder."""
    start_from(run, "basemodel", ModelIdentity("models/own", None, "0" * 64))
    push(run, "--dry-run")
    assert read_card(run).data.base_model is None and read_card(run).data.license is None


def start_from(run: Path, stage: str, start: ModelIdentity) -> None:
    record = StageRecord.read(run / stage)
    record.model_copy(update={"start_model": start}).write(run / stage)


def test_an_upload(hub: FakeHub, run: Path) -> None:
    output = push(run, "--private")
    assert f"uploaded: {hub.endpoint}/{TO}" in output and f"--model {TO} --tokenizer {TOKENIZER_TO}" in output
    created = [body for path, body in hub.posted if path == "api/repos/create"]
    assert [(each["name"], each["visibility"]) for each in created] == [
        ("kronos-tiny-tokenizer", "private"),
        ("kronos-tiny", "private"),
    ]
    assert sorted(hub.uploaded) == sorted(
        f"{repository}/{name}"
        for repository in (TO, TOKENIZER_TO)
        for name in ("README.md", "config.json", "model.safetensors")
    )
    for path, content in hub.uploaded.items():
        which = "tokenizer" if path.startswith(TOKENIZER_TO) else "model"
        assert content == (run / "push" / which / Path(path).name).read_bytes()


def test_nothing_private_is_put_into_a_public_repository(hub: FakeHub, run: Path) -> None:
    hub.public = True
    assert "exists and is public, but --private was given" in push(run, "--private", status=1)
    assert not hub.uploaded


def test_both_repositories_are_checked_before_anything_is_uploaded(
    hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the tokenizer is private; that of the model, which is uploaded after it, is public."""
    model_info = huggingface_hub.HfApi.model_info

    def find_public(api: huggingface_hub.HfApi, name: str) -> huggingface_hub.ModelInfo:
        hub.public = name == TO
        return model_info(api, name)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", find_public)
    assert f"{TO} exists and is public" in " ".join(push(run, "--private", status=1).split())
    assert not hub.uploaded


def test_the_token_is_not_sent_to_another_hub(hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://huggingface.co")
    output = " ".join(push(run, "--endpoint", f"{hub.endpoint}/", status=1).split())
    assert "your token is not sent there" in output and "set HF_ENDPOINT to it and HF_TOKEN" in output
    assert not hub.requests


@pytest.mark.parametrize("endpoint", ["http://[::1", "http://host:80a"])
def test_an_address_that_is_none(hub: FakeHub, run: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is no address of a hub. Give one" in " ".join(push(run, "--endpoint", endpoint, status=1).split())
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    assert "is no address of a hub. Correct HF_ENDPOINT" in " ".join(push(run, status=1).split())


def test_the_language_of_the_run(run: Path) -> None:
    config = run / "config.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings.setdefault("report", {})["language"] = "zh"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert "没有上传任何内容" in push(run, "--dry-run")
    assert "## 使用方法" in read_card(run).text
    assert "Nothing was uploaded" in push(run, "--dry-run", "--language", "en")
    assert "## How to use it" in read_card(run).text


def test_a_command_names_the_run_in_quotes(run: Path) -> None:
    spaced = run.rename(run.with_name("my run"))
    edit_verdict(spaced, provenance=None)
    assert f"kronos evaluate --run '{spaced}'" in " ".join(push(spaced, "--dry-run").split())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not know who you are. Run hf auth login, or set HF_TOKEN"),
        (403, "your token may not write there"),
        (500, "not uploaded to"),
    ],
)
def test_a_hub_that_refuses(hub: FakeHub, run: Path, status: int, words: str) -> None:
    hub.status = status
    output = " ".join(push(run, status=1).split())
    assert words in output and "Traceback" not in output and not hub.uploaded


def test_no_token_and_no_connection(hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "Mirrors such as hf-mirror.com take no uploads" in push(run, "--endpoint", "http://127.0.0.1:9", status=1)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "hf auth login" in push(run, status=1)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in push(run, status=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "kronos"], "--to kronos: no name of the hub. Give user/name"),
        (["--to", "me/../x"], "no name of the hub"),
        (["--tokenizer-to", TO], "A model and its tokenizer need a repository each"),
        (["--license", "My Own"], "no identifier of the hub"),
        (["--run", "nowhere"], "there is no run here"),
    ],
)
def test_mistakes(run: Path, options: list[str], words: str) -> None:
    assert words in push(run, *options, status=1)
    assert not (run / "push").exists()


def test_a_damaged_model_is_not_published(run: Path) -> None:
    weights = run / "basemodel" / "best_model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert "the model is damaged, or was replaced" in push(run, "--dry-run", status=1)
