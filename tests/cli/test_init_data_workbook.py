"""Excel's workbooks, as Excel and other programs write them."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from test_init_data_tables import NAMES, SETS, TRUTH, read, write_pictures

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question

LABELS = ("bird", "cat", "dog")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
MERGED = "MERGED"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.fixture
def own(tmp_path) -> Path:
    return write_pictures(tmp_path / "own")


def write_workbook(
    file: Path, sheet: str, texts: list[str], target: str = "worksheets/a.xml"
) -> None:
    """sheet: rows of XML. texts: XML of shared ones."""
    write_sheets(file, {"mine": sheet}, texts, [target])


def write_sheets(
    file: Path, sheets: dict[str, str], texts: list[str], targets: list[str] | None = None
) -> None:
    """sheets: rows of XML by name. targets: their places. One more sheet is said, and not there.

    What stands behind MERGED in the rows of a sheet are the places of cells that are one.
    """
    targets = targets or [f"worksheets/{place}.xml" for place in range(len(sheets))]
    named = "".join(f'<sheet name="{name}" r:id="rId{at}"/>' for at, name in enumerate(sheets))
    parts = "".join(
        f'<Relationship Id="rId{at}" Target="{target}"/>' for at, target in enumerate(targets)
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{named}'
            '<sheet name="a drawing" r:id="rId99"/></sheets></workbook>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{parts}</Relationships>")
        for target, rows in zip(targets, sheets.values(), strict=True):
            rows, _, places = rows.partition(MERGED)
            merged = "".join(f'<mergeCell ref="{place}"/>' for place in places.split())
            archive.writestr(
                f"xl/{target.removeprefix('/xl/')}",
                f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>'
                f"<mergeCells>{merged}</mergeCells></worksheet>",
            )
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{"".join(texts)}</sst>')


def inline(cells: list[list[str]]) -> str:
    """Rows of XML with their texts in them."""
    rows = ""
    for row in cells:
        xml = "".join(f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for cell in row)
        rows += f"<row>{xml}</row>"
    return rows


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


def test_labels_in_cells(own):
    cells = [["image", "labels"], *[[name, "; ".join(labels)] for name, labels in TRUTH.items()]]
    write_workbook(own / "labels.xlsx", *shared(cells))
    assert read(own).labels == TRUTH

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
        InputError, match="labels.xlsx: (no Excel file|all of its sheets are empty .mine)"
    ):
        read(own)


def labels_of(names: list[str]) -> list[list[str]]:
    return [["image", "labels"], *[[name, "; ".join(TRUTH[name])] for name in names]]


def test_the_sheet_that_names_pictures_is_read(own, capsys):
    notes = [["About", "our animals"], ["Who", "I"]]
    sheets = {"Notes": inline(notes), "Empty": "", "Labels": inline(labels_of(NAMES))}
    write_sheets(own / "labels.xlsx", sheets, [])
    assert read(own).labels == TRUTH
    told = capsys.readouterr().out
    assert "labels.xlsx: of its sheets, 'Labels' is read, and 'Notes' left out" in told


def test_a_sheet_a_part(own):
    sheets = {"Train": labels_of(NAMES[:4]), "Test": labels_of(NAMES[4:])}
    write_sheets(own / "a.xlsx", {name: inline(rows) for name, rows in sheets.items()}, [])
    got = read(own)
    assert got.labels == TRUTH
    assert list(got.splits.values()) == ["train"] * 4 + ["test"] * 2


def test_sheets_that_disagree(own):
    other = [["image", "labels"], ["0.jpg", "dog"]]
    sheets = {"new": inline(labels_of(NAMES)), "old": inline(other)}
    write_sheets(own / "a.xlsx", sheets, [])
    with pytest.raises(Question, match="two sheets of .*a.xlsx: both list 1 pictures"):
        read(own)

    sheets = {
        "new": inline(labels_of(NAMES)),
        "old": inline([*other, ["1.jpg", ""], [""], ["", "x"]]),
    }
    write_sheets(own / "a.xlsx", sheets, [])
    with pytest.raises(InputError, match="a.xlsx, sheet 'old', row 5: no picture's name"):
        read(own)


def test_a_title_above_the_header(own, capsys):
    rows = [["Our animals"], [], ["of 2024"], *labels_of(NAMES)]
    write_sheets(own / "a.xlsx", {"mine": inline(rows)}, [])
    assert read(own).labels == TRUTH
    assert "above the header, not read: 'Our animals of 2024'" in capsys.readouterr().out


def test_a_header_without_a_name_for_the_pictures(own):
    """As pandas writes a table whose index names them."""
    write_workbook(own / "a.xlsx", *shared([["", "labels"], *labels_of(NAMES)[1:]]))
    assert read(own).labels == TRUTH


def test_a_cell_over_several_rows_is_of_each(own):
    cells = [["Species", "Image"], *[["", name] for name in NAMES]]
    cells[1][0], cells[4][0] = "cat", "dog"
    rows, texts = shared(cells)
    write_workbook(own / "a.xlsx", f"{rows}{MERGED} A2:A4 A5:A1048576 B9", texts)
    assert list(read(own).labels.values()) == [["cat"]] * 3 + [["dog"]] * 3

    # A picture over the rows of its labels.
    cells = [["Image", "Label"]]
    places = []
    for name, labels in TRUTH.items():
        if len(labels) > 1:
            places.append(f"A{len(cells) + 1}:A{len(cells) + len(labels)}")
        cells += [[name if not at else "", label] for at, label in enumerate(labels or [""])]
    rows, texts = shared(cells)
    write_workbook(own / "a.xlsx", f"{rows}{MERGED} {' '.join(places)}", texts)
    assert read(own).labels == TRUTH


def test_a_title_over_several_columns(own):
    rows, texts = shared([["Our animals", "", "", ""], *marked()])
    write_workbook(own / "a.xlsx", f"{rows}{MERGED} A1:D1", texts)
    assert read(own).labels == TRUTH

    # And headings of groups of columns.
    rows, texts = shared([["Image", "Animals", "", ""], *marked("Image")])
    write_workbook(own / "a.xlsx", f"{rows}{MERGED} A1:A2 B1:D1", texts)
    assert read(own).labels == TRUTH


def marked(first: str = "file") -> list[list[str]]:
    """The truth with a column a label."""
    rows = [[name, *("x" if x in labels else "" for x in LABELS)] for name, labels in TRUTH.items()]
    return [[first, *LABELS], *rows]


def test_a_header_in_two_rows(own):
    rows = [["Our animals", "", "", ""], ["Image", "Animals", "", ""], ["", *LABELS]]
    write_workbook(own / "a.xlsx", *shared([*rows, *marked()[1:], ["As of May 2024"]]))
    assert read(own).labels == TRUTH


def test_excel_s_file_of_who_has_opened_a_workbook(own, capsys):
    write_workbook(own / "a.xlsx", *shared(labels_of(NAMES)))
    (own / "~$a.xlsx").write_bytes(b"\x05Anna " + b" " * 150)
    assert read(own).labels == TRUTH
    assert "left out" not in capsys.readouterr().out


def test_a_sheet_with_the_names_of_classes(own):
    numbers = {"bird": "0", "cat": "1", "dog": "2"}
    rows = [[name, " ".join(numbers[label] for label in labels)] for name, labels in TRUTH.items()]
    classes = [["class_id", "class_name"], *[[number, name] for name, number in numbers.items()]]
    sheets = {"data": inline([["image", "class_ids"], *rows]), "classes": inline(classes)}
    write_sheets(own / "a.xlsx", sheets, [])
    assert read(own).labels == TRUTH


def test_a_workbook_in_a_compression_that_is_not_known(own):
    write_sheets(own / "a.xlsx", {"mine": inline(labels_of(NAMES))}, [])
    content = bytearray((own / "a.xlsx").read_bytes())
    # The method of every file, in the archive's directory.
    start = content.find(b"PK\x01\x02")
    while start != -1:
        content[start + 10] = 99
        start = content.find(b"PK\x01\x02", start + 1)
    (own / "a.xlsx").write_bytes(bytes(content))
    with pytest.raises(InputError, match="a.xlsx: no Excel file that can be read"):
        read(own)
