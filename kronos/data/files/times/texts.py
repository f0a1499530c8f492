"""Write dates and times of many languages in digits, in one way."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd

Text = pd.Series  # of str

# English, German, French, Spanish, Portuguese, Italian, Dutch, Turkish, Polish and Russian; compared without accents.
MONTHS = {
    1: "jan january januar janvier janv ene enero jan janeiro gen gennaio januari oca ocak sty stycznia styczen янв января январь",
    2: "feb february februar fevrier fev fevr febrero fevereiro febbraio februari sub subat lut lutego luty фев февраля февраль",
    3: "mar march marz mrz mars marzo marco maart mart маr мар марта март marca marzec",
    4: "apr april avril avr abr abril aprile nis nisan kwi kwietnia kwiecien апр апреля апрель",
    5: "may mai mayo maio maggio mag mei mayis maj maja мая май",
    6: "jun june juni juin junio junho giugno giu haz haziran cze czerwca czerwiec июн июня июнь",
    7: "jul july juli juillet juil julio julho luglio lug tem temmuz lip lipca lipiec июл июля июль",
    8: "aug august aout ago agosto augustus agu agustos sie sierpnia sierpien авг августа август",
    9: "sep sept september septembre septiembre setembro set settembre eyl eylul wrz wrzesnia wrzesien сен сент сентября сентябрь",
    10: "oct october oktober okt octobre octubre outubro out ottobre ott eki ekim paz pazdziernika pazdziernik окт октября октябрь",
    11: "nov november novembre noviembre novembro kas kasim lis listopada listopad ноя нояб ноября ноябрь",
    12: "dec december dezember dez decembre diciembre dic dezembro dicembre ara aralik gru grudnia grudzien дек декабря декабрь",
}
MONTH_OF = {name: month for month, names in MONTHS.items() for name in names.split()}
NAME = r"([^\W\d_]{3,}\.?)"
DAY = r"(\d{1,2})(?:st|nd|rd|th|\.)?"
CLOCK = r"(\d{1,2}:[\d:.]+)"
# Each way to write a date with the name of a month, and the groups with its year, month, day and time.
NAMED_DATES = (
    (re.compile(rf"(?<!\d){DAY}[-\s/,]*(?:de\s+)?{NAME}[-\s/,']*(?:de\s+)?(\d{{4}}|\d{{2}})(?!\d|:)"), (3, 2, 1, 0)),
    (re.compile(rf"{NAME}[-\s/]*{DAY}[-,\s/]+(\d{{4}})(?!\d|:)"), (3, 1, 2, 0)),
    (re.compile(rf"(\d{{4}})[-\s/.]*{NAME}[-\s/.]*(\d{{1,2}})(?!\d|:)"), (1, 2, 3, 0)),
    (re.compile(rf"{NAME}\s+{DAY}\s+{CLOCK}\s+(\d{{4}})$"), (4, 1, 2, 3)),  # as C writes it
    (re.compile(rf"^{NAME}[-\s]+(\d{{4}})$"), (2, 1, 0, 0)),
)
WEEKDAY = re.compile(
    r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s+|[,\s(]+(?:星期|周|週)?[一二三四五六日天]\)?$", re.I
)
MARKS = (
    (r"[年月년월]", "-"),
    (r"[日일]", " "),
    (r"[时時点點시]", ":"),
    (r"[分분](?=\s*\d)", ":"),
    (r"[分秒분초]", ""),
    (r"(?:上午|午前|오전)", " AM "),
    (r"(?:下午|午後|오후)", " PM "),
    (r"^(?:民國|民国|中華民國)", ""),
)
ALL_DASHES = re.compile(r"^(\d{4}-\d\d-\d\d)[-_ T](\d\d)-(\d\d)-(\d\d)$")
SCIENTIFIC = re.compile(r"^(\d)\.(\d{8,})e\+(\d\d)$", re.I)  # with all digits, as NumPy writes it
HALF_OF_DAY_FIRST = (r"\b([AP]M)\s+([\d:.]+)", r"\2 \1")


def normalize_times(times: Text) -> Text:
    """Return texts of times without names of months and weekdays, in ASCII if they can be."""
    text = times.astype("str").fillna("").str.strip(" \t'\"")
    if text.str.contains(r"[eE]\+", regex=True).any():
        text = text.str.replace(SCIENTIFIC, _write_whole, regex=True)
    if text.str.contains(r"\d\d-\d\d-\d\d$", regex=True).any():
        text = text.str.replace(ALL_DASHES, r"\1 \2:\3:\4", regex=True)
    if not text.str.contains(r"[^\x00-\x7f]|[A-Za-z]{3}", regex=True).any():
        return text
    is_ascii = not text.str.contains(r"[^\x00-\x7f]", regex=True).any()
    if not is_ascii:
        text = text.map(lambda each: unicodedata.normalize("NFKC", each))
        text = text.str.replace(WEEKDAY, "", regex=True)
        for written, plain in MARKS:
            text = text.str.replace(written, plain, regex=True)
        text = text.str.replace(*HALF_OF_DAY_FIRST, regex=True).str.replace(r"-\s*-|-\s+(?=-)", "-", regex=True)
        text = text.str.replace(r"\s+(?=[-:])|(?<=[-:])\s+(?=\d)", "", regex=True).str.strip(" -:")
    if not is_ascii or text.str.contains("[A-Za-z]{3}", regex=True).any():
        text = text.map(_write_month_in_digits)
    return text


def _write_whole(found: re.Match[str]) -> str:
    """Return the whole number of a mantissa and an exponent, if no digit is lost."""
    digits = int(found[3])
    whole = found[2][:digits].ljust(digits, "0")
    return f"{found[1]}{whole}" if len(found[2]) >= digits - 3 else found[0]


def _write_month_in_digits(text: str) -> str:
    plain = WEEKDAY.sub("", text)
    for pattern, groups in NAMED_DATES:
        for match in pattern.finditer(plain):
            year, month, day, clock = (match[group] if group else "" for group in groups)
            if number := MONTH_OF.get(_strip_accents(month.rstrip(".").lower())):
                date = f"{_write_year(year)}-{number:02}-{int(day or 1):02} {clock}"
                return (plain[: match.start()] + date + plain[match.end() :]).strip()
    return plain


def _strip_accents(name: str) -> str:
    letters = unicodedata.normalize("NFD", name)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain.replace("ı", "i").replace("ł", "l") if plain.isascii() or "ı" in plain or "ł" in plain else name


def _write_year(year: str) -> str:
    if len(year) == 4:
        return year
    return f"20{year}" if int(year) <= (pd.Timestamp.now().year + 1) % 100 else f"19{year}"
