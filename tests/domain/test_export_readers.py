"""Exports in the hands of others: pandas, DuckDB and a spreadsheet read what the service wrote."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import duckdb
import pandas as pd
import pytest

from service.domain import encoding
from service.domain.contact import Contact
from service.domain.encoding import Encoder
from tests.domain import hostile

# The parser of JSON in pandas refuses numbers below 2.2e-308.
CONTACTS = [
    contact
    for contact in [*hostile.contact_of_each_text(), *hostile.contacts(1500)]
    if b"e-324" not in encoding.json_object(contact)
]
OBJECTS = [json.loads(encoding.json_object(contact)) for contact in CONTACTS]
MILLISECONDS = [round(contact.created_at.timestamp() * 1000) for contact in CONTACTS]
NAMES = encoding.COLUMNS
# Comma, quote, UTF-8, from the first line, all columns; then: quoted cells may be numbers, numbers are
# recognised, and formulas are evaluated. As inviting as a spreadsheet can be.
INVITING = "CSV:44,34,76,1,,0,false,true,false,false,false,-1,true"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"

each_json = pytest.mark.parametrize("form", ["jsonl", "json"])
each_csv = pytest.mark.parametrize(
    ("safe", "bom"), [(True, False), (True, True), (False, False), (False, True)]
)


def written(path: Path, encoder: Encoder, contacts: list[Contact] = CONTACTS) -> Path:
    path.write_bytes(encoder.head + encoder.separator.join(map(encoder.record, contacts)) + encoder.tail)
    return path


def json_file(folder: Path, form: str) -> Path:
    encoder = encoding.json_lines() if form == "jsonl" else encoding.json_array()
    return written(folder / f"contacts.{form}", encoder)


def csv_file(folder: Path, *, safe: bool, bom: bool) -> tuple[Path, list[list[str]]]:
    """A file and its cells as Python reads them, which other tests compare with the contacts."""
    path = written(folder / "contacts.csv", encoding.comma_separated(safe=safe, bom=bom))
    text = path.read_bytes().decode("utf-8-sig")
    return path, list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]


@each_json
def test_pandas_reads_the_objects(tmp_path: Path, form: str) -> None:
    """Every field of every contact is equal, metadata and its types included."""
    path = json_file(tmp_path, form)
    frame = pd.read_json(path, lines=form == "jsonl", dtype=False, precise_float=True)
    assert tuple(frame.columns) == NAMES
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == OBJECTS


@each_csv
def test_pandas_reads_the_cells(tmp_path: Path, safe: bool, bom: bool) -> None:
    """Every cell is equal, and a byte order mark is no part of the first column's name."""
    path, cells = csv_file(tmp_path, safe=safe, bom=bom)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert tuple(frame.columns) == NAMES
    assert frame.to_numpy().tolist() == cells


@each_json
def test_duckdb_reads_the_objects(tmp_path: Path, form: str) -> None:
    """Every field of every contact is equal, metadata as JSON."""
    path = json_file(tmp_path, form)
    types = dict.fromkeys(NAMES, "VARCHAR") | {"trusted": "BOOLEAN", "metadata": "JSON"}
    with duckdb.connect() as database:
        found = database.sql(
            "from read_json($path, columns=$types)", params={"path": str(path), "types": types}
        ).fetchall()
    read: list[dict[str, Any]] = [dict(zip(NAMES, row, strict=True)) for row in found]
    assert [each | {"metadata": json.loads(each["metadata"])} for each in read] == OBJECTS


@each_json
def test_duckdb_finds_the_types_itself(tmp_path: Path, form: str) -> None:
    """Without a word about the columns, times are times and texts are texts."""
    path = json_file(tmp_path, form)
    query = "select id, trusted, name, epoch_ms(createdAt) from read_json($path)"
    with duckdb.connect() as database:
        read = database.sql(query, params={"path": str(path)}).fetchall()
    expected = [
        (each["id"], each["trusted"], each["name"], moment)
        for each, moment in zip(OBJECTS, MILLISECONDS, strict=True)
    ]
    assert read == expected


@each_csv
def test_duckdb_reads_the_cells(tmp_path: Path, safe: bool, bom: bool) -> None:
    """It finds out comma, quotes and header by itself, and every cell is equal; an empty one is null."""
    path, cells = csv_file(tmp_path, safe=safe, bom=bom)
    with duckdb.connect() as database:
        table = database.sql("from read_csv($path, all_varchar=true)", params={"path": str(path)})
        assert tuple(table.columns) == NAMES
        assert table.fetchall() == [tuple(cell or None for cell in row) for row in cells]


@pytest.fixture(scope="module")
def spreadsheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `safe.fods`, `marked.fods` and `raw.fods`: the files as LibreOffice understood them."""
    absent = "NO SPREADSHEET HAS READ THE CSV: LibreOffice Calc is not here (Debian: libreoffice-calc)"
    soffice = shutil.which("soffice") or pytest.skip(absent)
    folder = tmp_path_factory.mktemp("spreadsheets")
    sources = [
        written(folder / f"{name}.csv", encoding.comma_separated(safe=safe, bom=bom))
        for name, safe, bom in (("safe", True, False), ("marked", True, True), ("raw", False, False))
    ]
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    command = [soffice, profile, "--headless", f"--infilter={INVITING}", "--convert-to", "fods"]
    subprocess.run([*command, "--outdir", folder, *sources], check=False, capture_output=True, timeout=50)
    # Any bytes are a CSV to Calc: no file at all means an office without it.
    if not (folder / "raw.fods").exists():
        pytest.skip(absent)
    return folder


def sheet(path: Path) -> list[list[ET.Element]]:
    """The cells of a converted file, row by row; repeated ones stand there once."""
    found = ET.parse(path).iter(f"{TABLE}table-row")  # noqa: S314 (written by the program next door)
    return [row.findall(f"{TABLE}table-cell") for row in found]


def text_of(cell: ET.Element) -> str:
    return "\n".join("".join(line.itertext()) for line in cell.iter(f"{TEXT}p"))


def formulas(path: Path) -> list[str]:
    found = (cell.get(f"{TABLE}formula") for row in sheet(path) for cell in row)
    return [formula for formula in found if formula]


@pytest.mark.parametrize("name", ["safe", "marked"])
def test_no_cell_of_a_safe_file_is_a_formula(spreadsheets: Path, name: str) -> None:
    """A spreadsheet that evaluates all it can finds every contact, the mark or none, and nothing to run."""
    path = spreadsheets / f"{name}.fods"
    rows = sheet(path)
    assert [text_of(row[0]) for row in rows if row and text_of(row[0])] == [
        "id",
        *(contact.id for contact in CONTACTS),
    ]
    assert formulas(path) == []


def test_a_raw_file_holds_formulas(spreadsheets: Path) -> None:
    """The same contacts with bare cells do run: the spreadsheet was a real danger."""
    found = formulas(spreadsheets / "raw.fods")
    assert "of:=1+1" in found
    assert any(formula.startswith("of:=HYPERLINK(") for formula in found)
    assert any("cmd|" in formula for formula in found)


def test_a_defused_cell_shows_the_text_behind_an_apostrophe(spreadsheets: Path) -> None:
    """What a person sees is what the service wrote, not the result of it."""
    shown = {text_of(cell) for row in sheet(spreadsheets / "safe.fods") for cell in row}
    assert {"'=1+1", "'@SUM(1)", "'+47", "''=1", "'\uff1d1+1"} <= shown
