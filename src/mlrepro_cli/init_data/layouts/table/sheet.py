"""A table as it stands in its file: headers, and rows of text."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlrepro_cli.init_data.layouts.rows import LabelFile


@dataclass(frozen=True)
class Sheet:
    """A table of text, whatever it was written as.

    headers:  all different, without spaces around them; "column 3" for one that has no name.
    rows:     a list of cells a row, as long as the headers, without spaces around them.
    numbers:  where each row stands in the file.
    unit:     what is counted so: line, record or row.
    repeated: headers that stand there twice; the second is called "label 2" here.
    guessed_encoding: the file is not UTF-8, and letters beyond ASCII may be others.
    whole:    headers of columns that hold one label a cell, because the file itself says so.
    """

    file: LabelFile
    headers: list[str]
    rows: list[list[str]]
    numbers: list[int]
    unit: str = "line"
    repeated: frozenset[str] = frozenset()
    guessed_encoding: bool = False
    whole: frozenset[str] = frozenset()
    _places: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        self._places.update({header: place for place, header in enumerate(self.headers)})

    @property
    def title(self) -> str:
        """What it is called: its file without folders and suffix, and its sheet in a workbook."""
        return f"{self.file.path.stem} {self.unit}"

    def column(self, header: str) -> list[str]:
        place = self._places[header]
        return [row[place] for row in self.rows]

    def filled(self, header: str) -> list[str]:
        """The cells of a column that are not empty."""
        return [cell for cell in self.column(header) if cell]

    def cells(self, row: list[str], headers: tuple[str, ...]) -> Iterator[str]:
        for header in headers:
            yield row[self._places[header]]

    def where(self, row: int) -> str:
        return f"{self.file.path}, {self.unit} {self.numbers[row]}"
