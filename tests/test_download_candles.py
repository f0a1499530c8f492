"""examples/download_candles.py from the command line to the file that read_candles reads, with the libraries faked.

The answers have the columns, dtypes, index and zones that akshare 1.19.5, yfinance 1.7.0 and ccxt 4.5.90 made, with
pandas 3.1.1, of JSON in the services' form; the errors are those that they raised offline, or raise in their sources.
"""

import datetime
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from kronos.data import read_candles
from tests.conftest import ROOT

STEP = 300_000  # five minutes, in milliseconds
NEW_YEAR = 1_704_067_200_000  # 2024-01-01, UTC
HEADER = "timestamps,open,high,low,close,volume"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("download_candles", ROOT / "examples" / "download_candles.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(script, "RETRY_AFTER_SECONDS", (0, 0))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(script.download)

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
        assert result.exit_code == status, result.output + str(result.exception)
        assert "Traceback" not in result.output
        return result

    return run


def install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    module = ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


# akshare


def akshare_minutes(*times: str) -> pd.DataFrame:
    n = len(times)
    return pd.DataFrame(
        {
            "时间": pd.Series(times, dtype="str"),
            "开盘": [5.02] * n,
            "收盘": [5.03] * n,
            "最高": [5.05] * n,
            "最低": [5.01] * n,
            "涨跌幅": [0.2] * n,
            "涨跌额": [0.01] * n,
            "成交量": range(1234, 1234 + n),  # int64
            "成交额": [620000.0] * n,
            "振幅": [0.8] * n,
            "换手率": [0.05] * n,
        }
    )


def akshare_days(*days: datetime.date) -> pd.DataFrame:
    frame = akshare_minutes(*map(str, days)).drop(columns="时间")
    frame.insert(0, "日期", pd.Series(days, dtype="object"))
    frame.insert(1, "股票代码", "600977")
    return frame


def test_akshare_minutes(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    in_ten_minutes = (pd.Timestamp.now("Asia/Shanghai") + pd.Timedelta(10, "min")).strftime("%Y-%m-%d %H:%M:00")

    def stock_zh_a_hist_min_em(**options: Any) -> pd.DataFrame:
        asked.update(options)
        return akshare_minutes("2024-06-18 09:35:00", "2024-06-18 09:40:00", in_ten_minutes)

    install(monkeypatch, "akshare", stock_zh_a_hist_min_em=stock_zh_a_hist_min_em, stock_zh_a_hist=None)
    result = run("akshare", "600977", "--interval", "5m", "--start", "2024-06-18")
    path = tmp_path / "600977_5m.csv"
    assert asked["symbol"] == "600977" and asked["period"] == "5" and asked["adjust"] == "hfq"
    assert asked["start_date"] == "2024-06-18"
    assert f"the candle of {in_ten_minutes} is not finished yet; left out" in result.output
    assert f"2 candles, 2024-06-18 09:35:00 to 2024-06-18 09:40:00, written to {path}" in result.output
    assert read_lines(path)[:2] == [f"{HEADER},amount", "2024-06-18 09:35:00,5.02,5.05,5.01,5.03,1234,620000.0"]
    candles = read_candles(path)
    assert candles.values[1].tolist() == pytest.approx([5.02, 5.05, 5.01, 5.03, 1235, 620000])
    assert candles.index[1] == pd.Timestamp("2024-06-18 09:40")


def test_akshare_one_minute_has_other_columns() -> None:
    frame = (
        akshare_minutes("2024-06-18 09:31:00").drop(columns=["振幅", "涨跌幅", "涨跌额", "换手率"]).assign(均价=5.024)
    )
    assert script.from_akshare(frame).columns.tolist() == [*HEADER.split(","), "amount"]


def test_akshare_days_symbols_that_are_wrong(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown symbol answers None, which akshare subscripts for minutes; for days the frame is empty."""
    asked: dict[str, Any] = {}

    def stock_zh_a_hist(symbol: str, **options: Any) -> pd.DataFrame:
        asked.update(options)
        if symbol == "999998":
            raise TypeError("'NoneType' object is not subscriptable")
        days = datetime.date(2024, 6, 17), datetime.date(2024, 6, 18)
        return akshare_days(*days) if symbol == "600977" else pd.DataFrame()

    install(monkeypatch, "akshare", stock_zh_a_hist=stock_zh_a_hist, stock_zh_a_hist_min_em=None)
    symbols = "sh600977", "999999", "999998", "600977"
    result = run("akshare", *symbols, "--adjust", "none", "--end", "2024-06-18", status=1)
    assert asked["adjust"] == "" and asked["period"] == "daily" and asked["end_date"] == "20240618"
    assert "error: sh600977: this is no symbol of an A-share. Write six digits" in result.output
    assert "error: 999999: there are no such candles" in result.output
    assert "error: 999998: there are no such candles" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["600977_1d.csv"]
    assert [line[:11] for line in read_lines(tmp_path / "600977_1d.csv")[1:]] == ["2024-06-17,", "2024-06-18,"]
    assert len(read_candles(tmp_path / "600977_1d.csv").values) == 2


@pytest.mark.parametrize(("now", "n_kept"), [("2024-06-18 15:29", 1), ("2024-06-18 15:30", 2)])
def test_a_day_in_shanghai_is_over_half_an_hour_after_the_close(
    now: str, n_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = akshare_days(datetime.date(2024, 6, 17), datetime.date(2024, 6, 18))
    install(monkeypatch, "akshare", stock_zh_a_hist=lambda **_: days, stock_zh_a_hist_min_em=None)
    day = pd.Timestamp("2024-06-18")
    fetch = script.open_akshare(script.Wanted("1d", pd.Timedelta(1, "D"), None, day, "auto", ""))
    logged: list[str] = []
    kept = script.clean(*fetch("600977"), pd.Timestamp(now, tz="Asia/Shanghai"), logged.append)
    assert len(kept) == n_kept and len(logged) == 2 - n_kept


# yfinance


class YFError(Exception):
    pass


class YFRateLimitError(YFError):
    pass


class HTTPError(OSError):  # curl_cffi's and requests' are OSErrors, with the response
    response = SimpleNamespace(status_code=404)


def yahoo_frame(times: pd.DatetimeIndex) -> pd.DataFrame:
    prices = {name: [10.0 + i for i in range(len(times))] for name in ("Open", "High", "Low", "Close")}
    return pd.DataFrame({**prices, "Volume": range(100, 100 + len(times))}, index=times)


def install_yfinance(monkeypatch: pytest.MonkeyPatch, history: Callable[..., pd.DataFrame]) -> SimpleNamespace:
    config = SimpleNamespace(debug=SimpleNamespace(hide_exceptions=True))
    exceptions = SimpleNamespace(YFException=YFError, YFRateLimitError=YFRateLimitError)

    def ticker(symbol: str) -> SimpleNamespace:
        return SimpleNamespace(history=lambda **options: history(symbol, **options))

    install(monkeypatch, "yfinance", Ticker=ticker, config=config, exceptions=exceptions)
    return config


def test_yfinance_days(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    today = pd.Timestamp.now("America/New_York").normalize()

    def history(symbol: str, **options: Any) -> pd.DataFrame:
        asked.update(options)
        days = [pd.Timestamp(day, tz="America/New_York") for day in ("2024-03-08", "2024-03-11")]  # summer time between
        return yahoo_frame(pd.DatetimeIndex([*days, today], name="Date"))

    config = install_yfinance(monkeypatch, history)
    result = run("yfinance", "AAPL", "--start", "2018-01-01", "--end", "2024-12-31")
    assert not config.debug.hide_exceptions
    assert asked["start"] == "2018-01-01" and asked["end"] == "2025-01-01" and asked["auto_adjust"] is True
    assert "period" not in asked
    assert "left out" in result.output
    assert read_lines(tmp_path / "AAPL_1d.csv") == [
        HEADER,
        "2024-03-08,10.0,10.0,10.0,10.0,100",
        "2024-03-11,11.0,11.0,11.0,11.0,101",
    ]
    assert read_candles(tmp_path / "AAPL_1d.csv").values[0].tolist() == [10, 10, 10, 10, 100, 1000]


def test_yfinance_minutes_keep_the_exchange_s_clock(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """09:30 in New York, before and after the change to summer time; and a row of nothing but a volume."""
    times = ["2024-03-08 09:30", "2024-03-11 09:30", "2024-03-11 09:35"]
    index = pd.DatetimeIndex(times, tz="America/New_York", name="Datetime")
    frame = yahoo_frame(index)
    frame.loc[index[2], ["Open", "High", "Low", "Close"]] = float("nan")
    asked: dict[str, Any] = {}

    def history(symbol: str, **options: Any) -> pd.DataFrame:
        asked.update(options)
        return frame

    install_yfinance(monkeypatch, history)
    result = run("yfinance", "^GSPC", "--interval", "5m", "--adjust", "none")
    assert asked["period"] == "max" and asked["auto_adjust"] is False
    assert "1 candles without a price left out" in result.output
    lines = read_lines(tmp_path / "^GSPC_5m.csv")
    assert [line.split(",")[0] for line in lines[1:]] == ["2024-03-08 09:30:00-05:00", "2024-03-11 09:30:00-04:00"]
    assert read_candles(tmp_path / "^GSPC_5m.csv").index.tolist() == list(map(pd.Timestamp, times[:2]))


def test_yfinance_tells_unknown_symbols_from_refusals(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "$OLD: 5m data not available. The requested range must be within the last 60 days."
    raised = {
        "OLD": YFError(reason),
        "NONE": HTTPError("HTTP Error 404: "),
        "LIMIT": YFRateLimitError("Too Many Requests."),
    }
    empty = pd.DataFrame({"Open": [], "High": [], "Low": [], "Close": [], "Adj Close": [], "Volume": []}, index=[])

    def history(symbol: str, **_: Any) -> pd.DataFrame:
        if symbol in raised:
            raise raised[symbol]
        return empty if symbol == "EMPTY" else yahoo_frame(pd.DatetimeIndex(["2024-03-08"], tz="UTC", name="Date"))

    install_yfinance(monkeypatch, history)
    result = run("yfinance", "OLD", "NONE", "EMPTY", "BTC-USD", "LIMIT", "NEVER", status=1)
    for symbol in ("OLD", "NONE", "EMPTY"):
        assert f"error: {symbol}: there are no such candles" in result.output
    assert "must be within the last 60 days" in result.output
    assert (
        "Yahoo (yfinance) cannot be reached, or refuses requests: YFRateLimitError: Too Many Requests." in result.output
    )
    assert "NEVER" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["BTC-USD_1d.csv"]


# ccxt


class BaseError(Exception):
    pass


class NetworkError(BaseError):
    pass


class BadSymbol(BaseError):
    pass


class Exchange:
    """Candles from listed on, every five minutes until now; a page covers limit candles."""

    timeframes = {"1m": "1m", "5m": "5m", "1d": "1d", "1M": "1M"}
    listed = NEW_YEAR
    n_failures = 0
    options: dict[str, Any] = {}

    def __init__(self, options: dict[str, Any]) -> None:
        Exchange.options = options
        self.n_pages = 0

    def load_markets(self) -> dict[str, Any]:
        return {"BTC/USDT": {}}

    def feature_value(self, symbol: str, method: str, name: str) -> int | None:
        if symbol != "BTC/USDT":
            raise BadSymbol(f"fake does not have market symbol {symbol}")
        return 1000 if (method, name) == ("fetchOHLCV", "limit") else None

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int | None, limit: int) -> list[list[float]]:
        self.n_pages += 1
        assert self.n_pages < 1000, "endless"
        if self.n_pages % 3 == 2 and Exchange.n_failures:
            Exchange.n_failures -= 1
            raise NetworkError("fake GET https://fake.example/klines")
        now = int(time.time() * 1000)
        since = now - limit * STEP if since is None else since
        first = -(-since // STEP) * STEP
        times = [moment for moment in range(first, min(first + limit * STEP, now), STEP) if moment >= self.listed]
        return [[moment, 1.0, 3.0, 0.5, 2.0, 10.0] for moment in times]


@pytest.fixture
def fake_ccxt(monkeypatch: pytest.MonkeyPatch) -> type[Exchange]:
    monkeypatch.setattr(Exchange, "n_failures", 0)
    contents = {"exchanges": ["binance"], "binance": Exchange, "NetworkError": NetworkError, "BaseError": BaseError}
    install(monkeypatch, "ccxt", **contents)
    return Exchange


CCXT = ("ccxt", "BTC/USDT", "--interval", "5m")


def test_ccxt_pages(run: Callable[..., Result], tmp_path: Path, fake_ccxt: type[Exchange]) -> None:
    """From before the listing to the end of a day, through failures that pass."""
    fake_ccxt.n_failures = 2
    run(*CCXT, "--start", "2023-12-01", "--end", "2024-01-10")
    assert fake_ccxt.options["enableRateLimit"]
    path = tmp_path / "BTC-USDT_5m.csv"
    assert read_lines(path)[:2] == [HEADER, "2024-01-01 00:00:00+00:00,1.0,3.0,0.5,2.0,10.0"]
    candles = read_candles(path)
    assert len(candles) == 10 * 288
    assert (candles.index[1:] - candles.index[:-1] == pd.Timedelta(5, "min")).all()
    assert candles.index[-1] == pd.Timestamp("2024-01-10 23:55")


def test_ccxt_leaves_the_unfinished_candle_out(
    run: Callable[..., Result], tmp_path: Path, fake_ccxt: type[Exchange]
) -> None:
    result = run(*CCXT)
    assert "is not finished yet; left out" in result.output
    candles = read_candles(tmp_path / "BTC-USDT_5m.csv")
    assert 990 < len(candles) < 1000
    assert pd.Timestamp.now("UTC").tz_localize(None) - candles.index[-1] >= pd.Timedelta(5, "min")


def test_pages_that_do_not_advance_end() -> None:
    page = [[NEW_YEAR + i * STEP, 1, 1, 1, 1, 1] for i in range(10)]
    asked: list[int | None] = []

    def read_page(since: int | None) -> list[list[float]]:
        asked.append(since)
        return page

    assert script.read_pages(read_page, NEW_YEAR, NEW_YEAR + 100 * STEP, STEP, 10) == page
    assert asked == [NEW_YEAR, NEW_YEAR + 10 * STEP]
    assert script.read_pages(lambda since: [], None, NEW_YEAR, STEP, 10) == []


def test_joints_of_pages() -> None:
    """Pages that overlap, and a candle that comes twice, out of order."""

    def read_page(since: int | None) -> list[list[float]]:
        assert since is not None
        return [[since + i * STEP, 1, 1, 1, 1, i] for i in range(-2, 3)]

    rows = script.read_pages(read_page, NEW_YEAR, NEW_YEAR + 6 * STEP, STEP, 5)
    assert [row[0] for row in rows] == [NEW_YEAR + i * STEP for i in range(6)]
    frame = script.from_ccxt([rows[2], rows[0], rows[2], rows[1]])
    kept = script.clean(frame, frame["timestamps"], pd.Timestamp.now("UTC"), print)
    assert kept["timestamps"].is_monotonic_increasing and len(kept) == 3


def test_ccxt_symbols_that_are_wrong(run: Callable[..., Result], tmp_path: Path, fake_ccxt: type[Exchange]) -> None:
    result = run("ccxt", "BTC/USD", "BTC/USDT", "--interval", "5m", status=1)
    assert "error: BTC/USD: there are no such candles" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["BTC-USDT_5m.csv"]


# what all share


def raise_(error: Exception) -> Any:
    raise error


def test_offline(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests' and curl_cffi's errors descend from OSError; ccxt has its own. One line, whatever the symbols."""
    connection_error = type("ConnectionError", (OSError,), {})
    text = "HTTPSConnectionPool(host='x'): Max retries exceeded (Caused by NameResolutionError('Failed to resolve x'))"
    install(
        monkeypatch, "akshare", stock_zh_a_hist=lambda **_: raise_(connection_error(text)), stock_zh_a_hist_min_em=None
    )
    install_yfinance(monkeypatch, lambda *_, **__: raise_(OSError("curl: (6) Could not resolve host")))
    monkeypatch.setattr(Exchange, "load_markets", lambda self: raise_(NetworkError("binance GET exchangeInfo")))
    contents = {"exchanges": ["binance"], "binance": Exchange, "NetworkError": NetworkError, "BaseError": BaseError}
    install(monkeypatch, "ccxt", **contents)
    services = {"akshare": "East Money (akshare)", "yfinance": "Yahoo (yfinance)", "ccxt": "binance (ccxt)"}
    for source, service in services.items():
        result = run(source, "600977", "600978", status=1)
        lines = result.output.strip().splitlines()
        assert len(lines) == 1
        assert (
            lines[0].startswith(f"error: {service} cannot be reached, or refuses requests: ")
            and "HTTPS_PROXY" in lines[0]
        )
        assert "Max retries" not in lines[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["akshare", "yfinance", "ccxt"])
def test_a_library_that_is_not_installed(
    source: str, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, source, None)
    assert run(source, "600977", status=1).output.strip().endswith(f"Run pip install {source}.")


def test_an_existing_file_is_kept(run: Callable[..., Result], tmp_path: Path, fake_ccxt: type[Exchange]) -> None:
    path = tmp_path / "BTC-USDT_5m.csv"
    path.write_text("mine")
    result = run(*CCXT, status=1)
    assert "exists already. Use --overwrite to replace it" in result.output and path.read_text() == "mine"
    run(*CCXT, "--overwrite")
    assert len(read_candles(path)) > 900
    assert [path.name for path in tmp_path.iterdir()] == ["BTC-USDT_5m.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("yfinance", "AAPL", "--adjust", "hfq"), "qfq and hfq exist for akshare only"),
        (("akshare", "600977", "--interval", "1m", "--adjust", "qfq"), "1-minute candles of the last five days"),
        (("akshare", "600977", "--interval", "4h"), "Use one of 1m, 5m, 15m, 30m, 60m, 1h, 1d."),
        (("akshare", "600977", "--interval", "5min"), "Write it like 5m, 1h or 1d"),
        (("ccxt", "BTC/USDT", "--exchange", "binanc"), "Use one of binance."),
        (("ccxt", "BTC/USDT", "--interval", "7m"), "--interval 7m is unknown"),
    ],
)
def test_options_that_do_not_fit(
    arguments: tuple[str, ...], message: str, run: Callable[..., Result], fake_ccxt: type[Exchange]
) -> None:
    assert message in run(*arguments, status=1).output


def test_prices_below_zero_are_logged() -> None:
    logged: list[str] = []
    frame = script.from_akshare(akshare_minutes("2024-06-18 09:35:00").assign(最低=-1.86))
    script.clean(frame, frame["timestamps"].dt.tz_localize("UTC"), pd.Timestamp.now("UTC"), logged.append)
    assert len(logged) == 1 and "1 candles have a price of 0 or less" in logged[0]


@pytest.mark.network
@pytest.mark.parametrize(
    ("library", "symbol", "more"),
    [
        ("akshare", "600977", ("--interval", "5m")),
        ("akshare", "600977", ("--start", "2024-01-01")),
        ("yfinance", "AAPL", ("--start", "2024-01-01")),
        ("yfinance", "AAPL", ("--interval", "5m")),
        ("ccxt", "BTC/USDT", ("--interval", "1h", "--start", "2024-01-01", "--end", "2024-03-01")),
    ],
)
def test_the_real_services(
    library: str, symbol: str, more: tuple[str, ...], run: Callable[..., Result], tmp_path: Path
) -> None:
    pytest.importorskip(library)
    run(library, symbol, *more)
    (path,) = tmp_path.iterdir()
    assert len(read_candles(path)) > 20
