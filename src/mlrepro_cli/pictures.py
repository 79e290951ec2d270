"""What counts as a picture in a user's folders."""

from pathlib import Path

from PIL import Image

from mlrepro.data.picture_formats import heif_remedy, reads_heif

# Of formats that Pillow reads and that people keep pictures in.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Read where pillow-heif is installed.
HEIF_SUFFIXES = (".heic", ".heif", ".hif")

# Of pictures that are not read, and what to do with them.
RAW = "a camera's raw file; save it as JPEG or TIFF"
FILM = "a film; save the frames that you want as JPEG"
OTHERS = {
    ".dcm": "DICOM; export it as PNG with 16 bits",
    ".dicom": "DICOM; export it as PNG with 16 bits",
    ".svg": "a drawing without pixels; save it as PNG",
    ".psd": "a project of Photoshop; save it as PNG",
    ".xcf": "a project of GIMP; save it as PNG",
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), RAW),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), FILM),
}

# What is known by its first bytes where its name does not tell.
KNOWN_BY_CONTENT = ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "PPM")
# Files of labels and notes, of which there may be one a picture: they are not opened.
TEXTS = (".txt", ".xml", ".json", ".csv", ".tsv")

# What systems and editors put beside a user's files. All that is hidden is left alone, too.
LEFT_ALONE = {
    "__MACOSX",
    "__pycache__",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "lost+found",
    "System Volume Information",
    "Thumbs.db",
    "desktop.ini",
}


def is_picture(name: str) -> bool:
    """Whether a file is one by its suffix, in large or small letters. Nothing is opened."""
    return name.lower().endswith(SUFFIXES + HEIF_SUFFIXES)


def is_picture_without_suffix(path: Path) -> bool:
    """Whether a file has no suffix and is a picture by its first bytes."""
    return not path.suffix and _begins_as_picture(path)


def why_left_out(path: Path) -> str | None:
    """Why a file that is, or is called as, a picture is not used; None for all other files."""
    suffix = path.suffix.lower()
    if suffix in HEIF_SUFFIXES and not reads_heif():
        return heif_remedy()
    if suffix in OTHERS:
        return OTHERS[suffix]
    if is_picture(path.name) or suffix in TEXTS or not suffix:
        return None
    if _begins_as_picture(path):
        return f"a picture by its content, but called {suffix}; rename it"
    return None


def _begins_as_picture(path: Path) -> bool:
    try:
        with Image.open(path, formats=KNOWN_BY_CONTENT):
            return True
    except Exception:  # what is none fails in every way, and what is too large is told by its name
        return False


def is_left_alone(name: str) -> bool:
    """Whether a file or folder of this name within a folder of pictures is none of the user's."""
    return name.startswith(".") or name in LEFT_ALONE
