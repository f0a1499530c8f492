from pathlib import Path

import pytest

from kronos.config.load import build_reading_config, dump_config
from kronos.errors import ConfigError
from kronos.urls import Url, is_endpoint, mask_secrets, name_source, parse_source


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "my.csv": Path("my.csv"),
        "data/*.csv": Path("data/*.csv"),
        "file:///data/my%20file.csv": Path("/data/my file.csv"),
        "https://host/a.csv": Url("https://host/a.csv"),
        "HTTPS://host/A.csv": Url("https://host/A.csv"),
        "s3://bucket/dir/*.parquet": Url("s3://bucket/dir/*.parquet"),
        "hf://datasets/user/name/candles.parquet": Url("hf://datasets/user/name/candles.parquet"),
        "duckdb:///c.db": Url("duckdb:///c.db"),
        r"C:\data\my.csv": Path(r"C:\data\my.csv"),
    }.items(),
)
def test_a_text_is_a_path_or_a_url(text: str, expected: Path | Url) -> None:
    assert parse_source(text) == expected
    assert parse_source(expected) == expected


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"scheme htps:// is unknown.*https://, s3://.*duckdb://"):
        parse_source("htps://host/a.csv")


def test_a_path_that_was_a_url_is_no_path() -> None:
    with pytest.raises(ConfigError, match="cannot hold the URL"):
        parse_source(Path("https://host/a.csv"))


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "https://user:password@host/a.csv": "https://***@host/a.csv",
        "https://t0ken@host:80/a@b.csv": "https://***@host:80/a@b.csv",
        "s3://key:sec/ret@bucket/a": "s3://***@bucket/a",
        "https://h/a?symbol=BTC&apikey=x1": "https://h/a?symbol=BTC&apikey=***",
        "https://h/a?X-Amz-Date=1&X-Amz-Signature=x1": "https://h/a?X-Amz-Date=***&X-Amz-Signature=***",
        "https://h/a?sv=2&se=3&sig=x1&day=4": "https://h/a?sv=***&se=***&sig=***&day=4",
        "https://h/a?key=BTCUSDT": "https://h/a?key=BTCUSDT",  # a symbol
        "https://h/a?key=AIzaSyA0123456789": "https://h/a?key=***",
        "hf://datasets/u/n@main/a.csv": "hf://datasets/u/n@main/a.csv",
        "s3://bucket/dir/*.csv": "s3://bucket/dir/*.csv",
        "https://h:8080/a.csv": "https://h:8080/a.csv",
        "https://h/a.csv#access_token=abc&x=1": "https://h/a.csv#access_token=***&x=1",
        "https://h/a.csv?api%5Fkey=abc": "https://h/a.csv?api%5Fkey=***",
        "https://h/a.csv?x=1;%74oken=abc": "https://h/a.csv?x=1;%74oken=***",
        "https://user:pa@ss@h/a.csv": "https://***@h/a.csv",
        "https://h/get?from=https://user:pass@other/a.csv": "https://h/get?from=https://***@other/a.csv",
        "https://h/a.csv?jwt=abc&Session=abc&sid=1&user_key=abc": "https://h/a.csv?jwt=***&Session=***&sid=***&user_key=***",
    }.items(),
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert f"{Url(text)} {Url(text)!r}" == f"{shown} {shown}"
    assert mask_secrets(f"train 'data.data_path=[{text}, b.csv]'") == f"train 'data.data_path=[{shown}, b.csv]'"
    assert mask_secrets(shown) == shown


def test_a_configuration_keeps_urls_and_saves_no_secrets() -> None:
    config = build_reading_config(["https://u:pass@h/a.csv", "b.csv"], ["data.replay=s3://b/*.csv"])
    assert config.data.data_path == (Url("https://u:pass@h/a.csv"), Path("b.csv"))
    assert config.override({"data.lookback_window": 9}).data.data_path == config.data.data_path
    saved = dump_config(config)
    assert "https://***@h/a.csv" in saved and "pass@" not in saved
    one = build_reading_config([], ["data.data_path=https://h/a.csv?x=1"])
    assert one.data.data_path == (Url("https://h/a.csv?x=1"),)


def test_an_error_of_the_configuration_shows_no_secret() -> None:
    with pytest.raises(ConfigError, match="is unknown") as error:
        build_reading_config(["htps://u:pass@h/a.csv"])
    assert "pass" not in str(error.value)


def test_names_for_folders() -> None:
    assert name_source(Url("https://h/dir/BTC USDT.csv?x=1")) == "BTC_USDT"
    assert name_source(Url("https://host")) == "host"
    assert name_source(Path("new/BTC USDT.csv")) == "BTC_USDT"


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "https://hf-mirror.com": True,
        "https://hf-mirror.com/": True,
        "http://127.0.0.1:8000/hub": True,
        "http://[::1]:8000": True,
        "http://me:secret@host": False,  # it would be stored with the run
        "hf-mirror.com": False,
        "ftp://hf-mirror.com": False,
        "http://[::1": False,
        "http://[1:2]": False,
        "http://host:80a": False,
        "http://host:99999": False,
        "http://a..b": False,
        "http://h\u00f6st": False,
        "https://host/a b": False,
        "https://": False,
        "": False,
    }.items(),
)
def test_the_address_of_a_hub(text: str, expected: bool) -> None:
    assert is_endpoint(text) == expected
