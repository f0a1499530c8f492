from tests.hub.conftest import hub  # noqa: F401  # a fixture
