import re
from datetime import date, datetime
from pathlib import Path

import pytest

from kronos.config import Config, load_config
from kronos.config.load import dump_config
from kronos.config.messages import section_of
from kronos.errors import ConfigError
from tests.conftest import ROOT

MINIMAL = """
data:
  data_path: candles.csv
model_paths:
  pretrained_tokenizer: t
  pretrained_predictor: p
"""

# Every key of upstream's YAML, absolute paths, the empty-string forms, its value types.
UPSTREAM = """
data:
  data_path: "/home/me/Kronos/finetune_csv/data/HK_ali_09988_kline_5min_all.csv"
  lookback_window: 512
  predict_window: 48
  max_context: 512
  clip: 5.0
  train_ratio: 0.9
  val_ratio: 0.1
  test_ratio: 0.0
training:
  tokenizer_epochs: 30
  basemodel_epochs: 20
  batch_size: 32
  log_interval: 50
  num_workers: 6
  seed: 42
  tokenizer_learning_rate: 0.0002
  predictor_learning_rate: 1e-6
  adam_beta1: 0.9
  adam_beta2: 0.95
  adam_weight_decay: 0.1
  accumulation_steps: 1
model_paths:
  pretrained_tokenizer: "/home/me/Kronos/pretrained/Kronos-Tokenizer-base"
  pretrained_predictor: "/home/me/Kronos/pretrained/Kronos-base"
  exp_name: "HK_ali"
  base_path: "/home/me/Kronos/finetune_csv/finetuned/"
  base_save_path: ""
  finetuned_tokenizer: ""
  tokenizer_save_name: "tokenizer"
  basemodel_save_name: "basemodel"
experiment:
  name: "kronos_custom_finetune"
  description: "Custom finetune for HK stock data"
  use_comet: false
  train_tokenizer: true
  train_basemodel: true
  skip_existing: false
  pre_trained: true
  pre_trained_tokenizer: true
  pre_trained_predictor: true
device:
  use_cuda: true
  device_id: 0
distributed:
  use_ddp: false
  backend: "nccl"
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, overrides)


def faults(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    return str(caught.value).replace(str(tmp_path) + "/", "").splitlines()


def test_defaults(tmp_path: Path) -> None:
    data = load(tmp_path, MINIMAL).data
    assert (data.lookback_window, data.predict_window, data.max_context, data.clip) == (512, 48, 512, 5.0)
    assert (data.train_ratio, data.val_ratio, data.test_ratio) == (0.9, 0.1, 0.0)


def test_upstream_yaml_unchanged(tmp_path: Path) -> None:
    config = load(tmp_path, UPSTREAM)
    finetuned = Path("/home/me/Kronos/finetune_csv/finetuned")
    assert config.training.predictor_learning_rate == 1e-6
    assert config.model_paths.base_save_path == finetuned / "HK_ali"
    assert config.model_paths.finetuned_tokenizer == finetuned / "HK_ali" / "tokenizer" / "best_model"
    assert config.model_paths.run_folder.basemodel.path == finetuned / "HK_ali" / "basemodel"


@pytest.mark.parametrize("address", ["hf-mirror.com", "http://[::1", "http://host:80a"])
def test_the_address_of_a_hub(tmp_path: Path, address: str) -> None:
    (fault,) = faults(tmp_path, MINIMAL + f'  hub_endpoint: "{address}"\n')
    assert "c.yaml:7" in fault and "is no address of a hub. Give one such as https://hf-mirror.com" in fault
    assert (
        load(tmp_path, MINIMAL + "  hub_endpoint: https://host:8000/\n").model_paths.hub_endpoint == "https://host:8000"
    )


def test_template_forms(tmp_path: Path) -> None:
    text = MINIMAL + "  exp_name: x1\n  base_save_path: /out/{exp_name}\n"
    text += "  finetuned_tokenizer: /out/{exp_name}/tokenizer/best_model\n"
    model_paths = load(tmp_path, text).model_paths
    assert model_paths.base_save_path == Path("/out/x1")
    assert model_paths.finetuned_tokenizer == Path("/out/x1/tokenizer/best_model")


def test_epochs_sets_both_stages_but_a_stage_s_own_key_wins(tmp_path: Path) -> None:
    training = load(tmp_path, MINIMAL, "training.epochs=3", "training.basemodel_epochs=7").training
    assert (training.tokenizer_epochs, training.basemodel_epochs) == (3, 7)


def test_pre_trained_sets_both_models_but_a_model_s_own_key_wins(tmp_path: Path) -> None:
    overrides = ["experiment.pre_trained=false", "experiment.pre_trained_tokenizer=true"]
    experiment = load(tmp_path, MINIMAL, *overrides).experiment
    assert (experiment.pre_trained_tokenizer, experiment.pre_trained_predictor) == (True, False)


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "0.0001", "1.0e-4"])
def test_scientific_notation_is_a_number(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, MINIMAL + f"training:\n  adam_weight_decay: {text}\n").training.adam_weight_decay == 1e-4
    assert load(tmp_path, MINIMAL, f"training.adam_weight_decay={text}").training.adam_weight_decay == 1e-4


def test_override_wins_and_reaches_sections_the_file_lacks(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL, "data.data_path=other.csv", "training.batch_size=8", "device.use_cuda=false")
    assert (config.data.data_path, config.training.batch_size, config.device.use_cuda) == (
        (Path("other.csv"),),
        8,
        False,
    )


def test_all_faults_at_once_with_place_and_suggestion(tmp_path: Path) -> None:
    text = """
data:
  data_path: candles.csv
  lookback_windw: 96
  predict_window: many
  train_ratio: 0.5
training:
  batch_size: 30
  accumulation_steps: 4
model_path:
  exp_name: x
seed: 3
"""
    found = faults(tmp_path, text, "training.batch_sise=8")
    for expected in (
        "c.yaml:4: unknown key data.lookback_windw; did you mean data.lookback_window?",
        "c.yaml:5: data.predict_window is 'many'; it must be a whole number.",
        "c.yaml:6: train_ratio + val_ratio + test_ratio must be 1, but 0.5 + 0.1 + 0 = 0.6",
        "c.yaml:9: accumulation_steps (4) must divide batch_size (30)",
        "c.yaml:10: unknown key model_path; did you mean model_paths?",
        "c.yaml:12: unknown key seed; seed belongs in section training.",
        "command line: unknown key training.batch_sise; did you mean training.batch_size?",
        "c.yaml: pretrained_tokenizer and pretrained_predictor missing from model_paths",
    ):
        assert any(line.startswith(expected) for line in found), expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml: the file is empty"),
        ("# nothing\n", "c.yaml: the file is empty"),
        ("- a\n- b\n", "c.yaml: expected sections"),
        ("just words", "c.yaml: expected sections"),
        ("data: [1, 2", "c.yaml:1: not valid YAML"),
        ("data:\n\tdata_path: x\n", "c.yaml:2: not valid YAML"),
        ("data:\n  data_path: x\n  data_path: y\n", 'c.yaml:3: found duplicate key "data_path"'),
        ("data: 3\n", "c.yaml:1: data must be a section of keys, but it is 3"),
        ("data:\n", "c.yaml:1: data.data_path is missing"),
        (MINIMAL + "data2: {}\n", "c.yaml:7: unknown key data2; did you mean data?"),
        (MINIMAL + "training:\n  batch_size: true\n", "c.yaml:8: training.batch_size is True"),
        (MINIMAL + "training:\n  batch_size: 0\n", "c.yaml:8: training.batch_size is 0"),
        (MINIMAL + "training:\n  tokenizer_learning_rate: .nan\n", "c.yaml:8: training.tokenizer_learning_rate is nan"),
        (MINIMAL + "distributed:\n  backend: mpi\n", "c.yaml:8: distributed.backend is 'mpi'"),
        (
            MINIMAL + "distributed:\n  strategy: fsdp\n",
            "c.yaml:8: strategy fsdp is not supported any more; use ddp. No ",
        ),
        (
            MINIMAL + "distributed:\n  strategy: ddpp\n",
            "c.yaml:8: distributed.strategy is 'ddpp'; it must be 'ddp'; did",
        ),
        (MINIMAL + "  finetuned_tokenizer: /elsewhere\n", "c.yaml:7: finetuned_tokenizer is /elsewhere, but stage 1"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, expected: str) -> None:
    found = faults(tmp_path, text)
    assert any(line.startswith(expected) for line in found), found


def test_a_fault_does_not_bring_forth_others(tmp_path: Path) -> None:
    assert len(faults(tmp_path, MINIMAL + "training:\n  tokenizer_epochs: 3.5\n")) == 1
    assert len(faults(tmp_path, MINIMAL + "experiment:\n  name: [x]\n  pre_trained: maybe\n")) == 2


def test_blank_texts_and_paths_are_empty(tmp_path: Path) -> None:
    text = MINIMAL + "  base_save_path:\n  finetuned_tokenizer:\nexperiment:\n  description:\n"
    config = load(tmp_path, text)
    assert config.model_paths.base_save_path == Path("finetuned/default_experiment")
    assert config.experiment.description == ""


def test_overrides_of_texts_are_taken_as_they_stand(tmp_path: Path) -> None:
    config = load(
        tmp_path, MINIMAL, "model_paths.exp_name=000001", "data.data_path=my #1.csv", "experiment.description=a: b"
    )
    assert (config.model_paths.exp_name, config.data.data_path, config.experiment.description) == (
        "000001",
        (Path("my #1.csv"),),
        "a: b",
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024-02-15", date(2024, 2, 15)),
        ("20240215", date(2024, 2, 15)),
        ("2024-02-15 00:00:00", datetime(2024, 2, 15)),
        ("'2024-02-15 00:00'", datetime(2024, 2, 15)),
        ("2024-02-15T12:30:00", datetime(2024, 2, 15, 12, 30)),
    ],
)
def test_days_and_moments_are_read_back_as_they_were(tmp_path: Path, written: str, read: date) -> None:
    config = load(tmp_path, MINIMAL, f"data.train_end={written}")
    assert config.data.train_end == read and type(config.data.train_end) is type(read)
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize("written", ["2024-02-30", "Feb-2024", "2024-02-15 12:00:00+08:00", "7", "1.5", "[1]"])
def test_what_is_no_day(tmp_path: Path, written: str) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.train_end is .*; (write a day like 2024-06-30|leave the time zone out)"
    ):
        load(tmp_path, MINIMAL, f"data.train_end={written}")
    (tmp_path / "day.yaml").write_text(MINIMAL.replace("candles.csv", f"candles.csv\n  train_end: {written}"))
    with pytest.raises(ConfigError, match=r"day\.yaml"):
        load_config(tmp_path / "day.yaml")


def test_a_number_as_a_name_must_be_quoted(tmp_path: Path) -> None:
    assert faults(tmp_path, MINIMAL + "  exp_name: 000001\n")[0].endswith("it must be a text: put it in quotes.")


def test_only_what_a_stage_needs_must_be_named(tmp_path: Path) -> None:
    only_tokenizer = "data:\n  data_path: c.csv\nmodel_paths:\n  pretrained_tokenizer: t\n"
    load(tmp_path, only_tokenizer, "experiment.train_basemodel=false")
    assert "pretrained_predictor missing" in faults(tmp_path, only_tokenizer)[0]


def test_the_saved_file_serves_for_another_experiment(tmp_path: Path) -> None:
    saved = dump_config(load(tmp_path, MINIMAL, "model_paths.exp_name=first"))
    assert load(tmp_path, saved, "model_paths.exp_name=second").model_paths.base_save_path == Path("finetuned/second")


def test_home_folder(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, "model_paths.base_path=~/runs").model_paths.base_path == Path.home() / "runs"


def test_yaml_anchors(tmp_path: Path) -> None:
    merged = (
        "data: &d\n  data_path: x\n  lookback_windw: 3\ntraining:\n  <<: *d\n" + MINIMAL.partition("candles.csv")[2]
    )
    assert any("data_path" in fault and fault.startswith("c.yaml:") for fault in faults(tmp_path, merged))


@pytest.mark.parametrize("names", [("x", "x"), (".", "b"), ("a", "../b"), ("a", "/b")])
def test_stage_folders_are_two_plain_names(tmp_path: Path, names: tuple[str, str]) -> None:
    overrides = [f"model_paths.{key}_save_name={name}" for key, name in zip(("tokenizer", "basemodel"), names)]
    assert "plain folder name" in faults(tmp_path, MINIMAL, *overrides)[0]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such config file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="this is a folder"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00data")
    with pytest.raises(ConfigError, match="not a UTF-8 text file"):
        load_config(tmp_path / "binary.yaml")


@pytest.mark.parametrize("override", ["training.batch_size", "=3", "training..x=1", ".=1"])
def test_malformed_override(tmp_path: Path, override: str) -> None:
    assert "is not an override" in faults(tmp_path, MINIMAL, override)[0]


def test_resolved_config_reads_back_the_same(tmp_path: Path) -> None:
    config = load(tmp_path, UPSTREAM)
    assert load(tmp_path, dump_config(config)) == config


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs(path: Path) -> None:
    load_config(path)
    header = path.read_text().split("\n\n")[0]
    assert all(word in header for word in ("Needs:", "Launch:", "Override:")), header


def test_no_dead_keys() -> None:
    """Every key is used somewhere outside the schema."""
    sources = [path.read_text() for path in (ROOT / "kronos").rglob("*.py") if path.name != "schema.py"]
    code = "\n".join(sources)
    shorthands = {"epochs", "pre_trained", "base_path", "tokenizer_save_name", "basemodel_save_name"}
    for section in filter(None, (section_of(field.annotation) for field in Config.model_fields.values())):
        for key in set(section.model_fields) - shorthands:  # the shorthands fill other keys
            assert re.search(rf"\b{key}\b", code), key


def test_trackers_are_one_or_many(tmp_path: Path) -> None:
    for text, expected in (("wandb", ("wandb",)), ("[wandb, comet]", ("wandb", "comet")), ("", ())):
        assert load(tmp_path, MINIMAL + f"experiment:\n  trackers: {text}\n").experiment.trackers == expected
        assert load(tmp_path, MINIMAL, f"experiment.trackers={text}").experiment.trackers == expected
    (fault,) = faults(tmp_path, MINIMAL + "experiment:\n  trackers: [wandb, Tensorbord]\n")
    assert fault.startswith("c.yaml:8: experiment.trackers.1 is 'Tensorbord'; it must be 'tensorboard', 'wandb'")
    assert fault.endswith("did you mean 'tensorboard'?")


def test_a_list_full_of_errors_is_short(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match="1,980 more errors") as caught:
        load_config(tiny_config, [f"experiment.trackers=[{', '.join('x' * 2000)}]"])
    assert str(caught.value).count("\n") == 20
