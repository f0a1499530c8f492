"""Download candles as CSV files for train_sequential.py, one file a symbol: data/600977_5m.csv.

    python examples/download_candles.py akshare 600977 --interval 5m --out data/
    python examples/download_candles.py yfinance AAPL MSFT --interval 1d --start 2018-01-01 --out data/
    python examples/download_candles.py ccxt BTC/USDT --exchange binance --interval 5m --start 2024-01-01 --out data/

The sources define a candle differently; the files keep each source's definition:

              timestamps                          volume                amount
    akshare   a candle's end, Shanghai's clock    lots of 100 shares    yuan
    yfinance  its start, the exchange's clock     shares                absent
    ccxt      its start, UTC                      the base currency     absent

akshare uses East Money, yfinance uses Yahoo; their daily candles have a date and no time. Adjustment changes akshare's
prices, not volume or amount; Yahoo's prices and volumes are adjusted for splits in any case.
"""

import difflib
import importlib
import logging
import re
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pandas as pd
import typer
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.cli.session import run_command, start_session
from kronos.errors import ConfigError, DataError, KronosError
from kronos.files import replacing

logger = logging.getLogger("kronos.download")

RETRY_AFTER_SECONDS = (1, 3)
A_DAY = pd.Timedelta(1, "D")
SHANGHAI_DAY = pd.Timedelta(15.5, "h")  # trading at the closing price ends half an hour after the close
UNITS = {"m": pd.Timedelta(1, "min"), "h": pd.Timedelta(1, "h"), "d": A_DAY, "w": 7 * A_DAY}
AKSHARE_PERIODS = {"1m": "1", "5m": "5", "15m": "15", "30m": "30", "60m": "60", "1h": "60", "1d": "daily"}
AKSHARE_COLUMNS = ("开盘", "最高", "最低", "收盘", "成交量", "成交额")  # in our order; 换手率 is a rate, not an amount
NOTHING = "there are no such candles. Check the symbol and the dates."
PROXY = "Check the network and the proxy (HTTPS_PROXY)"
ADJUST_HELP = """Adjust prices for dividends and splits, which are jumps. auto: hfq for akshare, Yahoo's adjustment for
yfinance, none for coins. hfq (后复权) keeps the oldest prices and raises later ones; qfq (前复权) keeps today's prices:
old ones then change with each dividend and may fall below 0."""
DAY_OPTION = typer.Option(formats=["%Y-%m-%d"], help="First and last day; by default all days (ccxt: the newest page).")

Source = Literal["akshare", "yfinance", "ccxt"]
Rows = list[list[float]]
Download = tuple[pd.DataFrame, pd.Series]  # candles, and the time at which each is finished
Fetch = Callable[[str], Download]  # of a symbol


class Wanted(NamedTuple):
    interval: str
    length: pd.Timedelta
    start: pd.Timestamp | None  # a day
    end: pd.Timestamp  # a day, included
    adjust: str
    exchange: str


class Service(NamedTuple):
    name: str
    unreachable: tuple[type[Exception], ...]  # raised if it cannot be reached, or limits requests
    refusals: tuple[type[Exception], ...]  # raised if it has no such candles
    advice: str

    def ask(self, call: Callable[[], Any]) -> Any:
        """Call up to three times. A DataError concerns this symbol, a plain KronosError all symbols."""
        for pause in (*RETRY_AFTER_SECONDS, None):
            try:
                return call()
            except self.unreachable as error:
                if getattr(getattr(error, "response", None), "status_code", None) == 404:  # yfinance
                    raise DataError(NOTHING) from None
                if pause is None:
                    template = "{service} cannot be reached, or refuses requests: {reason}. {advice}"
                    reason = shorten(error)
                    raise KronosError(template, service=self.name, reason=reason, advice=self.advice) from None
                time.sleep(pause)
            except self.refusals as error:
                template = f"{NOTHING} {{service}} answered: {{reason}}."
                raise DataError(template, service=self.name, reason=shorten(error)) from None


def shorten(error: Exception) -> str:
    text = str(error).rpartition("Caused by ")[2]  # urllib3 describes the request at length before the cause
    return textwrap.shorten(f"{type(error).__name__}: {text}", 200, placeholder=" …").rstrip(".")


def load_library(name: str) -> Any:
    try:
        library = importlib.import_module(name)
    except ImportError as error:
        template = "{name} cannot be imported ({reason}). Run pip install {name}."
        raise ConfigError(template, name=name, reason=error) from None
    warnings.filterwarnings("ignore", module=rf"{name}\b")  # about its own code; yfinance sets filters when imported
    return library


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    if value not in (known := list(choices)):
        near = difflib.get_close_matches(value, known) or known[:20]
        raise ConfigError("{what} {value} is unknown. Use one of {near}.", what=what, value=value, near=", ".join(near))


def from_akshare(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert an answer of stock_zh_a_hist (日期) or stock_zh_a_hist_min_em (时间); times have no zone."""
    times = pd.to_datetime(frame["日期" if "日期" in frame else "时间"])
    columns = {name: frame[theirs] for name, theirs in zip(CANDLE_COLUMNS, AKSHARE_COLUMNS)}
    return pd.DataFrame({TIMESTAMP_COLUMN: times, **columns})


def open_akshare(wanted: Wanted) -> Fetch:
    check_choice("--interval", wanted.interval, AKSHARE_PERIODS)
    period = AKSHARE_PERIODS[wanted.interval]
    if period == "1" and wanted.adjust in ("qfq", "hfq"):
        raise ConfigError(
            "East Money has 1-minute candles of the last five days only, and does not adjust them. Leave out --adjust."
        )
    library = load_library("akshare")
    # It does not check answers: for an unknown symbol it raises any of the three.
    refusals, advice = (TypeError, ValueError, KeyError), f"{PROXY}. After many requests, wait some minutes."
    service = Service("East Money (akshare)", (OSError,), refusals, advice)
    call, day, after = library.stock_zh_a_hist_min_em, "%Y-%m-%d", pd.Timedelta(0)
    if period == "daily":
        call, day, after = library.stock_zh_a_hist, "%Y%m%d", SHANGHAI_DAY
    options = {"period": period, "adjust": {"auto": "hfq", "none": ""}.get(wanted.adjust, wanted.adjust)}
    options |= {"start_date": (wanted.start or pd.Timestamp(0)).strftime(day), "end_date": wanted.end.strftime(day)}

    def fetch(symbol: str) -> Download:
        if not re.fullmatch(r"\d{6}", symbol):
            raise DataError("this is no symbol of an A-share. Write six digits, like 600977.")
        answer = service.ask(lambda: call(symbol=symbol, **options))
        if answer.empty:
            raise DataError(NOTHING)
        frame = from_akshare(answer)
        return frame, frame[TIMESTAMP_COLUMN].dt.tz_localize("Asia/Shanghai") + after

    return fetch


def from_yfinance(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert an answer of Ticker.history; days have no zone, other times the exchange's."""
    times = pd.DatetimeIndex(frame.index)
    columns = {name: frame[name.capitalize()].to_numpy() for name in (*PRICE_COLUMNS, "volume")}
    return pd.DataFrame({TIMESTAMP_COLUMN: times.tz_localize(None) if times.name == "Date" else times, **columns})


def open_yfinance(wanted: Wanted) -> Fetch:
    library = load_library("yfinance")
    library.config.debug.hide_exceptions = False  # otherwise a lost network and an unknown symbol look the same
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    unreachable = (OSError, ValueError, library.exceptions.YFRateLimitError)  # ValueError: a page instead of JSON
    advice = f"{PROXY}, which mainland China needs for Yahoo. After many requests, wait some minutes."
    refusals = (library.exceptions.YFException, TypeError, KeyError)  # the last two if it does not check an answer
    service = Service("Yahoo (yfinance)", unreachable, refusals, advice)
    options: dict[str, Any] = {"auto_adjust": wanted.adjust == "auto", "actions": False, "timeout": 30}
    options |= {"start": f"{wanted.start:%Y-%m-%d}"} if wanted.start else {"period": "max"}
    options |= {"end": f"{wanted.end + A_DAY:%Y-%m-%d}"}  # yfinance excludes the end

    def fetch(symbol: str) -> Download:
        answer = service.ask(lambda: library.Ticker(symbol).history(interval=wanted.interval, **options))
        if answer.empty:
            raise DataError(NOTHING)
        return from_yfinance(answer), pd.Series(answer.index + wanted.length)

    return fetch


def from_ccxt(rows: Rows) -> pd.DataFrame:
    """Convert an answer of fetch_ohlcv, rows of milliseconds since 1970 (UTC) and five numbers."""
    frame = pd.DataFrame(rows, columns=[TIMESTAMP_COLUMN, *PRICE_COLUMNS, "volume"])
    return frame.assign(**{TIMESTAMP_COLUMN: pd.to_datetime(frame[TIMESTAMP_COLUMN], unit="ms", utc=True)})


def open_ccxt(wanted: Wanted) -> Fetch:
    library = load_library("ccxt")
    check_choice("--exchange", wanted.exchange, library.exchanges)
    exchange = getattr(library, wanted.exchange)({"enableRateLimit": True, "requests_trust_env": True})  # HTTPS_PROXY
    check_choice("--interval", wanted.interval, exchange.timeframes or ())
    advice = f"{PROXY}. Some exchanges refuse some countries: try another --exchange."
    service = Service(f"{wanted.exchange} (ccxt)", (library.NetworkError,), (library.BaseError,), advice)
    service.ask(exchange.load_markets)
    step = int(wanted.length.total_seconds() * 1000)
    since = int(wanted.start.timestamp() * 1000) if wanted.start else None

    def fetch(symbol: str) -> Download:
        until = int(min(time.time(), (wanted.end + A_DAY).timestamp()) * 1000)
        limit = service.ask(lambda: exchange.feature_value(symbol, "fetchOHLCV", "limit")) or 100

        def read_page(since: int | None) -> Rows:
            page: Rows = service.ask(lambda: exchange.fetch_ohlcv(symbol, wanted.interval, since, limit))
            return page

        frame = from_ccxt(read_pages(read_page, since, until, step, limit))
        return frame, frame[TIMESTAMP_COLUMN] + wanted.length

    return fetch


def read_pages(read_page: Callable[[int | None], Rows], since: int | None, until: int, step: int, limit: int) -> Rows:
    """Read the rows from since (without it, the newest page) to before until, page by page; all in milliseconds."""
    rows: Rows = []
    bar = tqdm(unit=" pages", leave=False, disable=None)
    while since is None or since < until:
        page = read_page(since)
        bar.update()
        if new := [row for row in page if since is None or row[0] >= since]:
            rows += new
            since = int(max(row[0] for row in new)) + step
        elif page or since is None:
            break  # an earlier page again: nothing is newer
        else:
            since += limit * step  # not yet listed, or a pause: some exchanges search one page only
    bar.close()
    return [row for row in rows if row[0] < until]


def clean(frame: pd.DataFrame, ends: pd.Series, now: pd.Timestamp, log: Callable[[str], None]) -> pd.DataFrame:
    """Return finished candles that have all prices, oldest first, each time once; log what is left out."""
    finished, prices = ends <= now, frame[list(PRICE_COLUMNS)]
    priced = prices.notna().all(axis=1)
    for moment in frame.loc[~finished, TIMESTAMP_COLUMN]:
        log(f"the candle of {moment} is not finished yet; left out")
    if not priced.all():
        log(f"{(~priced).sum():,} candles without a price left out")
    if doubtful := (prices <= 0).any(axis=1).sum():
        log(f"{doubtful:,} candles have a price of 0 or less and cannot be used for training; use hfq instead of qfq")
    return frame[finished & priced].drop_duplicates(TIMESTAMP_COLUMN, keep="last").sort_values(TIMESTAMP_COLUMN)


def write_candles(frame: pd.DataFrame, path: Path) -> str:
    if frame.empty:
        raise DataError(NOTHING)
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)
    first, last = frame[TIMESTAMP_COLUMN].iloc[[0, -1]]
    return f"{len(frame):,} candles, {first} to {last}, written to {path}"


def download(
    source: Annotated[Source, typer.Argument(help="The library; it must be installed.")],
    symbols: Annotated[list[str], typer.Argument(help="As the source spells them: 600977, AAPL, 0700.HK, BTC/USDT.")],
    interval: Annotated[str, typer.Option(help="1m, 5m, 15m, 30m, 1h, 1d, or another interval of the source.")] = "1d",
    start: Annotated[datetime | None, DAY_OPTION] = None,
    end: Annotated[datetime | None, DAY_OPTION] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("data"),
    exchange: Annotated[str, typer.Option(help="ccxt's name of an exchange.")] = "binance",
    adjust: Annotated[Literal["auto", "none", "qfq", "hfq"], typer.Option(help=ADJUST_HELP)] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Download candles, one CSV a symbol."""
    n_failed = 0
    with start_session("finished files are kept"):
        if adjust in ("qfq", "hfq") and source != "akshare":
            raise ConfigError("qfq and hfq exist for akshare only. Use --adjust auto or none.")
        if not re.fullmatch(r"[1-9]\d*[mhdw]", interval):
            raise ConfigError("--interval {interval} cannot be read. Write it like 5m, 1h or 1d.", interval=interval)
        length = int(interval[:-1]) * UNITS[interval[-1]]
        first, last = pd.Timestamp(start) if start else None, pd.Timestamp(end or datetime.now() + A_DAY)
        openers = {"akshare": open_akshare, "yfinance": open_yfinance, "ccxt": open_ccxt}
        fetch = openers[source](Wanted(interval, length, first, last, adjust, exchange))
        for symbol in tqdm(symbols, unit="symbol", leave=False, disable=None):
            log = partial(logger.info, "%s: %s", symbol)
            path = out / (re.sub(r"[^\w.^=-]+", "-", symbol) + f"_{interval}.csv")
            try:
                if path.exists() and not overwrite:
                    raise DataError("{path} exists already. Use --overwrite to replace it.", path=path)
                log(write_candles(clean(*fetch(symbol), pd.Timestamp.now("UTC"), log), path))
            except DataError as error:
                logger.error("error: %s: %s", symbol, error)
                n_failed += 1
    raise typer.Exit(min(n_failed, 1))


if __name__ == "__main__":
    run_command(download)
