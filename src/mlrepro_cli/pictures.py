"""What counts as a picture in a user's folders."""

# Of formats that Pillow reads and that people keep pictures in.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def is_picture(name: str) -> bool:
    """Whether a file is one by its suffix, in large or small letters. Nothing is opened."""
    return name.lower().endswith(SUFFIXES)
