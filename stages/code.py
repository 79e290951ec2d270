"""Writes digests of modules and of folders of them, on which other stages depend: an edit of comments alone runs none again."""

from pathlib import Path

from mlrepro.files import write_json
from mlrepro.provenance import code_digests
from mlrepro.stage import main


def stage(out: str, *paths: str) -> None:
    digests = code_digests(map(Path, paths), Path())
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(out), digests)
    print(f"code: {len(digests)} modules -> {out}")


main(stage, "out.json", "path...")
