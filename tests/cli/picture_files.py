"""Files of pictures for tests: small ones, odd ones, and some that nobody can read."""

import csv
import os
import socket
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 6
BOMB_SIZE = 60_000


def write_picture(path: Path, seed: int | None = None) -> Path:
    """A picture of noise that the seed decides, or else the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entropy = list(str(path).encode()) if seed is None else seed
    pixels = np.random.default_rng(entropy).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_table(path: Path, rows: list[tuple], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def bomb() -> bytes:
    """The beginning of a PNG of 60,000 x 60,000 pixels, more than any memory holds."""
    size = BOMB_SIZE.to_bytes(4, "big")
    header = b"IHDR" + size + size + b"\x08\x02\x00\x00\x00"
    pixels = b"IDAT" + zlib.compress(b"")

    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (header, pixels):
        length = len(chunk) - len(b"IHDR")
        content += length.to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return content


def write_no_pictures(folder: Path, suffix: str = ".jpg") -> set[Path]:
    """Writes what is called as pictures are, and is no regular file.

    To read some of it would take for ever.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / f"pipe{suffix}")
    (folder / f"device{suffix}").symlink_to("/dev/zero")
    (folder / f"circle{suffix}").symlink_to(f"circle{suffix}")
    (folder / f"folder{suffix}").mkdir()
    (folder / f"link{suffix}").symlink_to(folder, target_is_directory=True)
    with socket.socket(socket.AF_UNIX) as listener:
        present = os.open(".", os.O_RDONLY)
        os.chdir(folder)  # an address of a socket is short
        listener.bind(f"socket{suffix}")
        os.fchdir(present)
        os.close(present)
    names = ("pipe", "device", "circle", "folder", "link", "socket")
    return {folder / f"{name}{suffix}" for name in names}


def write_odd_pictures(folder: Path) -> dict[str, bool]:
    """Writes pictures of all kinds into a new folder; returns whether each can be read."""
    (folder / "нижняя").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (40, 30), np.uint16))
    rotated = Image.Exif()
    rotated[0x112] = 6  # by 90 degrees
    second_frame = Image.new("P", (30, 40))

    rgb.save(folder / "rgb.jpg")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("L").save(folder / "grey.png")
    rgb.convert("P").save(folder / "palette.png")
    rgb.convert("RGBA").save(folder / "alpha.png")
    rgb.save(folder / "rotated.jpg", exif=rotated)
    rgb.convert("P").save(folder / "animated.gif", save_all=True, append_images=[second_frame])
    deep.save(folder / "deep.png")
    Image.new("1", (12_000, 8_000), 1).save(folder / "12000.png")
    rgb.save(folder / "нижняя" / "写真 é.JPG")
    readable = {str(path): True for path in folder.rglob("*.*")}

    Image.fromarray(rng.random((9, 9), np.float32)).save(folder / "float.tif")
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "half.jpg").write_bytes((folder / "rgb.jpg").read_bytes()[:500])
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "notes.txt").write_text("left alone: not looked for in a folder")
    bad = {
        str(folder / name): False
        for name in ("float.tif", "text.png", "empty.jpg", "half.jpg", "bomb.png")
    }
    return readable | bad
