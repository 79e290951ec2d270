"""The page of label errors in a real browser: seen, answered, downloaded, read back."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, skip_without_browser, wait_for_file
from conftest import ROOT
from PIL import Image
from pydantic import TypeAdapter

from mlrepro.data.features import features_path, open_features
from mlrepro.data.manifest import read_manifest
from mlrepro.data.prepare import prepare
from mlrepro.layout import Layout, read_layout
from mlrepro.report import label_errors
from mlrepro.report.label_errors import Found, link, write_label_errors
from mlrepro.report.thumbnails import Thumbnails
from mlrepro.settings.losses import LossSettings
from mlrepro_cli.init_data.init_data import init_data

TO = Path("studies/own-data")
KINDS = ("cat", 'dog, "big" <b>', "</script><img src=x onerror=document.title='bad'>")
PICTURES = 120
# Pictures whose labels are wrong.
LACKS, HAS_TOO_MUCH = 3, 31


@pytest.fixture
def own(tmp_path, monkeypatch) -> Layout:
    """Pictures of three kinds; one lacks its label, one has another's. Prepared, with features."""
    (tmp_path / "repository" / TO).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")
    shutil.copy(ROOT / TO / "budgets.yaml", TO)

    pictures = tmp_path / "own pictures"
    pictures.mkdir()
    rows = ["image\tlabels"]
    for place in range(PICTURES):
        kind = place % 3
        colour = [60, 60, 60]
        colour[kind] = 200
        name = f"{place}#ü.png" if place % 2 else f"{place}.tif"
        Image.new("RGB", (40 + place, 30), tuple(colour)).save(pictures / name)
        labels = [KINDS[kind]]
        if place == LACKS:
            labels = []
        if place == HAS_TOO_MUCH:
            labels.append(KINDS[(kind + 1) % 3])
        rows.append(f"{name}\t" + '"' + ";".join(labels).replace('"', '""') + '"')
    (pictures / "labels.tsv").write_text("\n".join(rows), encoding="utf-8")

    init_data(pictures, TO)
    layout = read_layout(TO / "params.yaml")
    prepare(layout.pipeline.data[layout.name], layout.data)
    write_features(layout)
    return layout


def write_features(layout: Layout) -> None:
    """As a backbone would make them: far apart for pictures of another colour."""
    manifest = read_manifest(layout.data)
    random = np.random.default_rng(0)
    features = random.normal(0, 0.2, (manifest.pictures, 16)).astype(np.float32)
    for row, image in enumerate(manifest.frame["image"]):
        place = int(re.match(r"\d+", image)[0])
        features[row, place % 3] += 3

    named = layout.pipeline.features
    header = {"manifest": manifest.digest, "backbone": named.backbone}
    header["transform"] = {"resize": [named.resolution, named.resolution]}
    path = features_path(layout.data, named.backbone, named.resolution)
    open_features(path, header, features.shape)[:] = features


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page_data(layout: Layout) -> dict:
    text = (layout.review / "labels.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_its_tables_and_its_data(own):
    found = write_label_errors(own, read_manifest(own.data))
    assert found == Found(missing=1, wrong=1, unknown=0)

    [missing] = read_csv(own.review / "missing.csv")
    assert (missing["image"], missing["label"]) == ("3#ü.png", KINDS[0])
    assert (missing["given"], missing["answer"], missing["likely"]) == ("no", "", "yes")
    [wrong] = read_csv(own.review / "wrong.csv")
    assert (wrong["image"], wrong["label"], wrong["given"]) == ("31#ü.png", KINDS[2], "yes")

    data = page_data(own)
    assert data["classes"] == sorted(KINDS)
    [lacks, has] = sorted(data["pictures"], key=lambda picture: len(picture["given"]))
    assert lacks["address"].endswith("/own%20pictures/3%23%C3%BC.png")
    assert lacks["given"] == [] and len(has["given"]) == 2


def test_what_was_answered_is_not_asked_again(own):
    own.answers.write_text("image,label,answer\n3#ü.png,cat,no\n", encoding="utf-8")
    found = write_label_errors(own, read_manifest(own.data))
    assert found == Found(missing=0, wrong=1, unknown=0)


def test_what_belongs_together_shares_a_fold(own):
    manifest = read_manifest(own.data)
    groups = label_errors._groups(own, manifest)
    assert len(set(groups)) == PICTURES

    table = Path(own.pipeline.data[own.name].table)
    lines = table.read_text(encoding="utf-8").splitlines()
    grouped = [f"{line},{number // 2}" for number, line in enumerate(lines[1:])]
    table.write_text("\n".join([f"{lines[0]},group", *grouped]), encoding="utf-8")
    groups = label_errors._groups(own, manifest)
    assert len(set(groups)) == PICTURES // 2


def test_unknown_cells_are_not_a_partial_data_set(own):
    assert not label_errors._partial(own)
    with_losses = own.pipeline.search.model_copy(
        update={"losses": [*own.pipeline.search.losses, loss("wan")]}
    )
    pipeline = own.pipeline.model_copy(update={"search": with_losses})
    assert label_errors._partial(Layout(own.settings, pipeline))
    some = pipeline.corruption.model_copy(update={"negatives": -1})
    pipeline = pipeline.model_copy(update={"corruption": some})
    assert not label_errors._partial(Layout(own.settings, pipeline))


def loss(name: str) -> LossSettings:
    return TypeAdapter(LossSettings).validate_python({"name": name})


def test_only_what_fits_is_on_the_page(own, monkeypatch):
    monkeypatch.setattr(label_errors, "MOST_ON_PAGE", 1)
    write_label_errors(own, read_manifest(own.data))
    assert len(page_data(own)["suspects"]) == 1
    text = (own.review / "labels.html").read_text(encoding="utf-8")
    assert "The page holds the 1 most suspicious of 2" in text
    assert len(read_csv(own.review / "missing.csv")) == 1


def test_answers_in_a_browser(own, tmp_path):
    skip_without_browser()
    write_label_errors(own, read_manifest(own.data))
    address = (own.review / "labels.html").resolve().as_uri()
    downloads = tmp_path / "downloads"

    with Browser(tmp_path / "profile", downloads) as browser:
        browser.open(address)
        assert browser.run("document.title") == "Labels to look at: my-own-pictures"
        assert browser.run("document.querySelectorAll('.card').length") == 2
        assert browser.run("document.querySelectorAll('#cards b b, #cards script').length") == 0
        assert KINDS[2] in browser.run("document.querySelector('#cards').textContent")
        shown = "[...document.images].every((image) => image.complete && image.naturalWidth)"
        browser.wait(shown)

        choose(browser, "kind", "missing")
        assert browser.run("document.querySelectorAll('.card').length") == 1
        assert browser.run("document.getElementById('download').disabled")
        browser.run("document.querySelector('[data-answer=yes]').click()")

        # The other one by keys: an answer and back, another one.
        choose(browser, "kind", "wrong")
        browser.run("document.querySelector('.card').focus()")
        for key in ("u", "Backspace", "n"):
            browser.press(key)
        assert browser.run("document.getElementById('progress').textContent") == (
            "2 of 2 answered, 2 change a label"
        )
        choose(browser, "answered", "no")
        assert "Nothing here" in browser.run("document.querySelector('#cards').textContent")

    # Another day.
    with Browser(tmp_path / "profile", downloads) as browser:
        browser.open(address)
        pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map((b) => b.textContent)"
        assert sorted(browser.run(pressed)) == ["not there", "there"]
        browser.run("document.getElementById('download').click()")
        wait_for_file(downloads / "answers.csv")
        assert not browser.errors

    answers = {row["image"]: row for row in read_csv(downloads / "answers.csv")}
    assert answers["3#ü.png"] == {
        "image": "3#ü.png",
        "label": KINDS[0],
        "given": "no",
        "answer": "yes",
    }
    assert (answers["31#ü.png"]["label"], answers["31#ü.png"]["answer"]) == (KINDS[2], "no")

    # Read back: the labels are right, and the page asks for nothing more.
    init_data(tmp_path / "own pictures", TO, label_answers=downloads / "answers.csv")
    layout = read_layout(TO / "params.yaml")
    assert "2 answers to its label review are applied: 1 labels added, 1 removed" in (
        layout.pipeline.intro
    )
    prepare(layout.pipeline.data[layout.name], layout.data)
    write_features(layout)
    manifest = read_manifest(layout.data)
    assert (manifest.label_matrix().sum(1) == 1).all()
    assert write_label_errors(layout, manifest) == Found(0, 0, 0)


def choose(browser: Browser, tool: str, value: str) -> None:
    browser.run(
        f"document.getElementById('{tool}').value = '{value}';"
        f"document.getElementById('{tool}').dispatchEvent(new Event('change'))"
    )


def test_addresses_are_relative_and_escaped(tmp_path):
    assert link(tmp_path / "a" / "b c#?.png", tmp_path / "d") == "../a/b%20c%23%3F.png"
    assert link(tmp_path / "javascript:x", tmp_path) == "javascript%3Ax"


def test_thumbnails_of_what_a_page_cannot_show(tmp_path):
    Image.new("RGB", (50, 50)).save(tmp_path / "small.jpg")
    random = np.random.default_rng(0)
    grey = random.integers(0, 4096, (400, 600), np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    Image.fromarray(grey[:40, :60]).save(tmp_path / "deep.png")
    Image.fromarray((grey[:40, :60] >> 4).astype(np.uint8)).save(tmp_path / "flat.png")
    noise = Image.fromarray(random.integers(0, 256, (900, 1200, 3), np.uint8))
    exif = noise.getexif()
    exif[0x0112] = 6  # lies on its side
    noise.save(tmp_path / "large.jpg", quality=95, exif=exif)
    (tmp_path / "broken.tif").write_bytes(b"II*\0")

    thumbnails = Thumbnails(tmp_path / "thumbnails")
    assert thumbnails.of(tmp_path / "small.jpg") is None
    assert thumbnails.of(tmp_path / "flat.png") is None
    assert thumbnails.of(tmp_path / "broken.tif") is None
    assert thumbnails.of(tmp_path / "gone.jpg") is None
    with Image.open(thumbnails.of(tmp_path / "large.jpg")) as image:
        assert image.size == (240, 320)
    with Image.open(thumbnails.of(tmp_path / "grey.tif")) as image:
        assert image.size == (320, 213)
        assert np.asarray(image.convert("L")).std() > 5, "not black"
    with Image.open(thumbnails.of(tmp_path / "deep.png")) as image:
        assert image.size == (60, 40)
        assert np.asarray(image.convert("L")).mean() > 100, "12 bits of 16"
