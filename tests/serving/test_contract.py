"""The description of the server is true: requests generated from it get answers of the described shapes."""

import copy
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from kronos.serving.schemas import EXAMPLE
from tests.serving.conftest import TOKEN

N_EXAMPLES = 40  # of each operation


@pytest.mark.slow
@pytest.mark.process
def test_generated_requests_get_what_is_described(token_server: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    checks = schemathesis.checks
    checked = [
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    statuses: Counter[int] = Counter()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    schema = schemathesis.openapi.from_url(f"{token_server}/openapi.json", headers=headers)
    for operation in schema.get_all_operations():

        @settings(
            max_examples=N_EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.ok().as_strategy())
        def ask(case: schemathesis.Case) -> None:
            response = case.call(headers=headers)
            statuses[response.status_code] += 1
            assert response.status_code != 500, response.text
            case.validate_response(response, checks=checked)

        ask()
    assert statuses[200] > 3 and statuses[422] > 20


ODD = [
    *(None, True, "", "x", "\u202e\x1b[31m", "2024-06-03", [], {}, [None], [[]], {"a": {}}),
    *(
        0,
        -1,
        1,
        2,
        10**30,
        -0.0,
        1e-320,
        1e308,
        -1e308,
        math.inf,
        math.nan,
        1717405200,
        "2024-06-03 09:40",
        "24/7",
        "D",
    ),
]


def list_places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within plain values."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from list_places(value[key], (*path, key))


FULL = EXAMPLE | {
    "model": "tiny",
    "parameters": {"prediction_length": 2, "quantile_levels": [0.1], "context_length": 20, "n_paths": 2, "seed": 1}
    | {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "calibrate": True, "exchange": "XSHG", "timeout_seconds": 30}
    | {"include_paths": True, "include_history": True},
}
PLACES = [path for path in list_places(FULL) if path]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of exchange_calendars
def test_spoiled_requests_are_answered_or_refused(client: TestClient) -> None:
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=2))
    def ask(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        body = copy.deepcopy(FULL)
        for path, value in changes:
            place: Any = body
            try:
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
            except (TypeError, KeyError, IndexError):  # the first change took the place of the second
                continue
        content = json.dumps(body).encode()
        answer = client.post("/v1/forecast", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 404, 422, 504), answer.text
        assert answer.status_code == 200 or len(answer.json()["error"]) > 10
        json.dumps(answer.json(), allow_nan=False)

    ask()
