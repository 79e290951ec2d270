"""The stage `download`: from the addresses in the settings to verified files."""

from pathlib import Path

from mlrepro.data import formats
from mlrepro.data.fetching.mirrors import fetch
from mlrepro.data.fetching.pictures import fetch_pictures
from mlrepro.data.formats import Format, format_of
from mlrepro.data.picture_check import problem_of, report_rejected
from mlrepro.errors import InputError
from mlrepro.files import address, write_json
from mlrepro.settings.data import Archive, DataSettings


def download(settings: DataSettings, folder: Path) -> None:
    """Fetch the archives into folder/archives/; folder/archives.json lists name, size and sha256.

    A data set that is used in place has its folder listed instead. Pictures that a data set offers
    one by one are put into folder/pictures/, and those that failed into folder/failed.json.

    Raises InputError for an archive that no mirror gives, and where the share of failed pictures is
    above `rejected_limit`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A data set that is used in place: nothing to fetch, but the stage needs its output.
    if settings.folder:
        if not settings.folder.is_dir():
            raise InputError(
                f"{settings.folder}: no such folder; mend `folder` of the data set {folder.name}"
            )
        write_json(folder / "archives.json", {"folder": settings.folder.as_posix()})
        return

    # archives.json is written last: where it is, everything has arrived.
    listed = [_fetch_archive(archive, folder / "archives") for archive in settings.archives]
    layout = format_of(settings)
    if layout.picture_urls is not None:
        listed.append(_download_pictures(settings, layout, folder))
    write_json(folder / "archives.json", listed)


def _fetch_archive(archive: Archive, folder: Path) -> dict:
    facts, _ = fetch(
        archive.name,
        [address(url) for url in archive.urls],
        folder / archive.name,
        sha256=archive.sha256,
        md5=archive.md5,
        size=archive.size,
    )
    return facts


def _download_pictures(settings: DataSettings, layout: Format, folder: Path) -> dict:
    # Which pictures there are stands in the tables, which have arrived by now.
    pictures = folder / "pictures"
    listed, _ = formats.read(settings, pictures)
    urls = layout.picture_urls(settings, listed["image"].tolist())

    failed = fetch_pictures(urls, pictures, problem_of)
    # Written before the share is judged, so that a user can look at all of them.
    write_json(folder / "failed.json", failed)
    report_rejected(
        failed, len(urls), settings.rejected_limit, pictures, "Run again to try them again"
    )
    return {"pictures": len(urls) - len(failed), "failed": len(failed)}
