"""Pictures one by one from a real server on loopback: missing, cut and bad ones, a kill, a full disk, and what goes on after."""

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
from conftest import serving
from PIL import Image

from mlrepro.data import archives
from mlrepro.data.prepare import download, prepare
from mlrepro.errors import InputError
from mlrepro.settings.data import OpenImagesData

IDS = [f"{number:04x}" for number in range(0, 24 * 777, 777)]


def jpeg(key):
    buffer = io.BytesIO()
    noise = np.random.RandomState(int(key, 16)).randint(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """`server.wrong`: what goes wrong with a picture, by id, at each request for it in turn."""

    def do_GET(self):
        server, key = self.server, Path(self.path).stem
        server.asked.append(self.path)
        how = server.wrong.get(key, []).pop(0) if server.wrong.get(key) else "good"
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
        server.asked, server.wrong, server.holding = [], {}, threading.Semaphore(0)
        yield server


@pytest.fixture
def settings(server, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "classes.csv").write_text("/m/a,Apple\n/m/b,Bat\n")
    for name, keys in (("train.csv", IDS[:20]), ("validation.csv", IDS[20:])):
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


def pictures(folder):
    return {path.stem: path for path in (folder / "pictures").rglob("*.jpg")}


def test_pictures_are_fetched_sharded_checked_and_kept(server, settings, tmp_path):
    server.wrong = {IDS[3]: ["503", "cut"], IDS[5]: ["no length"], IDS[6]: ["html", "good"]}
    download(settings, tmp_path / "set")
    assert {key: path.read_bytes() for key, path in pictures(tmp_path / "set").items()} == {
        key: jpeg(key) for key in IDS
    }
    assert (
        pictures(tmp_path / "set")[IDS[21]].relative_to(tmp_path / "set" / "pictures").as_posix()
        == f"validation/{IDS[21][:2]}/{IDS[21]}.jpg"
    )
    assert f"/validation/{IDS[21]}.jpg" in server.asked and len(server.asked) == 24 + 4
    assert json.loads((tmp_path / "set" / "archives.json").read_text())[-1] == {
        "pictures": 24,
        "failed": 0,
    }
    before = len(server.asked)
    download(settings, tmp_path / "set")
    assert len(server.asked) == before
    manifest = prepare(settings, tmp_path / "set")
    assert len(manifest.rows("train")) == 20 and not list(
        (tmp_path / "set" / "pictures").glob("*.csv")
    )
    assert not list((tmp_path / "set" / "pictures").rglob("*.part"))


def test_failures_are_listed_and_tried_again(server, settings, tmp_path):
    gone, cut = IDS[1], IDS[2]
    server.wrong = {gone: ["404"], cut: ["cut"] * archives.ATTEMPTS}
    download(settings, tmp_path / "set")
    failed = {
        entry["image"]: entry["reason"]
        for entry in json.loads((tmp_path / "set" / "failed.json").read_text())
    }
    assert failed[f"train/{gone[:2]}/{gone}.jpg"] == "HTTP 404 Not Found"
    assert "IncompleteRead" in failed[f"train/{cut[:2]}/{cut}.jpg"] and len(failed) == 2
    assert server.asked.count(f"/train/{gone}.jpg") == 1 and pictures(
        tmp_path / "set"
    ).keys() == set(IDS) - {gone, cut}
    assert {
        entry["reason"] for entry in prepare(settings, tmp_path / "set").summary["rejected"]
    } == {"missing"}

    server.wrong = {gone: ["404"]}
    with pytest.raises(
        InputError,
        match=r"1 of 24 pictures cannot be used:\n.*HTTP 404 Not Found\nRun again to try them "
        r"again, or raise `rejected_limit`, now 0.01",
    ):
        download(settings.model_copy(update={"rejected_limit": 0.01}), tmp_path / "set")
    before = len(server.asked)
    download(settings, tmp_path / "set")
    assert server.asked[before:] == [f"/train/{gone}.jpg"] and pictures(
        tmp_path / "set"
    ).keys() == set(IDS)
    assert json.loads((tmp_path / "set" / "failed.json").read_text()) == []


CHILD = """
import sys
from pathlib import Path
from mlrepro.settings.data import OpenImagesData
from mlrepro.data.prepare import download
download(OpenImagesData.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_download_goes_on(server, settings, tmp_path):
    held = IDS[:3]
    server.wrong = {key: ["hold"] for key in held}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, settings.model_dump_json(), str(tmp_path / "set")],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(archives.__file__).parents[2])},
    )
    for _ in held:
        assert server.holding.acquire(timeout=30)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=20)
    present = pictures(tmp_path / "set")
    assert not present.keys() & set(held) and not (tmp_path / "set" / "archives.json").exists()
    assert all(path.read_bytes() == jpeg(key) for key, path in present.items())
    asked = len(server.asked)
    download(settings, tmp_path / "set")
    assert sorted(Path(path).stem for path in server.asked[asked:]) == sorted(
        set(IDS) - present.keys()
    )
    assert {key: path.read_bytes() for key, path in pictures(tmp_path / "set").items()} == {
        key: jpeg(key) for key in IDS
    }


def test_disk_too_small(server, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "PARALLEL", 1)
    monkeypatch.setattr(archives, "SLICE", 4)
    free = sum(len(jpeg(key)) for key in IDS[4:])
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=free // 2))
    with pytest.raises(
        InputError, match="more bytes are needed, .* are free; what is there is kept"
    ):
        download(settings, tmp_path / "set")
    assert pictures(tmp_path / "set").keys() == set(IDS[:4])
