"""The stage `download`: from the addresses in the settings to verified files."""

import sys
from pathlib import Path

from mlrepro.addresses import has_secrets
from mlrepro.data import formats
from mlrepro.data.fetching.mirrors import fetch
from mlrepro.data.fetching.pictures import fetch_pictures
from mlrepro.data.formats import Format, format_of
from mlrepro.data.picture_check import problem_of, report_rejected
from mlrepro.data.watch import look_again, require_folder
from mlrepro.files import address, write_json
from mlrepro.settings.data import Archive, DataSettings, Limits


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
        require_folder(settings, folder.name)
        in_place = {"folder": settings.folder.as_posix()}
        if settings.watched:
            in_place["content"] = look_again(settings, folder)
        write_json(folder / "archives.json", in_place)
        return

    # archives.json is written last: where it is, everything has arrived.
    _warn_of_secrets(settings)
    listed = []
    for archive in settings.archives:
        listed.append(_fetch_archive(archive, folder / "archives", settings.limits))

    layout = format_of(settings)
    if layout.picture_urls is not None:
        listed.append(_download_pictures(settings, layout, folder))
    write_json(folder / "archives.json", listed)


def _warn_of_secrets(settings: DataSettings) -> None:
    """Say which addresses of the settings, which are kept in git, should be kept from it."""
    addresses = {}
    for archive in settings.archives:
        addresses |= dict.fromkeys(archive.urls, f"the archive {archive.name}")
    addresses[getattr(settings, "picture_url", "")] = "`picture_url`"
    for url, what in addresses.items():
        if has_secrets(url):
            print(
                f"warning: an address of {what} has a user, a password or a token in it, which git "
                "keeps with the settings; write ${NAME} in its place, and set the variable NAME of "
                "the environment",
                file=sys.stderr,
            )


def _fetch_archive(archive: Archive, folder: Path, limits: Limits) -> dict:
    facts, _ = fetch(
        archive.name,
        [address(url) for url in archive.urls],
        folder / archive.name,
        sha256=archive.sha256,
        md5=archive.md5,
        size=archive.size,
        limits=limits,
    )
    return facts


def _download_pictures(settings: DataSettings, layout: Format, folder: Path) -> dict:
    # Which pictures there are stands in the tables, which have arrived by now.
    pictures = folder / "pictures"
    listed, _ = formats.read(settings, pictures)
    urls = layout.picture_urls(settings, listed["image"].tolist())

    failed = fetch_pictures(urls, pictures, problem_of, settings.limits)
    # Written before the share is judged, so that a user can look at all of them.
    write_json(folder / "failed.json", failed)
    report_rejected(
        failed, len(urls), settings.rejected_limit, pictures, "Run again to try them again"
    )
    return {"pictures": len(urls) - len(failed), "failed": len(failed)}
