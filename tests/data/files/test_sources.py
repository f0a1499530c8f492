import zipfile
from pathlib import Path

import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import load_candles
from kronos.data.files.sources import find_files, name_files, symbol_of
from kronos.errors import DataError

CANDLES = "timestamps,open,high,low,close\n2024-06-18,2,4,1,3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files of candles and of other things."""
    for name in (
        *("b.csv", "a.csv.gz", "C.TSV", "d.parquet", "e.feather", "sub/a.csv", "sub/deep/f.csv", ".hidden.csv"),
        *("._a.csv", "f.txt", "g", "sub/.g.csv", "old.csv/inside.csv"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANDLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def list_files(*paths: str | Path) -> list[str]:
    return [str(path) for path in find_files([Path(path) for path in paths])]


def test_files_in_the_order_given_each_once(folder: Path) -> None:
    assert list_files("b.csv", "a.csv.gz") == ["b.csv", "a.csv.gz"]
    assert list_files("b.csv", "a.csv.gz", "sub/../b.csv", folder / "b.csv", "b.csv") == ["b.csv", "a.csv.gz"]


def test_a_link_to_a_file_is_that_file(folder: Path) -> None:
    (folder / "again.csv").symlink_to(folder / "b.csv")
    assert list_files("b.csv", "again.csv") == ["b.csv"]


def test_a_folder_holds_tables_in_order_of_name(folder: Path) -> None:
    assert list_files(".") == ["C.TSV", "a.csv.gz", "b.csv", "d.parquet", "e.feather", "f.txt", "g"]
    assert list_files("sub") == ["sub/a.csv"]


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["b.csv"]),
        ("?.csv*", ["a.csv.gz", "b.csv"]),
        ("[ab].csv*", ["a.csv.gz", "b.csv"]),
        ("**/*.csv", ["b.csv", "old.csv/inside.csv", "sub/a.csv", "sub/deep/f.csv"]),
        ("*/a.csv", ["sub/a.csv"]),
        (".h*.csv", [".hidden.csv"]),
    ],
)
def test_globs(folder: Path, pattern: str, names: list[str], absolute: bool) -> None:
    assert list_files(folder / pattern if absolute else pattern) == [
        str(folder / name) if absolute else name for name in names
    ]


def test_a_file_named_like_a_glob(folder: Path) -> None:
    (folder / "BTC[1].csv").write_text(CANDLES)
    assert list_files("BTC[1].csv") == ["BTC[1].csv"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none.csv", r"none.csv: no such file \(looked in .*\). Name a file"),
        (
            "HK_ali_09988_kline_5min_all.csv",
            r"Download them with: curl .* --output HK_ali_\S+ https://github.com/\S+all.csv$",
        ),
        ("none/*.csv", r"none/\*.csv: no file matches \(looked in .*\)"),
        ("*.md/*", "no file matches"),
        ("sub/*", None),
        ("sub**.csv", r"To find files at any depth, write data/\*\*/\*.csv"),
        ("empty", "empty: no file of candles in this folder"),
        ("/dev/zero", "/dev/zero: not a regular file"),
    ],
)
def test_nothing_there(folder: Path, path: str, words: str | None) -> None:
    (folder / "empty").mkdir()
    (folder / "empty" / ".hidden.csv").write_text(CANDLES)
    if words is None:
        assert list_files(path) == ["sub/a.csv"]
        return
    with pytest.raises(DataError, match=words) as caught:
        find_files([Path("b.csv"), Path(path)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("600977.csv", "600977"),
        ("BRK.B.csv", "BRK.B"),
        ("BTC-USD.CSV.GZ", "BTC-USD"),
        ("a.parquet", "a"),
        ("BTCUSDT-1m.zip", "BTCUSDT-1m"),
        ("sh.600000.txt", "sh.600000"),
        (".csv", ".csv"),
    ],
)
def test_symbol_of(name: str, symbol: str) -> None:
    assert symbol_of(Path("folder.csv") / name) == symbol


def test_a_symbol_in_several_files_is_joined(tmp_path: Path) -> None:
    for i, name in enumerate(("january.csv", "february.csv")):
        (tmp_path / name).write_text(
            "date,symbol,open,high,low,close\n"
            + "".join(f"2024-0{2 - i}-{day},{symbol},2,4,1,3\n" for day in (10, 11) for symbol in ("000001", "NA"))
        )
    candles, _ = load_candles(DataConfig(data_path=(tmp_path,)), RepairsConfig())
    assert [(symbol.symbol, len(symbol)) for symbol in candles.symbols] == [("000001", 4), ("NA", 4)]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.csv", "b.csv.gz"], ["a", "b"]),
        (["2023/AAPL.csv", "2024/AAPL.csv", "b.csv"], ["2023/AAPL", "2024/AAPL", "b"]),
        (["a/x/600.csv", "b/x/600.csv"], ["a/x/600", "b/x/600"]),
        (["/d/BTC.csv", "/d/BTC.parquet"], ["BTC.csv", "BTC.parquet"]),
        ([], []),
    ],
)
def test_folders_distinguish_symbols(files: list[str], names: list[str]) -> None:
    assert name_files([Path(file) for file in files]) == names


def test_a_folder_goes_by_content_and_names_what_it_passes_over(tmp_path: Path) -> None:
    tdx = "SZ000001 平安银行 日线 前复权\n日期\t开盘\t最高\t最低\t收盘\n2024/01/02\t2\t4\t1\t3\n数据来源:通达信\n"
    (tmp_path / "SZ#000001.txt").write_bytes(tdx.encode("gb18030"))
    (tmp_path / "列名.csv").write_bytes("日期,开盘,最高,最低,收盘\n2024-01-02,2,4,1,3\n".encode("gb18030"))
    (tmp_path / "broken.csv").write_text("date,open,high\n2024-06-18,2,4\n")  # candles, and an error
    (tmp_path / "unknown.csv").write_text("a,b,c,d,e\n2024-06-18,2,4,1,3\n")  # perhaps candles
    (tmp_path / "readme.txt").write_text("Candles of two stocks,\nand more.\n")
    (tmp_path / "symbols.csv").write_text("code,name,listed\n000001,平安银行,1991\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    passed_over: list[Path] = []
    files = find_files([tmp_path], passed_over)
    assert [file.name for file in files] == ["SZ#000001.txt", "broken.csv", "unknown.csv", "列名.csv"]
    assert [file.name for file in passed_over] == ["picture.png", "readme.txt", "symbols.csv"]
    for name in ("broken.csv", "unknown.csv"):
        (tmp_path / name).unlink()
    candles, findings = load_candles(DataConfig(data_path=(tmp_path,)), RepairsConfig())
    assert [symbol.symbol for symbol in candles.symbols] == ["SZ#000001", "列名"]
    assert "passed over: picture.png, readme.txt, symbols.csv" in " ".join(finding.text for finding in findings)


def test_a_folder_without_candles_tells_why(tmp_path: Path) -> None:
    (tmp_path / "BTC").mkdir()
    (tmp_path / "BTC" / "a.csv").write_text(CANDLES)
    with zipfile.ZipFile(tmp_path / "months.zip", "w") as archive:
        archive.writestr("1.csv", CANDLES)
        archive.writestr("2.csv", CANDLES)
    with pytest.raises(DataError, match=r"not searched: name them, or write .*\*\*/\*.csv. .*archive holds 2 files"):
        list_files(tmp_path)
    assert list_files(tmp_path / "**" / "*.csv") == [str(tmp_path / "BTC" / "a.csv")]
