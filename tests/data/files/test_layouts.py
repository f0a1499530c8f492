"""Layouts of brokers, exchanges and scrapers: the same candles, written as they write them, are read as the same."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.data.files.options import ReadingOptions
from kronos.data.files.raw_lines import read_lines
from kronos.data.windows.load import read_frames

N = 300
COLUMNS = ["open", "high", "low", "close", "volume", "amount"]


def walk(times: pd.DatetimeIndex, price: float = 41.0, digits: int = 2) -> pd.DataFrame:
    """Return candles whose open is the close before, and whose amount is volume × the middle of the day's prices."""
    generator = np.random.default_rng(7)
    close = np.round(price * np.exp(0.004 * generator.standard_normal(len(times)).cumsum()), digits)
    opened = np.append(price, close[:-1])
    tick = 10.0**-digits
    high = np.round(np.maximum(opened, close) + tick * generator.integers(1, 9, len(times)), digits)
    low = np.round(np.minimum(opened, close) - tick * generator.integers(1, 9, len(times)), digits)
    volume = generator.integers(1_000, 90_000, len(times)).astype(float)
    candles = pd.DataFrame({"t": times, "open": opened, "high": high, "low": low, "close": close, "volume": volume})
    return candles.assign(amount=np.round(volume * (opened + close) / 2, 2))


DAILY = walk(pd.bdate_range("2022-01-03", periods=N))
HOURLY = walk(pd.date_range("2024-01-01", periods=N, freq="h"))
FIVE = walk(pd.date_range("2024-01-22 09:35", periods=N, freq="5min"))
Frame = pd.DataFrame


def csv(frame: Frame, header: bool = True, **options: object) -> str:
    return frame.to_csv(index=False, header=header, **options)  # type: ignore[call-overload,no-any-return]


def stamp(frame: Frame, form: str) -> pd.Series:
    return frame["t"].dt.strftime(form)


def epoch(frame: Frame, unit: str) -> pd.Series:
    return frame["t"].astype(f"datetime64[{unit}]").astype("int64")


def pick(frame: Frame, **columns: object) -> Frame:
    """Return columns under other names: a name of ours, or values."""
    values = {name: frame[each] if isinstance(each, str) and each in frame else each for name, each in columns.items()}
    return pd.DataFrame(values, frame.index)


def grouped(column: pd.Series, digits: int = 2) -> pd.Series:
    return column.map(lambda value: f"{value:,.{digits}f}")


def german(column: pd.Series, digits: int = 2) -> pd.Series:
    return grouped(column, digits).str.translate(str.maketrans(",.", ".,"))


def short(column: pd.Series) -> pd.Series:
    return column.map(lambda value: f"{value / 1e3:.3f}K")


PRICES = {name: name for name in COLUMNS[:4]}
CAPITAL = {name.title(): name for name in COLUMNS[:4]}
D, H, F = DAILY, HOURLY, FIVE
B = walk(pd.bdate_range("2022-01-03", periods=N), 4100.0)
# The layout: how it is written, the candles, and whether volume and amount are those of the candles.
LAYOUTS: dict[str, tuple[Callable[[], str | bytes], Frame, str]] = {
    "nasdaq.com": (
        lambda: csv(
            pick(
                D,
                **{
                    "Date": stamp(D, "%m/%d/%Y"),
                    "Close/Last": "$" + D["close"].astype(str),
                    "Volume": D["volume"].astype(int),
                    **{name.title(): "$" + D[name].astype(str) for name in ("open", "high", "low")},
                },
            )[::-1]
        ),
        D,
        "volume",
    ),
    "investing.com in German": (
        lambda: csv(
            pick(
                D,
                **{
                    "Datum": stamp(D, "%d.%m.%Y"),
                    "Zuletzt": german(D["close"]),
                    "Eröffn.": german(D["open"]),
                    "Hoch": german(D["high"]),
                    "Tief": german(D["low"]),
                    "Vol.": german(D["volume"] / 1e3, 3) + "K",
                    "+/- %": "0,10%",
                },
            )
        ),
        D,
        "volume",
    ),
    "investing.com in Spanish": (
        lambda: csv(
            pick(
                D,
                **{
                    "Fecha": stamp(D, "%d.%m.%Y"),
                    "Último": german(D["close"]),
                    "Apertura": german(D["open"]),
                    "Máximo": german(D["high"]),
                    "Mínimo": german(D["low"]),
                    "Vol.": short(D["volume"]).str.replace(".", ","),
                    "% var.": "0,10%",
                },
            )
        ),
        D,
        "volume",
    ),
    "investing.com in Russian, cp1251": (
        lambda: csv(
            pick(
                D,
                **{
                    "Дата": stamp(D, "%d.%m.%Y"),
                    "Цена": german(D["close"]),
                    "Откр.": german(D["open"]),
                    "Макс.": german(D["high"]),
                    "Мин.": german(D["low"]),
                    "Объём": short(D["volume"]).str.replace(".", ","),
                },
            )
        ).encode("cp1251"),
        D,
        "volume",
    ),
    "a Japanese broker, Shift-JIS": (
        lambda: csv(
            pick(
                D,
                **{
                    "日付": stamp(D, "%Y/%m/%d"),
                    "始値": "open",
                    "高値": "high",
                    "安値": "low",
                    "終値": "close",
                    "出来高": grouped(D["volume"], 0),
                },
            )
        ).encode("cp932"),
        D,
        "volume",
    ),
    "a Korean broker, CP949": (
        lambda: csv(
            pick(
                D,
                **{
                    "일자": stamp(D, "%Y/%m/%d"),
                    "종가": "close",
                    "시가": "open",
                    "고가": "high",
                    "저가": "low",
                    "거래량": grouped(D["volume"], 0),
                    "거래대금": "amount",
                },
            )
        ).encode("cp949"),
        D,
        "amount",
    ),
    "Stooq in Polish": (
        lambda: csv(
            pick(
                D,
                Data="t",
                Otwarcie="open",
                Najwyzszy="high",
                Najnizszy="low",
                Zamkniecie="close",
                Wolumen="volume",
            )
        ),
        D,
        "volume",
    ),
    "NSE of India": (
        lambda: csv(
            pick(
                D,
                **{
                    "Date ": stamp(D, "%d-%b-%Y"),
                    "series ": "EQ",
                    "OPEN ": "open",
                    "HIGH ": "high",
                    "LOW ": "low",
                    "PREV. CLOSE ": "open",
                    "ltp ": "close",
                    "close ": "close",
                    "VOLUME ": grouped(D["volume"], 0),
                    "VALUE ": "amount",
                }
                | {"series ": pd.Series("EQ", D.index)},
            )
        ),
        D,
        "amount",
    ),
    "Barchart": (
        lambda: (
            csv(
                pick(
                    F,
                    Time=stamp(F, "%m/%d/%Y %H:%M"),
                    Open="open",
                    High="high",
                    Low="low",
                    Last="close",
                    Change=pd.Series("0.1", F.index),
                    Volume="volume",
                )[::-1]
            )
            + '"Downloaded from Barchart.com as of 02-01-2024 10:00pm CST"\n'
        ),
        F,
        "volume",
    ),
    "Finam": (
        lambda: csv(
            pick(
                F,
                **{
                    "<TICKER>": pd.Series("SBER", F.index),
                    "<PER>": pd.Series(5, F.index),
                    "<DATE>": stamp(F, "%Y%m%d"),
                    "<TIME>": stamp(F, "%H%M%S"),
                    **{f"<{name.upper()}>": name for name in COLUMNS[:4]},
                    "<VOL>": "volume",
                },
            ),
            sep=";",
        ),
        F,
        "volume",
    ),
    "HistData, no header": (
        lambda: csv(pick(F, t=stamp(F, "%Y%m%d %H%M%S"), **PRICES, v="volume"), header=False, sep=";"),
        F,
        "volume",
    ),
    "Kibot, no header, month first": (
        lambda: csv(pick(D, t=stamp(D, "%m/%d/%Y"), **PRICES, v="volume"), header=False),
        D,
        "volume",
    ),
    "FirstRate, no header": (lambda: csv(D.drop(columns="amount"), header=False), D, "volume"),
    "TDX, no header, space between": (
        lambda: csv(
            pick(F, d=stamp(F, "%Y/%m/%d"), t=stamp(F, "%H%M"), **PRICES, v="volume", a="amount"),
            header=False,
            sep=" ",
        ),
        F,
        "amount",
    ),
    "Bitfinex, no header: close before high": (
        lambda: csv(pick(H, t=epoch(H, "ms"), o="open", c="close", h="high", l="low", v="volume")[::-1], header=False),
        H,
        "volume",
    ),
    "Coinbase, no header: low first, newest first": (
        lambda: csv(pick(H, t=epoch(H, "s"), l="low", h="high", o="open", c="close", v="volume")[::-1], header=False),
        H,
        "volume",
    ),
    "Kraken's interface, no header: the mean price before the volume": (
        lambda: csv(
            pick(
                H,
                t=epoch(H, "s"),
                **PRICES,
                w=(H["high"] + H["low"]) / 2,
                v="volume",
                n=pd.Series(np.arange(N) % 50, H.index),
            ),
            header=False,
        ),
        H,
        "volume",
    ),
    "symbol first, no header": (
        lambda: csv(pick(D, s=pd.Series("sh.600000", D.index), t="t", **PRICES, v="volume", a="amount"), header=False),
        D,
        "amount",
    ),
    "OKX": (
        lambda: csv(
            pick(
                H,
                ts=epoch(H, "ms"),
                o="open",
                h="high",
                l="low",
                c="close",
                vol="volume",
                volCcy="volume",
                volCcyQuote="amount",
                confirm=pd.Series(1, H.index),
            )
        ),
        H,
        "amount",
    ),
    "HTX: amount is the volume, vol is in money": (
        lambda: csv(
            pick(
                H,
                id=epoch(H, "s"),
                open="open",
                close="close",
                low="low",
                high="high",
                amount="volume",
                vol="amount",
                count=pd.Series(np.arange(N), H.index),
            )
        ),
        H,
        "amount",
    ),
    "CryptoCompare": (
        lambda: csv(pick(H, time=epoch(H, "s"), **PRICES, volumefrom="volume", volumeto="amount")),
        H,
        "amount",
    ),
    "volume of both currencies": (
        lambda: csv(pick(H, date="t", **PRICES, **{"Volume USDT": "amount", "Volume ETH": "volume"})),
        H,
        "amount",
    ),
    "Upbit: the last trade's time beside": (
        lambda: csv(
            pick(
                H,
                market=pd.Series("KRW-BTC", H.index),
                candle_date_time_utc=stamp(H, "%Y-%m-%dT%H:%M:%S"),
                opening_price="open",
                high_price="high",
                low_price="low",
                trade_price="close",
                timestamp=epoch(H, "ms") + 3_599_123,
                candle_acc_trade_price="amount",
                candle_acc_trade_volume="volume",
            )
        ),
        H,
        "amount",
    ),
    "Polygon's flat files": (
        lambda: csv(
            pick(
                H,
                ticker=pd.Series("AAPL", H.index),
                volume="volume",
                **PRICES,
                window_start=epoch(H, "ns"),
                transactions=pd.Series(5, H.index),
            )
        ),
        H,
        "volume",
    ),
    "CSMAR: labels and units below the names": (
        lambda: csv(
            pick(
                D,
                Stkcd=pd.Series("000001", D.index),
                Trddt="t",
                Opnprc="open",
                Hiprc="high",
                Loprc="low",
                Clsprc="close",
                Dnshrtrd="volume",
                Dnvaltrd="amount",
            )
        ).replace(
            "\n",
            "\n证券代码,交易日期,开盘价,最高价,最低价,收盘价,成交股数,成交金额\n没有单位,没有单位,元/股,元/股,元/股,元/股,股,元\n",
            1,
        ),
        D,
        "amount",
    ),
    "同花顺: weekdays, separators, 万": (
        lambda: csv(
            pick(
                D,
                时间=stamp(D, "%Y-%m-%d") + ",一",
                开盘="open",
                最高="high",
                最低="low",
                收盘="close",
                涨幅=pd.Series("0.10%", D.index),
                总手=(D["volume"] / 1e4).map("{:.4f}万".format),
                金额=(D["amount"] / 1e4).map("{:.6f}万".format),
            ),
            sep="\t",
        ).encode("gb18030"),
        D,
        "amount",
    ),
    "Wind: titles, units in brackets": (
        lambda: (
            "Wind资讯\n\n代码:000001.SZ\n\n"
            + csv(
                pick(
                    D,
                    **{
                        "日期": stamp(D, "%Y-%m-%d"),
                        "开盘价(元)": "open",
                        "最高价(元)": "high",
                        "最低价(元)": "low",
                        "收盘价(元)": "close",
                        "成交额(元)": grouped(D["amount"]),
                        "成交量(股)": grouped(D["volume"], 0),
                    },
                )
            )
            + "\n数据来源:Wind\n"
        ),
        D,
        "amount",
    ),
    "vn.py": (
        lambda: csv(
            pick(
                F,
                symbol=pd.Series("rb2405", F.index),
                exchange=pd.Series("SHFE", F.index),
                datetime="t",
                interval=pd.Series("5m", F.index),
                volume="volume",
                turnover="amount",
                open_interest=pd.Series(5, F.index),
                open_price="open",
                high_price="high",
                low_price="low",
                close_price="close",
            )
        ),
        F,
        "amount",
    ),
    "baostock": (
        lambda: csv(
            pick(
                F,
                date=stamp(F, "%Y-%m-%d"),
                time=stamp(F, "%Y%m%d%H%M%S000"),
                code=pd.Series("sh.600000", F.index),
                **PRICES,
                volume="volume",
                amount="amount",
            )
        ),
        F,
        "amount",
    ),
    "Alpha Vantage": (
        lambda: csv(
            pick(
                D,
                **{
                    "": stamp(D, "%Y-%m-%d"),
                    "1. open": "open",
                    "2. high": "high",
                    "3. low": "low",
                    "4. close": "close",
                    "5. volume": "volume",
                },
            )[::-1]
        ),
        D,
        "volume",
    ),
    "yfinance, one ticker": (
        lambda: (
            "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
            + csv(pick(D, t="t", c="close", h="high", l="low", o="open", v="volume"), header=False)
        ),
        D,
        "volume",
    ),
    "a counter without a name, from R": (
        lambda: (
            "Date,Open,High,Low,Close,Volume\n"
            + csv(pick(D, n=pd.Series(np.arange(1, N + 1), D.index), t="t", **PRICES, v="volume"), header=False)
        ),
        D,
        "volume",
    ),
    "Excel's empty edges": (
        lambda: (
            ",,,,,,,\n,,,,,,,\n"
            + csv(
                pick(
                    D,
                    **{"": pd.Series("", D.index)},
                    Date="t",
                    **CAPITAL,
                    Volume="volume",
                    **{" ": pd.Series("", D.index)},
                )
            )
            + ",,,,,,,\n"
        ),
        D,
        "volume",
    ),
    "a delimiter at the end of the rows": (
        lambda: csv(pick(D, date="t", **PRICES, volume="volume")).replace("\n", ",\n").replace("volume,", "volume", 1),
        D,
        "volume",
    ),
    "the header every hundred rows": (
        lambda: "".join(csv(pick(D[n : n + 100], date="t", **PRICES, volume="volume")) for n in (0, 100, 200)),
        D,
        "volume",
    ),
    "a Swiss bank": (
        lambda: csv(
            pick(D, date=stamp(D, "%d.%m.%Y"), **PRICES, volume=grouped(D["volume"], 0).str.replace(",", "'")), sep=";"
        ),
        D,
        "volume",
    ),
    "SAS": (
        lambda: csv(pick(D, date=stamp(D, "%d%b%Y").str.upper(), **PRICES, volume="volume")),
        D,
        "volume",
    ),
    "day numbers of Excel": (
        lambda: csv(pick(D, date=(D["t"] - pd.Timestamp("1899-12-30")).dt.days, **PRICES, volume="volume")),
        D,
        "volume",
    ),
    "ticks of .NET": (
        lambda: csv(pick(F, Time=epoch(F, "ns") // 100 + 621_355_968_000_000_000, **CAPITAL, Volume="volume")),
        F,
        "volume",
    ),
    "Thailand": (
        lambda: csv(
            pick(
                D,
                date=stamp(D, "%d/%m/") + (D["t"].dt.year + 543).astype(str),
                **PRICES,
                volume=grouped(D["volume"], 0),
            )
        ),
        D,
        "volume",
    ),
    "a time of an unknown name": (
        lambda: csv(pick(F, Zeitpunkt=stamp(F, "%d.%m.%Y %H:%M"), **PRICES, volume="volume")),
        F,
        "volume",
    ),
    "an amount without a volume": (
        lambda: csv(pick(D, 日期="t", 开盘="open", 最高="high", 最低="low", 收盘="close", 成交额="amount")),
        D,
        "worth",
    ),
    "volume_usd without another": (lambda: csv(pick(H, date="t", **PRICES, volume_usd="amount")), H, "worth"),
    "Binance, columns numbered by pandas": (
        lambda: csv(
            pick(H, **{"0": epoch(H, "ms"), "1": "open", "2": "high", "3": "low", "4": "close", "5": "volume"})
        ),
        H,
        "volume",
    ),
    "ccxt, a counter before": (
        lambda: pick(
            H, **{"0": epoch(H, "ms"), "1": "open", "2": "high", "3": "low", "4": "close", "5": "volume"}
        ).to_csv(),
        H,
        "volume",
    ),
    "Gate, no header: both volumes around the prices": (
        lambda: csv(
            pick(H, t=epoch(H, "s"), a="amount", c="close", h="high", l="low", o="open", v="volume"), header=False
        ),
        H,
        "amount",
    ),
    "Profit, no header: money before pieces": (
        lambda: csv(pick(D, s=pd.Series("PETR4", D.index), t="t", **PRICES, a="amount", v="volume"), header=False),
        D,
        "amount",
    ),
    "quantmod: the ticker before each name": (
        lambda: csv(
            pick(D, **{"": "t"}, **{f"AAPL.{name}": ours for name, ours in [*CAPITAL.items(), ("Volume", "volume")]})
        ),
        D,
        "volume",
    ),
    "the ticker behind each name": (
        lambda: csv(pick(D, Date="t", **{f"{name}_AAPL": name for name in [*COLUMNS[:4], "volume"]})),
        D,
        "volume",
    ),
    "yfinance, pairs": (
        lambda: csv(pick(D, Date="t", **{f"('{name.title()}', 'AAPL')": name for name in [*COLUMNS[:4], "volume"]})),
        D,
        "volume",
    ),
    "Oanda": (
        lambda: csv(pick(H, time="t", volume="volume", **{f"mid.{name[0]}": name for name in COLUMNS[:4]})),
        H,
        "volume",
    ),
    "FXCM: bid and ask": (
        lambda: csv(
            pick(H, date="t", **{f"bid{name}": name for name in COLUMNS[:4]}).assign(
                **{f"ask{name}": H[name] + 0.01 for name in COLUMNS[:4]}, tickqty=H["volume"]
            )
        ),
        H,
        "volume",
    ),
    "TqSdk: the contract before each name": (
        lambda: csv(
            pick(F, datetime="t", **{f"SHFE.rb2405.{name}": name for name in [*COLUMNS[:4], "volume"]}).assign(
                **{"SHFE.rb2405.close_oi": 5}
            )
        ),
        F,
        "volume",
    ),
    "Qlib": (
        lambda: csv(pick(D, datetime="t", **{f"${name}": name for name in [*COLUMNS[:4], "volume"]})),
        D,
        "volume",
    ),
    "CoinMarketCap: stars and a market value": (
        lambda: csv(
            pick(
                D,
                **{
                    "Date": stamp(D, "%b %d, %Y"),
                    "Open*": "open",
                    "High": "high",
                    "Low": "low",
                    "Close**": "close",
                    "Volume": "volume",
                    "Market Cap": D["amount"] * 9,
                },
            )
        ),
        D,
        "volume",
    ),
    "Yahoo's page: remarks in the names, dividends between the rows": (
        lambda: (
            csv(
                pick(
                    D,
                    **{
                        "Date": stamp(D, "%b %d, %Y"),
                        **CAPITAL,
                        "Close Close price adjusted for splits.": "close",
                        "Volume": grouped(D["volume"], 0),
                    },
                ).drop(columns="Close"),
                sep="\t",
            )
            + "Feb 24, 2023\t0.24 Dividend\n"
        ),
        D,
        "volume",
    ),
    "NSE's bhavcopy": (
        lambda: csv(
            pick(
                D,
                SYMBOL=pd.Series("TCS", D.index),
                **{name.upper(): name for name in COLUMNS[:4]},
                TOTTRDQTY="volume",
                TOTTRDVAL="amount",
                TIMESTAMP=stamp(D, "%d-%b-%Y"),
            )
        ),
        D,
        "amount",
    ),
    "Frankfurt: Umsatz and Stücke": (
        lambda: csv(
            pick(
                D,
                **{
                    "Datum": stamp(D, "%d.%m.%y"),
                    "Eröffnung": german(D["open"]),
                    "Tageshoch": german(D["high"]),
                    "Tagestief": german(D["low"]),
                    "Schluss": german(D["close"]),
                    "Umsatz": german(D["amount"]),
                    "Stücke": german(D["volume"], 0),
                },
            ),
            sep=";",
        ),
        D,
        "amount",
    ),
    "B3: the volume in money, pieces in another column": (
        lambda: csv(
            pick(
                D,
                Data=stamp(D, "%d/%m/%Y"),
                Abertura=german(D["open"]),
                Máximo=german(D["high"]),
                Mínimo=german(D["low"]),
                Fechamento=german(D["close"]),
                Volume=german(D["amount"]),
                Quantidade=german(D["volume"], 0),
            ),
            sep=";",
        ),
        D,
        "amount",
    ),
    "Borsa Italiana: Volume Totale": (
        lambda: csv(pick(D, Data="t", **CAPITAL, **{"Volume Totale": "volume"})),
        D,
        "volume",
    ),
    "MOEX: begin, end and value": (
        lambda: csv(
            pick(F, **PRICES, value="amount", volume="volume", begin="t", end=F["t"] + pd.Timedelta("4min59s"))
        ),
        F,
        "amount",
    ),
    "Binance's stream: names that differ in case": (
        lambda: csv(
            pick(
                H, t=epoch(H, "ms"), T=epoch(H, "ms") + 3599999, o="open", c="close", h="high", l="low", v="volume"
            ).assign(L=7, V=H["volume"] / 2)
        ),
        H,
        "volume",
    ),
    "IEX: a clock of another name": (
        lambda: csv(pick(F, date=stamp(F, "%Y-%m-%d"), minute=stamp(F, "%H:%M"), **PRICES, volume="volume")),
        F,
        "volume",
    ),
    "日付 and 時刻": (
        lambda: csv(
            pick(
                F, 日付=stamp(F, "%Y/%m/%d"), 時刻=stamp(F, "%H:%M"), 始値="open", 高値="high", 安値="low", 終値="close"
            )
        ),
        F,
        "none",
    ),
    "date and hour": (
        lambda: csv(pick(H, date=stamp(H, "%Y-%m-%d"), hour=H["t"].dt.hour, **PRICES, volume="volume")),
        H,
        "volume",
    ),
    "TDX, a title, no header": (
        lambda: (
            "600000 浦发银行 5分钟线 不复权\n"
            + csv(
                pick(F, d=stamp(F, "%Y/%m/%d"), t=stamp(F, "%H%M"), **PRICES, v="volume", a="amount"),
                header=False,
                sep="\t",
            )
        ),
        F,
        "amount",
    ),
    "Wind: remarks without a time": (
        lambda: csv(pick(D, 代码=pd.Series("000001.SZ", D.index), 日期="t", **PRICES)) + ",,,,,\n数据来源:Wind,,,,,\n",
        D,
        "none",
    ),
    "UTF-16 without a mark": (
        lambda: csv(pick(F, Date="t", **CAPITAL, Volume="volume"), sep="\t").encode("utf-16-le"),
        F,
        "volume",
    ),
    "R's write.table: names of rows": (
        lambda: (
            "open high low close volume\n"
            + csv(pick(D, t=stamp(D, '"%Y-%m-%d"'), **PRICES, v="volume"), header=False, sep=" ", quoting=3)
        ),
        D,
        "volume",
    ),
    "pandas' to_string": (
        lambda: pick(H, **PRICES, volume="volume").set_axis(H["t"]).rename_axis(None).to_string(),
        H,
        "volume",
    ),
    "kdb+": (lambda: csv(pick(H, time=stamp(H, "%Y.%m.%dD%H:%M:%S.000000000"), **PRICES)), H, "none"),
    "times in quotes": (lambda: csv(pick(H, time=stamp(H, "'%Y-%m-%d %H:%M'"), **PRICES)), H, "none"),
    "NumPy's savetxt": (lambda: csv(pick(H, time=epoch(H, "ms").map("{:.18e}".format), **PRICES)), H, "none"),
    "carets": (lambda: csv(pick(H, time="t", **PRICES), sep="^"), H, "none"),
    "a comment's sign before the names": (lambda: "#" + csv(pick(H, time="t", **PRICES)), H, "none"),
    "investing.com in Vietnamese": (
        lambda: csv(
            pick(
                D,
                **{"Ngày": stamp(D, "%d/%m/%Y"), "Lần cuối": "close", "Mở": "open", "Cao": "high", "Thấp": "low"},
                KL=short(D["volume"]),
            )
        ),
        D,
        "volume",
    ),
    "Bloomberg": (
        lambda: csv(
            pick(
                D,
                Dates=stamp(D, "%m/%d/%Y"),
                PX_OPEN="open",
                PX_HIGH="high",
                PX_LOW="low",
                PX_LAST="close",
                PX_VOLUME="volume",
            )
        ),
        D,
        "volume",
    ),
    "a French broker: spaces between thousands": (
        lambda: csv(
            pick(
                B,
                Date=stamp(B, "%d/%m/%Y"),
                **{
                    name: grouped(B[ours]).str.replace(",", "\u202f").str.replace(".", ",")
                    for name, ours in zip(("Ouv", "Haut", "Bas", "Clot"), COLUMNS)
                },
                Vol=B["volume"].astype(int),
            ),
            sep=";",
        ),
        B,
        "volume",
    ),
    "units behind the names": (
        lambda: csv(
            pick(
                D,
                日期="t",
                **dict(zip(("开盘", "最高", "最低", "收盘"), COLUMNS)),
                **{"成交量(万股)": D["volume"] / 1e4, "成交额（亿元）": D["amount"] / 1e8},
            )
        ),
        D,
        "amount",
    ),
    "NSE's index: crores": (
        lambda: csv(pick(D, Date="t", **CAPITAL, **{"Shares Traded": "volume", "Turnover (₹ Cr)": D["amount"] / 1e7})),
        D,
        "amount",
    ),
    "no header: an adjusted close before the volume": (
        lambda: csv(pick(D, t="t", **PRICES, adjusted=D["close"] * 0.8, v="volume"), header=False),
        D,
        "volume",
    ),
    "a clock with milliseconds": (
        lambda: csv(pick(F, date=stamp(F, "%Y%m%d"), time=stamp(F, "%H%M%S000").astype(int), **PRICES)),
        F,
        "none",
    ),
    "a clock in parts of a day": (
        lambda: csv(
            pick(F, date=stamp(F, "%Y-%m-%d"), time=(F["t"] - F["t"].dt.normalize()) / pd.Timedelta("1D"), **PRICES)
        ),
        F,
        "none",
    ),
    "a. m. and p. m.": (
        lambda: csv(pick(F, Fecha=stamp(F, "%d/%m/%Y %I:%M:%S ") + stamp(F, "%p").str[0] + ". m.", **PRICES)),
        F,
        "none",
    ),
    "MetaStock: six digits": (lambda: csv(pick(D, **{"<DATE>": stamp(D, "%y%m%d")}, **PRICES)), D, "none"),
    "Finam: six digits and a clock": (
        lambda: csv(pick(F, **{"<DATE>": stamp(F, "%y%m%d"), "<TIME>": stamp(F, "%H%M%S")}, **PRICES), sep=";"),
        F,
        "none",
    ),
    "IQFeed: the volume since the morning beside that of the candle": (
        lambda: csv(pick(F, Time="t", **CAPITAL, TotalVolume=F["volume"].cumsum(), PeriodVolume="volume")[::-1]),
        F,
        "volume",
    ),
    "IQFeed, no header": (
        lambda: csv(pick(F, t="t", **PRICES, total=F["volume"].cumsum(), v="volume")[::-1], header=False),
        F,
        "volume",
    ),
    "掘金: begin and end under unknown names": (
        lambda: csv(pick(F, **PRICES, volume="volume", bob="t", eob=F["t"] + pd.Timedelta("5min"))),
        F,
        "volume",
    ),
    "CTP": (
        lambda: csv(
            pick(
                F,
                TradingDay=stamp(F, "%Y%m%d"),
                UpdateTime=stamp(F, "%H:%M:%S"),
                OpenPrice="open",
                HighestPrice="high",
                LowestPrice="low",
                ClosePrice="close",
            )
        ),
        F,
        "none",
    ),
}


def read_layout(tmp_path: Path, content: str | bytes, **options: object) -> pd.DataFrame:
    path = tmp_path / "c.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    frames, unreadable = read_frames([path], ReadingOptions(**options))  # type: ignore[arg-type]
    assert not unreadable, str(unreadable[0])
    (only,) = frames
    assert not [each for each in only.findings if each.severity == "error"], list(map(str, only.findings))
    return only.frame


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_right(tmp_path: Path, name: str) -> None:
    write, candles, money = LAYOUTS[name]
    read = read_layout(tmp_path, write())
    np.testing.assert_array_equal(read.index.to_numpy(), candles["t"].to_numpy())
    np.testing.assert_allclose(read[COLUMNS[:4]], candles[COLUMNS[:4]], rtol=1e-6)
    mean = candles[COLUMNS[:4]].mean(axis=1)
    volume = candles["amount"] / mean if money == "worth" else candles["volume"] * (money != "none")
    amount = volume * mean if money in ("volume", "none") else candles["amount"]
    np.testing.assert_allclose(read["volume"], volume, rtol=1e-5)
    np.testing.assert_allclose(read["amount"], amount, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        # high and low cannot be told apart, or too few rows
        (csv(FIVE[:5], header=False), "The first row is column 1: 2024-01-22 09:35:00, column 2: 41.0"),
        (
            csv(FIVE.assign(high=FIVE["low"]), header=False),
            "Name the columns by their numbers: 'data.columns.timestamps=column N'",
        ),
    ],
)
def test_a_file_without_names_that_leaves_a_doubt_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(content)
    (_, (finding,)) = read_frames([path])
    assert words in str(finding)


def test_columns_of_a_file_without_names_can_be_named(tmp_path: Path) -> None:
    columns = {name: f"column {n}" for n, name in enumerate(["timestamps", *COLUMNS], start=1)}
    read = read_layout(tmp_path, csv(FIVE[:5], header=False), columns=columns)
    np.testing.assert_allclose(read, FIVE[COLUMNS][:5], rtol=1e-6)
    assert read_lines(tmp_path / "c.csv", {2})[2].startswith("2024-01-22 09:40:00,")


def test_columns_of_several_symbols_side_by_side(tmp_path: Path) -> None:
    other = DAILY.assign(**{name: DAILY[name] * 2 for name in COLUMNS[:4]})[:200]
    both = DAILY.merge(other, on="t", how="left", suffixes=("", " 2"))
    fields = ["close", "close 2", "high", "high 2", "low", "low 2", "open", "open 2", "volume", "volume 2"]
    names = ",".join(["Price", *(field.removesuffix(" 2").title() for field in fields)])
    tickers = ",".join(["Ticker", *(["AAPL", "MSFT"] * 5)])
    path = tmp_path / "c.csv"
    path.write_text(f"{names}\n{tickers}\nDate{',' * 10}\n" + csv(both[["t", *fields]], header=False))
    frames, _ = read_frames([path])
    assert [(each.symbol, len(each.frame)) for each in frames] == [("AAPL", N), ("MSFT", 200)]
    np.testing.assert_allclose(frames[1].frame[COLUMNS[:4]], other[COLUMNS[:4]], rtol=1e-6)


def test_all_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("date,begin,high,low,close,volume\n01/02/2024,1,2,x,1,much\n05/02/2024,1,2,1,1,5\n")
    (_, (finding,)) = read_frames([path])
    for words in ("Column open missing", "low is 'x'", "volume is 'much'", "'01/02/2024' is ambiguous"):
        assert words in str(finding)
    path.write_text("date,open,high,low,close,volume\n2024-02-01,1,2,x,1,much\n2024-02-05x,1,2,1,1,5\n")
    (_, (finding,)) = read_frames([path])
    for words in ("low is 'x'", "volume is 'much'", "'2024-02-05x' cannot be read"):
        assert words in str(finding)


def test_a_pickle_is_named_and_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    FIVE.to_pickle(path)
    (_, (finding,)) = read_frames([path])
    assert "this is a pickle" in str(finding) and "read_pickle" in str(finding)


def test_day_or_month_first_is_found_beyond_the_first_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tables", "rows"):
        monkeypatch.setattr(f"kronos.data.files.{module}.ROWS_AT_A_TIME", 5)
    times = pd.date_range("2024-02-01", periods=20)
    candles = walk(times)
    read = read_layout(tmp_path, csv(pick(candles, date=stamp(candles, "%d/%m/%Y"), **PRICES)))
    assert list(read.index) == list(times)


def test_day_or_month_first_that_stays_open_is_refused(tmp_path: Path) -> None:
    candles = walk(pd.date_range("2024-02-01", periods=12))
    path = tmp_path / "c.csv"
    path.write_text(csv(pick(candles, date=stamp(candles, "%d/%m/%Y"), **PRICES)))
    (_, (finding,)) = read_frames([path])
    assert "1 February 2024 or 2 January 2024" in str(finding) and 'data.time_format="%d/%m/%Y"' in str(finding)
    read = read_layout(tmp_path, path.read_text(), time_format="%d/%m/%Y")
    assert list(read.index) == list(candles["t"])


def test_data_decimal_settles_what_a_comma_means(tmp_path: Path) -> None:
    text = "date;open;high;low;close\n2024-02-01;1,100;1,200;1,000;1,100\n"
    with pytest.raises(AssertionError, match=r"Set data.decimal=\. if it separates thousands"):
        read_layout(tmp_path, text)
    assert read_layout(tmp_path, text, decimal=".")["open"].tolist() == [1100]
    assert read_layout(tmp_path, text, decimal=",")["open"].tolist() == [np.float32(1.1)]


def test_a_volume_of_0_beside_a_column_of_volume_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read = read_layout(tmp_path, csv(pick(DAILY, date="t", **PRICES, buy_volume="volume")))
    assert (read["volume"] == 0).all()
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        "volume is taken as 0, although a column may hold it (buy_volume): set data.columns.volume=buy_volume"
        in warning
    )
    caplog.clear()
    assert (read_layout(tmp_path, csv(DAILY))["volume"] > 0).all()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def write_workbook(path: Path, **sheets: pd.DataFrame) -> Path:
    with pd.ExcelWriter(path) as writer:
        for name, sheet in sheets.items():
            sheet.to_excel(writer, sheet_name=name, index=False, startrow=2, startcol=1)
    return path


def test_a_workbook(tmp_path: Path) -> None:
    notes = pd.DataFrame({"note": ["of a broker"]})
    path = write_workbook(tmp_path / "600977.xlsx", notes=notes, candles=FIVE.rename(columns={"t": "Date"}))
    ((only,), unreadable) = read_frames([path])
    assert not unreadable and only.symbol == "600977"
    assert list(only.frame.index) == list(FIVE["t"])
    np.testing.assert_allclose(only.frame, FIVE[COLUMNS], rtol=1e-6)
    (_, (finding,)) = read_frames([write_workbook(tmp_path / "two.xlsx", a=FIVE, b=DAILY)])
    assert "several sheets (a, b)" in str(finding)


def test_a_workbook_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "c.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "python_calamine.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    (_, (finding,)) = read_frames([tmp_path / "c.xlsx"])
    assert "this is an Excel workbook. Save it as CSV (UTF-8), or install the reader" in str(finding)


@pytest.mark.parametrize(
    ("content", "volume"),
    [
        # a turnover rate is no amount of money
        (csv(pick(DAILY, date="t", **PRICES, turnover=DAILY["volume"] / 1e5)), 0),
        # prices of one currency in another, which no name tells
        (csv(pick(DAILY, date="t", **PRICES, **{"Volume BTC": "amount", "Volume ETH": "volume"})), DAILY["volume"]),
        (csv(pick(DAILY, date="t", **PRICES, **{"Volume ETH": "volume", "Volume BTC": "amount"})), DAILY["volume"]),
        # the average is no volume
        (csv(pick(DAILY, date="t", **PRICES, **{"Volume MA": "amount"})), 0),
    ],
)
def test_what_is_volume(tmp_path: Path, content: str, volume: object) -> None:
    np.testing.assert_allclose(read_layout(tmp_path, content)["volume"], volume, rtol=1e-5)


def test_a_date_with_its_time_beside_a_column_of_times(tmp_path: Path) -> None:
    read = read_layout(tmp_path, csv(pick(FIVE, date="t", time=stamp(FIVE, "%H:%M"), **PRICES)))
    assert list(read.index) == list(FIVE["t"])


def test_a_constant_date_is_not_the_time(tmp_path: Path) -> None:
    content = csv(pick(FIVE, Zeitpunkt=stamp(FIVE, "%Y-%m-%d %H:%M"), Verfall="2024-03-15", **PRICES))
    assert list(read_layout(tmp_path, content).index) == list(FIVE["t"])


def test_rows_of_another_delimiter_than_the_names_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    rows = csv(pick(FIVE, t=stamp(FIVE, "%Y-%m-%dT%H:%M"), **PRICES), header=False, sep=";")
    path.write_text("date,open,high,low,close\n" + rows)
    _, unreadable = read_frames([path])
    assert "cannot be read" in str(unreadable[0])


def test_cells_of_another_encoding_do_not_matter(tmp_path: Path) -> None:
    content = csv(pick(FIVE, date="t", **PRICES, name="Société é")).encode("latin-1")
    assert list(read_layout(tmp_path, content).index) == list(FIVE["t"])


@pytest.mark.parametrize("blank", ["\\N", ".", "–", "(null)"])
def test_blanks_of_databases(tmp_path: Path, blank: str) -> None:
    volume = FIVE["volume"].astype(str).where(FIVE.index % 9 != 3, blank)
    read = read_layout(tmp_path, csv(pick(FIVE, t="t", **PRICES, volume=volume)))
    np.testing.assert_array_equal(read["volume"], FIVE["volume"].where(FIVE.index % 9 != 3, 0))


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (stamp(FIVE, "%H:%M"), "has no date"),
        (stamp(DAILY, "%m-%d"), "has no year"),
        (stamp(FIVE, "%M:%S.0"), "lost its date and hour in Excel"),
        (pd.Series("####", FIVE.index), "narrow column"),
        (walk(pd.date_range("2008-01-01", periods=60, freq="MS"))["t"].dt.strftime("%Y%m"), "is ambiguous"),
    ],
)
def test_times_that_lack_something(tmp_path: Path, times: pd.Series, words: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(csv(pick(FIVE[: len(times)], time=times, **PRICES)))
    (_, (finding,)) = read_frames([path])
    assert words in str(finding)


def test_trades_and_quotes_are_no_candles(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("time,price,size\n2024-01-02 09:30:00,1.5,100\n")
    (_, (finding,)) = read_frames([path])
    assert "single trades or quotes" in str(finding) and "data.columns" not in str(finding)


def several_symbols() -> tuple[pd.DataFrame, pd.DataFrame]:
    candles = DAILY.set_index("t")[COLUMNS[:5]]
    return candles, candles * [2, 2, 2, 2, 1]


def check_several_symbols(path: Path) -> None:
    candles, unreadable = read_frames([path])
    assert not unreadable and [each.symbol for each in candles] == ["AAPL", "MSFT"]
    for each, right in zip(candles, several_symbols()):
        np.testing.assert_allclose(each.frame[COLUMNS[:5]], right, rtol=1e-6)


def test_names_of_several_symbols(tmp_path: Path) -> None:
    one, other = several_symbols()
    path = tmp_path / "c.csv"
    pd.concat([one.add_prefix("AAPL_"), other.add_prefix("MSFT_")], axis=1).rename_axis("date").to_csv(path)
    check_several_symbols(path)
    both = pd.concat({"AAPL": one, "MSFT": other}, axis=1)
    both.to_csv(path)  # the symbols above the names
    check_several_symbols(path)
    both.to_parquet(tmp_path / "c.parquet")
    check_several_symbols(tmp_path / "c.parquet")


def test_an_archive_with_other_files_and_any_name(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("candles.csv", csv(FIVE))
        archive.writestr("__MACOSX/._candles.csv", "x")
        archive.writestr("readme.txt", "x")
    assert list(read_layout(tmp_path, path.read_bytes()).index) == list(FIVE["t"])


def test_columns_of_one_name_with_the_same_times_are_one(tmp_path: Path) -> None:
    frame = pick(FIVE, time=stamp(FIVE, "%Y-%m-%d %H:%M"), **PRICES).set_axis(FIVE["t"]).rename_axis("time")
    assert list(read_layout(tmp_path, frame.to_csv()).index) == list(FIVE["t"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\n".join(f'"{line}"' for line in csv(FIVE).splitlines()), "each line stands in quotes"),
        (
            csv(pick(DAILY, year=DAILY["t"].dt.year, month=DAILY["t"].dt.month, day=DAILY["t"].dt.day, **PRICES)),
            "part of",
        ),
    ],
)
def test_other_tables_are_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(content)
    (_, (finding,)) = read_frames([path])
    assert words in str(finding)
