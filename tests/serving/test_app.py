"""Requests over HTTP, in this process: answers, verdicts, and refusals that say what to change."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from kronos import load_run
from kronos.errors import WriteError
from kronos.evaluation.results import Evaluation
from kronos.serving.runs import ServedRuns
from kronos.serving.schemas import EXAMPLE
from kronos.serving.service import Limits
from tests.conftest import FinishedRun
from tests.serving.conftest import open_client, read_frame, to_columns, to_input

PATHS = {"parameters": {"n_paths": 3, "prediction_length": 4}}


def test_an_answer_has_the_forecast_and_the_verdict(client: TestClient, finished_run: FinishedRun) -> None:
    frame = read_frame(finished_run.candles)
    asked = {"n_paths": 3, "quantiles": [0.1, 0.5], "include_paths": True, "seed": 7}
    answer = client.post("/v1/forecast", json={"inputs": [to_input(frame)], "parameters": asked}).json()
    (output,) = answer["outputs"]
    run = client.service.find_run(None)
    expected = load_run(finished_run.path).forecast(frame, n_paths=3, seed=7, verbose=False)
    for name, column in expected.mean.items():
        np.testing.assert_allclose(output["candles"][name], column, rtol=2e-6)
    np.testing.assert_allclose(output["mean"], expected.mean["close"], rtol=2e-6)
    np.testing.assert_allclose(output["quantile_predictions"][0]["values"], expected.quantile(0.1)["close"], rtol=2e-6)
    np.testing.assert_allclose(output["paths"]["close"], expected.paths[..., 3], rtol=2e-6)
    assert output["probability_up"] == pytest.approx(expected.probability_up().tolist())
    assert output["timestamps"] == [each.isoformat() for each in expected.timestamps]
    assert output["as_of"] == frame.index[-1].isoformat() and output["last_close"] == frame["close"].iloc[-1]
    evaluation = Evaluation.read(finished_run.path / "report" / "metrics.json")
    assert answer["verdict"]["headline"] == evaluation.headline and answer["verdict"]["state"] == "evaluated"
    assert answer["run"]["weights"] == run.hashes[0] and answer["model"] == "tiny"


@pytest.mark.slow
def test_a_forecast_does_not_depend_on_its_company(client: TestClient, finished_run: FinishedRun) -> None:
    frame = read_frame(finished_run.candles)
    inputs = [to_input(frame[: len(frame) - n], f"S{n}") for n in range(6)]
    alone = [client.post("/v1/forecast", json=PATHS | {"inputs": [each]}).json()["outputs"][0] for each in inputs]
    together = client.post("/v1/forecast", json=PATHS | {"inputs": inputs}).json()["outputs"]
    with ThreadPoolExecutor(6) as pool:
        posts = [pool.submit(client.post, "/v1/forecast", json=PATHS | {"inputs": [each]}) for each in inputs]
        crowd = [each.result().json()["outputs"][0] for each in posts]
    for others in (together, crowd):
        assert [each["symbol"] for each in others] == [each["symbol"] for each in alone]
        np.testing.assert_allclose(to_columns(others), to_columns(alone), rtol=1e-5)


def test_a_target_a_file_and_columns_are_the_same_candles(client: TestClient, finished_run: FinishedRun) -> None:
    frame = read_frame(finished_run.candles)[-40:]
    content = base64.b64encode(frame.rename_axis("timestamps").to_csv().encode()).decode()
    inputs = [to_input(frame), {"file": {"name": "my candles.csv", "content_base64": content}}]
    columns, file = client.post("/v1/forecast", json=PATHS | {"inputs": inputs}).json()["outputs"]
    assert columns["candles"] == file["candles"]
    nested = {"target": [[each] for each in frame["close"]], "start": "2024-06-03 09:35"}
    parameters = PATHS["parameters"] | {"freq": "5min"}
    (output,) = client.post("/v1/forecast", json={"inputs": [nested], "parameters": parameters}).json()["outputs"]
    assert np.shape(output["mean"]) == (4, 1) == np.shape(output["quantile_predictions"][0]["values"])


def test_the_example_of_the_description_works(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["components"]["schemas"]
    assert client.post("/v1/forecast", json=described["ForecastRequest"]["example"]).status_code == 200
    assert client.post("/v1/forecast/batch", json=described["BatchRequest"]["example"]).status_code == 200
    assert client.post("/v1/check", json=described["CheckRequest"]["example"]).json()["findings"]


def test_one_request_of_a_batch_may_fail(client: TestClient) -> None:
    asked = [EXAMPLE, EXAMPLE | {"model": "nope"}]
    good, bad = client.post("/v1/forecast/batch", json={"requests": asked}).json()["results"]
    assert good["status"] == "ok" and good["forecast"]["outputs"][0]["symbol"] == "DEMO"
    assert bad["status"] == "error" and bad["error"]["code"] == "unknown_model"
    assert bad["error"]["error"] == "there is no model 'nope'. Choose one of these: tiny."


START = {"inputs": [{"target": [1, 2], "start": "2024-06-03 09:35"}], "parameters": {"frequency": "5min"}}


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"model": "x"}, 404, "there is no model 'x'"),
        ({"inputs": []}, 422, "inputs: List should have at least 1 item"),
        ({"parameters": {"prediction_lenght": 3}}, 422, "parameters.prediction_lenght: Extra inputs are not permitted"),
        ({"parameters": {"prediction_length": 24}}, 422, "Forecast at most 23."),
        (
            {"parameters": {"n_paths": 1000, "prediction_length": 23}},
            422,
            "23,000 sampled candles; this server samples",
        ),
        ({"parameters": {"timeout_seconds": 1e-6}}, 504, "no answer within 1e-06 s"),
        ({"parameters": {"quantile_levels": [1.5]}}, 422, "quantile_levels[0]: Input should be less than"),
        ({"parameters": {"exchange": "NOPE"}}, 422, "does not know the exchange 'NOPE'"),
        ({"inputs": [{"target": [1, 2, 3], "start": "2024-01-01"}]}, 422, "start needs parameters.frequency"),
        (
            {"inputs": [{"target": [1, 2], "timestamps": ["2024-01-01"]}]},
            422,
            "timestamps has 1 values, but close has 2",
        ),
        (
            {"inputs": [{"target": [1, 2], "timestamps": ["x", "y"]}]},
            422,
            "series: row 1: timestamp 'x' cannot be read",
        ),
        ({"inputs": [{"file": {"name": "a.csv", "content_base64": "!"}}]}, 422, "not base64"),
        ({"inputs": [{"file": {"name": "a.csv", "content_base64": "AAAA"}}]}, 422, "a.csv"),
        ({"inputs": [{"file": {"name": "a.csv", "content_base64": "H4sIAAAA"}}]}, 422, "a.csv: the file is packed."),
        (START | {"inputs": [{"target": [1, 2], "start": ""}]}, 422, "start '' and parameters.frequency"),
        (START | {"inputs": [{"target": [1, 2], "start": "now"}]}, 422, "start 'now' and parameters.frequency '5min'"),
        (START | {"parameters": {"frequency": "-5min"}}, 422, "frequency '-5min' make no 2 times"),
        (START | {"parameters": {"frequency": "0min"}}, 422, "frequency '0min' make no 2 times"),
        ({"inputs": [{"target": [1, "x"], "timestamps": [1, 2]}]}, 422, "inputs[0].target: write closes as numbers"),
        ({"inputs": [{"target": [1, 2], "timestamps": [True, []]}]}, 422, "timestamps[0]: write a time like 2024"),
        ({"inputs": [{"file": {"name": "../a.parquet", "content_base64": "AAAA"}}]}, 422, "file.name: "),
    ],
)
def test_refusals_say_what_to_change(served_runs: ServedRuns, change: dict, status: int, text: str) -> None:
    with open_client(served_runs, Limits(max_candles=20_000, reload_interval=0)) as client:
        answer = client.post("/v1/forecast", json=EXAMPLE | change)
    assert answer.status_code == status and text in answer.json()["error"]
    assert "/tmp" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 50_000, b"\xff", b'{"inputs": NaN}', b'{"a":' * 9_000])
def test_bodies_that_are_no_request(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/forecast", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["code"] in ("bad_request", "invalid")
    assert answer.json()["error"].startswith(("the body ", "inputs: ", "a: ")), answer.text


def test_metadata_are_returned_if_they_are_json(client: TestClient) -> None:
    json_type, rest = {"Content-Type": "application/json"}, json.dumps(EXAMPLE)[:-1]
    for metadata in ('{"a":' * 500 + "1" + "}" * 500, '{"a": [NaN]}', '{"a": 1e999}', '{"a": "\\ud800"}'):
        answer = client.post("/v1/forecast", content=f'{rest}, "metadata": {metadata}}}', headers=json_type)
        assert answer.status_code == 422 and answer.json()["error"].startswith("metadata: "), answer.text
    kept = {"order": [1, None, {"股票": "\U0001f600"}]}
    assert client.post("/v1/forecast", json=EXAMPLE | {"metadata": kept}).json()["metadata"] == kept


def test_repairs_of_the_candles_are_noted(client: TestClient) -> None:
    (given,) = EXAMPLE["inputs"]
    backwards = given | {"timestamps": given["timestamps"][::-1]}
    (output,) = client.post("/v1/forecast", json=PATHS | {"inputs": [backwards]}).json()["outputs"]
    assert output["notes"][0].endswith("rows not in order of time; sorted")
    assert output["last_close"] == given["candles"]["close"][0]


def test_the_reader_s_language(client: TestClient) -> None:
    chinese = {"Accept-Language": "zh-CN,zh;q=0.9"}
    assert "没有模型" in client.post("/v1/forecast", json=EXAMPLE | {"model": "x"}, headers=chinese).json()["error"]
    no_candles = {"input": {"file": {"name": "a.csv", "content_base64": base64.b64encode(b"a,b\n1,2\n").decode()}}}
    assert "缺少列" in client.post("/v1/check", json=no_candles, headers=chinese).json()["findings"][0]["text"]
    assert "Verdict" in client.get("/v1/models").json()["data"][0]["verdict"]["text"][0]
    assert "微调" in client.get("/v1/models", headers=chinese).json()["data"][0]["verdict"]["text"][0]


def test_every_forecast_is_handed_over_before_it_is_sent(served_runs: ServedRuns) -> None:
    kept: list = []
    with open_client(served_runs, on_forecasts=kept.append) as client:
        answer = client.post("/v1/forecast", json=EXAMPLE).json()
    (served,) = kept
    (forecast,) = served.forecasts
    assert forecast.name == "DEMO" and len(forecast.history) == 16 and served.settings == {"seed": 0, "n_paths": 30}
    assert served.conditions["base model"] == answer["run"]["weights"] and served.conditions["horizon"] == 4

    def refuse(served: object) -> None:
        raise WriteError("ledger.db: no room. Free some space.")

    with open_client(served_runs, on_forecasts=refuse) as client:
        answer = client.post("/v1/forecast", json=EXAMPLE)
        assert answer.status_code == 503 and answer.json()["error"] == "ledger.db: no room. Free some space."


def test_state_and_metrics(client: TestClient) -> None:
    assert client.post("/v1/forecast", json=EXAMPLE).status_code == 200
    assert client.get("/healthz").json()["models"] == ["tiny"] and client.get("/readyz").status_code == 200
    assert all(client.head(path).status_code == 200 for path in ("/", "/healthz", "/readyz", "/metrics", "/v1/models"))
    families = {each.name: each for each in text_string_to_metric_families(client.get("/metrics").text)}
    seconds = families["kronos_forecast_seconds"].samples
    assert any(each.name.endswith("_count") and each.labels == {"run": "tiny"} and each.value >= 1 for each in seconds)
    assert {"kronos_requests", "kronos_batch_size", "kronos_waiting_series"} <= families.keys()


def test_errors_of_ours_are_no_traceback(served_runs: ServedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    with open_client(served_runs) as client:
        monkeypatch.setattr("kronos.serving.service.build_response", fail)
        answer = client.post("/v1/forecast", json=EXAMPLE)
        assert answer.status_code == 500 and answer.json()["code"] == "internal" and "secret" not in answer.text
        monkeypatch.undo()
        assert client.post("/v1/forecast", json=EXAMPLE).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http://" not in answer.text.replace("http://www.w3.org", "") and "https://" not in answer.text


def test_the_description_is_json(client: TestClient) -> None:
    json.dumps(client.get("/openapi.json").json(), allow_nan=False)
