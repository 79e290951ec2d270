"""Excel's workbooks, as Excel and other programs write them."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from test_init_data_tables import NAMES, SETS, TRUTH, read, write_pictures

from mlrepro.errors import InputError

LABELS = ("bird", "cat", "dog")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.fixture
def own(tmp_path) -> Path:
    return write_pictures(tmp_path / "own")


def write_workbook(
    file: Path, sheet: str, texts: list[str], target: str = "worksheets/a.xml"
) -> None:
    """sheet: rows of XML. texts: XML of shared ones."""
    place = target.removeprefix("/xl/")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="mine" r:id="rId2"/>'
            '<sheet name="other" r:id="rId1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships><Relationship Id="rId2" Target="{target}"/></Relationships>',
        )
        archive.writestr(
            f"xl/{place}", f'<worksheet xmlns="{MAIN}"><sheetData>{sheet}</sheetData></worksheet>'
        )
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{"".join(texts)}</sst>')


def shared(cells: list[list[str]]) -> tuple[str, list[str]]:
    """Cells with their places, their texts apart, empty ones left out: as Excel writes them."""
    rows, texts = [], []
    for number, row in enumerate(cells, start=1):
        xml = ""
        for column, cell in zip("ABCDE", row, strict=False):
            if cell in ("0", "1"):
                xml += f'<c r="{column}{number}"><v>{cell}</v></c>'
            elif cell:
                xml += f'<c r="{column}{number}" t="s"><v>{len(texts)}</v></c>'
                texts.append(f"<si><t>{escape(cell)}</t></si>")
        rows.append(f'<row r="{number}">{xml}</row>')
    return "".join(rows), texts


def test_labels_in_cells(own, capsys):
    cells = [["image", "labels"], *[[name, "; ".join(labels)] for name, labels in TRUTH.items()]]
    write_workbook(own / "labels.xlsx", *shared(cells))
    assert read(own).labels == TRUTH
    assert "of its sheets, the first is read: 'mine'" in capsys.readouterr().out

    write_workbook(own / "labels.xlsx", *shared(cells[1:]), target="/xl/worksheets/b.xml")
    assert read(own, header=("image", "labels")).labels == TRUTH


def test_marks_of_all_kinds_of_cells(own):
    """Without places; with texts inside, in several formats, Excel's own true and false."""
    header = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in ("file", *LABELS))
    rows = [f"<row>{header}</row>", "<row/>"]
    texts = []
    for name, labels in TRUTH.items():
        texts.append(
            f"<si><r><t>{name[:1]}</t></r><r><t>{name[1:]}</t></r><rPh><t>x</t></rPh></si>"
        )
        cells = [f'<c t="b"><v>{int(label in labels)}</v></c>' for label in LABELS]
        rows.append(f'<row><c t="s"><v>{len(texts) - 1}</v></c>{"".join(cells)}</row>')
    write_workbook(own / "labels.xlsx", "".join(rows), texts)
    assert read(own).labels == TRUTH


def test_a_question_names_the_row(own):
    cells = [["image", *LABELS]]
    for name, labels in zip(NAMES, SETS, strict=True):
        cells.append([name, *["1" if label in labels else "0" for label in LABELS]])
    cells[3][1] = "O"
    write_workbook(own / "labels.xlsx", *shared(cells))
    with pytest.raises(InputError, match=r"labels.xlsx, row 4: column 'bird' holds marks .* O"):
        read(own)


@pytest.mark.parametrize("sheet", ["<row><c r='XFE1'><v>1</v></c></row>", "<row>", "<row/>"])
def test_a_damaged_or_empty_sheet(own, sheet):
    write_workbook(own / "labels.xlsx", sheet, [])
    with pytest.raises(
        InputError, match="labels.xlsx: (no Excel file|its first sheet 'mine' is empty)"
    ):
        read(own)
