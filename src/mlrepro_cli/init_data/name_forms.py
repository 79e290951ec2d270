"""The forms in which label files give a picture's name: paths, addresses, names of uploads."""

import re
import unicodedata
from urllib.parse import parse_qs, unquote, urlsplit

from mlrepro_cli.pictures import is_picture

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Label Studio names an upload by eight digits of a hash, a hyphen, and the file's own name.
UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
DRIVE = re.compile(r"^[A-Za-z]:[\\/]")

# Of files that people make pictures of, and whose names their tables keep.
MADE_OF = (".dcm", ".dicom", ".nii.gz", ".nii", ".mha", ".npy", ".svs", ".psd")

AS_WRITTEN = "by name"
BACKSLASHES = "with backslashes"
PERCENT = "with %20 and the like"
FROM_ADDRESS = "by the end of an address"
FROM_UPLOAD = "as an upload of Label Studio"
DECIMALS = "as a whole number"
# 100.0, as pandas writes whole numbers of a column with an empty cell.
WHOLE = re.compile(r"(\d+)\.0")


def is_address(name: str) -> bool:
    """Whether it says where a picture lies on the network, as `https://...` and `s3://...` do."""
    return ADDRESS.match(name) is not None and not name.lower().startswith("file://")


def is_picture_name(name: str) -> bool:
    """Whether a name ends as a picture's does, an address with a query, too."""
    return is_picture(name) or any(is_picture(form) for form in forms(name))


def forms(name: str) -> dict[str, str]:
    """What a name may mean, likeliest first -> how it has been read."""
    found = {name: AS_WRITTEN}
    if ADDRESS.match(name) or name.startswith("/data/local-files/"):
        found = {_in_address(name): FROM_ADDRESS}

    for form in list(found):
        if "\\" in form:
            found.setdefault(form.replace("\\", "/"), BACKSLASHES)
    for form, how in list(found.items()):
        if "%" in form:
            found.setdefault(unquote(form), how if how != AS_WRITTEN else PERCENT)
    for form in list(found):
        folder, slash, last = form.rpartition("/")
        if UPLOAD.match(last):
            found.setdefault(folder + slash + UPLOAD.sub("", last), FROM_UPLOAD)
    for form in list(found):
        if WHOLE.fullmatch(form):
            found.setdefault(without_decimals(form), DECIMALS)
    return found


def without_decimals(name: str) -> str:
    """100 of 100.0; all else as it is."""
    match = WHOLE.fullmatch(name)
    return match[1] if match else name


def _in_address(name: str) -> str:
    """The path in an address; where a query names a file, as Label Studio's do, that."""
    address = urlsplit(name)
    for values in parse_qs(address.query).values():
        if is_picture(values[-1]):
            return values[-1]
    # The host is no folder; of file:// the path is all.
    return unquote(address.path)


def folded(text: str) -> str:
    """The same for names that differ in large letters, in how accents are composed, or by blanks.

    Blanks around a name on the disk: who reads a table takes them off those in its cells.
    """
    text = "/".join(part.strip() for part in text.split("/"))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def stem(text: str) -> str:
    """A name without a suffix of pictures, or of what they are made of; ids may hold dots."""
    for suffix in MADE_OF:
        if text.lower().endswith(suffix):
            return text[: -len(suffix)]
    return text[: text.rindex(".")] if is_picture(text) and "." in text else text


def parts(path: str) -> list[str]:
    """The folders and the file of a path, without what says nothing."""
    path = DRIVE.sub("", path)
    return [part for part in path.split("/") if part not in ("", ".")]
