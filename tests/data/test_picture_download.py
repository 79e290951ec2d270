"""Pictures one by one from a real server on loopback.

Missing, cut and bad ones, a kill, a full disk, and what goes on after.
"""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PATIENCE, serving
from PIL import Image

import mlrepro
from mlrepro.data import disk
from mlrepro.data.download import download
from mlrepro.data.fetching import pictures, web
from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.settings.data import OpenImagesData

IDS = [f"{number:04x}" for number in range(0, 24 * 777, 777)]
TRAIN = IDS[:20]
VALIDATION = IDS[20:]


def jpeg(key):
    buffer = io.BytesIO()
    noise = np.random.RandomState(int(key, 16)).randint(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """`server.wrong`: what goes wrong with a picture, by id, at each request for it in turn.

    A number is a status. "html": a page. "cut": too few bytes. "no length": likewise, and nobody
    says how many there should be. "hold": half of it, and silence until the server is released.
    """

    def do_GET(self):
        server = self.server
        key = Path(self.path).stem
        server.asked.append(self.path)
        how = server.wrong[key].pop(0) if server.wrong.get(key) else "good"
        if how.isdigit():
            return self.send_error(int(how))

        body = b"<html>sorry</html>" if how == "html" else jpeg(key)
        self.send_response(200)
        if how != "no length":
            self.send_header("Content-Length", len(body))
        self.end_headers()

        if how == "hold":
            self.wfile.write(body[: len(body) // 2])
            server.holding.release()
            return server.released.wait(20)
        self.wfile.write(body[:-300] if how in ("cut", "no length") else body)


@pytest.fixture
def server(monkeypatch):
    with serving(Handler, monkeypatch) as server:
        server.asked = []  # paths
        server.wrong = {}
        server.holding = threading.Semaphore(0)
        yield server


@pytest.fixture
def settings(server, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "classes.csv").write_text("/m/a,Apple\n/m/b,Bat\n")
    for name, keys in (("train.csv", TRAIN), ("validation.csv", VALIDATION)):
        lines = [f"{key},verification,/m/{'ab'[number % 2]},1" for number, key in enumerate(keys)]
        (source / name).write_text("\n".join(["ImageID,Source,LabelName,Confidence", *lines]))

    return OpenImagesData(
        format="openimages",
        class_names="classes.csv",
        unverified="negative",
        rejected_limit=0.1,
        splits={"train": {"train": "train.csv"}, "test": {"validation": "validation.csv"}},
        archives=[{"name": path.name, "urls": [str(source)]} for path in sorted(source.iterdir())],
        picture_url=f"http://127.0.0.1:{server.server_port}",
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "set"


def files_of(folder):
    """Path of every picture that has its name, by id."""
    return {path.stem: path for path in (folder / "pictures").rglob("*.jpg")}


def contents_of(folder):
    return {key: path.read_bytes() for key, path in files_of(folder).items()}


def failed_of(folder):
    """Reason by picture."""
    listed = json.loads((folder / "failed.json").read_text())
    return {entry["image"]: entry["reason"] for entry in listed}


def test_pictures_are_fetched_sharded_checked_and_kept(server, settings, folder):
    server.wrong = {IDS[3]: ["503", "cut"], IDS[5]: ["no length"], IDS[6]: ["html", "good"]}
    download(settings, folder)
    assert contents_of(folder) == {key: jpeg(key) for key in IDS}
    assert len(server.asked) == 24 + 4

    key = VALIDATION[1]
    path = files_of(folder)[key].relative_to(folder / "pictures")
    assert path.as_posix() == f"validation/{key[:2]}/{key}.jpg"
    assert f"/validation/{key}.jpg" in server.asked
    listed = json.loads((folder / "archives.json").read_text())
    assert listed[-1] == {"pictures": 24, "failed": 0}

    before = len(server.asked)
    download(settings, folder)
    assert len(server.asked) == before

    manifest = prepare(settings, folder)
    assert len(manifest.rows("train")) == 20
    assert not list((folder / "pictures").glob("*.csv"))
    assert not list((folder / "pictures").rglob("*.part"))


def test_failures_are_listed_and_tried_again(server, settings, folder):
    gone, cut = TRAIN[1], TRAIN[2]
    path_of_gone = f"/train/{gone}.jpg"
    server.wrong = {gone: ["404"], cut: ["cut"] * web.ATTEMPTS}
    download(settings, folder)
    failed = failed_of(folder)
    assert len(failed) == 2
    assert failed[f"train/{gone[:2]}/{gone}.jpg"] == "HTTP 404 Not Found"
    assert "IncompleteRead" in failed[f"train/{cut[:2]}/{cut}.jpg"]
    assert server.asked.count(path_of_gone) == 1
    assert files_of(folder).keys() == set(IDS) - {gone, cut}
    rejected = prepare(settings, folder).summary["rejected"]
    assert {entry["reason"] for entry in rejected} == {"missing"}

    server.wrong = {gone: ["404"]}
    strict = settings.model_copy(update={"rejected_limit": 0.01})
    message = (
        r"1 of 24 pictures cannot be used:\n.*HTTP 404 Not Found\n"
        r"Run again to try them again, or raise `rejected_limit`, now 0.01"
    )
    with pytest.raises(InputError, match=message):
        download(strict, folder)

    before = len(server.asked)
    download(settings, folder)
    assert server.asked[before:] == [path_of_gone]
    assert files_of(folder).keys() == set(IDS)
    assert failed_of(folder) == {}


CHILD = """
import sys
from pathlib import Path
from mlrepro.settings.data import OpenImagesData
from mlrepro.settings.data import OpenImagesData
from mlrepro.data.download import download

download(OpenImagesData.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_download_goes_on(server, settings, folder):
    held = IDS[:3]
    server.wrong = {key: ["hold"] for key in held}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, settings.model_dump_json(), str(folder)],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(mlrepro.__file__).parents[1])},
    )
    for _ in held:
        assert server.holding.acquire(timeout=PATIENCE)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=PATIENCE)

    present = contents_of(folder)
    assert not present.keys() & set(held)
    assert not (folder / "archives.json").exists()
    assert present == {key: jpeg(key) for key in present}

    before = len(server.asked)
    download(settings, folder)
    # A set: what the killed process had asked for last, the server may hear of after its end.
    asked = {Path(path).stem for path in server.asked[before:]}
    assert asked == set(IDS) - present.keys()
    assert contents_of(folder) == {key: jpeg(key) for key in IDS}


def test_disk_too_small(settings, folder, monkeypatch):
    monkeypatch.setattr(pictures, "PARALLEL", 1)
    monkeypatch.setattr(pictures, "SLICE", 4)
    to_come = sum(len(jpeg(key)) for key in IDS[4:])
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=to_come // 2))
    message = "more bytes are needed, .* are free; what is there is kept"
    with pytest.raises(InputError, match=message):
        download(settings, folder)
    assert files_of(folder).keys() == set(IDS[:4])
