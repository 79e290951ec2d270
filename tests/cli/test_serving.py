"""What is posted to a served model: spellings of base64, attacks, many at once. In this process."""

import base64
import io
import json
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import pytest
from picture_files import bomb
from PIL import Image
from test_model_folders import CLASSES, write_model

from mlrepro.errors import InputError
from mlrepro_cli.predict import _load_pyfunc, answer, serving
from mlrepro_cli.predict.answer import READERS
from mlrepro_cli.predict.serving import ServedModel


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ServedModel:
    """As MLflow opens it."""
    return _load_pyfunc(str(write_model(tmp_path_factory.mktemp("served") / "model")))


def file_of(form: str = "PNG", size: int = 20, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def ask(model: ServedModel, *images: object) -> list[dict]:
    """Its answers, which are JSON."""
    answers = model.predict(pandas.DataFrame({"image": pandas.Series(images, dtype=object)}))
    json.dumps(answers, allow_nan=False)
    assert [entry["image"] for entry in answers] == list(range(len(images)))
    return answers


def error_of(model: ServedModel, image: object) -> str:
    [entry] = ask(model, image)
    assert sorted(entry) == ["error", "image"]
    for secret in ("0x", "Traceback", "/", "site-packages"):
        assert secret not in entry["error"]
    return entry["error"]


# ---- Spellings ---------------------------------------------------------------------------------

# Its base64 has + and / in it, and is filled with = at its end.
CONTENT = next(
    content
    for content in (file_of(seed=seed) for seed in range(100))
    if all(letter in encoded(content) for letter in "+/=")
)

SPELLINGS = {
    "in lines": base64.encodebytes(CONTENT).decode(),
    "in lines of Windows": base64.encodebytes(CONTENT).decode().replace("\n", "\r\n"),
    "URL-safe": base64.urlsafe_b64encode(CONTENT).decode(),
    "not filled": encoded(CONTENT).rstrip("="),
    "URL-safe and not filled": base64.urlsafe_b64encode(CONTENT).decode().rstrip("="),
    "a data: address": f"data:image/png;base64,{encoded(CONTENT)}",
    "a data: address in lines": f" Data:image/png;charset=x;base64,\n{encoded(CONTENT)}\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_base64(model, spelling):
    [expected] = ask(model, encoded(CONTENT))
    assert list(expected["scores"]) == CLASSES
    assert ask(model, SPELLINGS[spelling]) == [expected]


# ---- Attacks -----------------------------------------------------------------------------------


def bomb_of_text() -> bytes:
    """A PNG whose comment becomes 200 MB."""
    content = file_of()
    text = b"zTXtComment\0\0" + zlib.compress(bytes(200_000_000), 9)
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    # Behind the header, which is the first chunk.
    return content[:33] + chunk + content[33:]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n%%EOF\n"

NO_PICTURES = {
    "empty": "",
    "no base64": "%%%",
    "no base64, of letters": "é" * 8,
    "one letter": "A",
    "a data: address without an end": "data:image/png;base64",
    "text": encoded(b"no picture"),
    "HTML": encoded(b"<html><script>alert(1)</script></html>"),
    "SVG": encoded(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    "PDF": encoded(b"%PDF-1.7\n"),
    "PostScript, which others run": encoded(EPS),
    "half a picture": encoded(file_of("JPEG")[:300]),
    "a header alone": encoded(file_of()[:33]),
    "a bomb of pixels": encoded(bomb()),
    "a bomb of text": encoded(bomb_of_text()),
    "an address": "http://example.org/a.png",
    "a file's name": "/etc/passwd",
    "nothing": None,
    "a number": 3,
    "no number": float("nan"),
    "bytes": CONTENT,
    "a list": [encoded(CONTENT)],
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_what_is_no_picture(model, kind):
    assert error_of(model, NO_PICTURES[kind])


def test_what_is_no_picture_among_pictures(model):
    good = encoded(CONTENT)
    images = []
    for bad in NO_PICTURES.values():
        images += [good, bad]
    answers = ask(model, *images)
    [expected] = ask(model, good)
    for place, entry in enumerate(answers):
        if place % 2:
            assert "error" in entry
        else:
            # Not to the last bit: another batch.
            assert entry["labels"] == expected["labels"]
            assert entry["scores"] == pytest.approx(expected["scores"], abs=1e-5)


def test_a_picture_of_50_megabytes(model):
    content = file_of("BMP", size=4100)
    assert len(content) > 50_000_000
    [entry] = ask(model, encoded(content))
    assert "scores" in entry


def test_more_than_a_server_reads(model, monkeypatch):
    monkeypatch.setattr(serving, "MOST_BYTES", len(CONTENT))
    assert "scores" in ask(model, encoded(CONTENT))[0]
    assert f"{len(CONTENT) + 1} bytes, and" in error_of(model, encoded(CONTENT + b"\0"))
    assert "letters, which are more than" in error_of(model, "A" * (3 * len(CONTENT)))


@pytest.mark.parametrize("letter", [" ", "\n", "=", ",", "data:", "-"])
def test_long_texts_take_no_longer(model, letter):
    """Some patterns take hours of a text like this."""
    assert error_of(model, f"data:{letter * 1_000_000}")


# ---- Many --------------------------------------------------------------------------------------


def test_a_thousand_pictures_in_a_request(model):
    files = [encoded(file_of(seed=seed)) for seed in range(10)]
    images = [files[row % 10] for row in range(1000)]
    images[500] = "%"
    answers = ask(model, *images)
    assert len(answers) == 1000
    assert [row for row, entry in enumerate(answers) if "error" in entry] == [500]
    for row, entry in enumerate(answers):
        if row != 500:
            assert entry["scores"] == pytest.approx(answers[row % 10]["scores"], abs=1e-5)


def test_no_picture_at_all(model):
    assert ask(model) == []


def test_twenty_requests_at_once(model, monkeypatch):
    """Each has its own answers, and all together decode no more than a few pictures at a time."""
    images = [
        [encoded(file_of(seed=10 * request + row)) for row in range(5)] for request in range(20)
    ]
    expected = [ask(model, *of_request) for of_request in images]

    decode = answer.decode
    at_once = []
    inside = threading.Semaphore(READERS)

    def counting(*arguments, **options) -> np.ndarray:
        at_once.append(inside.acquire(blocking=False))
        try:
            time.sleep(0.001)  # so that others come in
            return decode(*arguments, **options)
        finally:
            inside.release()

    monkeypatch.setattr(answer, "decode", counting)
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda of_request: ask(model, *of_request), images))
    assert answers == expected
    assert len(at_once) == 100
    assert all(at_once)


@pytest.mark.parametrize("text", ["", "data:image/png;base64,", "  "])
def test_nothing_that_was_sent_is_said(text):
    with pytest.raises(InputError, match="nothing was sent"):
        serving.read_picture(text)
