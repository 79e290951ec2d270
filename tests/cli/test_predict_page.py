"""`mlrepro predict --serve`: a real server on loopback, asked by programs and by a browser."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, skip_without_browser
from conftest import PATIENCE, free_port
from picture_files import bomb
from PIL import Image
from test_model_folders import CLASSES, write_model
from use_runs import run_here

from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.model import load_model
from mlrepro_cli.predict.web.server import MOST_BYTES, Labeller, PageServer


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("page") / "my model")


@pytest.fixture(scope="module")
def server(model):
    with PageServer("127.0.0.1", 0, Labeller(model)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def picture(seed: int = 0, form: str = "PNG", size: int = 30) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def ask(server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str):
    """Status, headers and content of an answer."""
    connection = http.client.HTTPConnection(server.address, timeout=PATIENCE)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def label(server: PageServer, content: bytes, **headers: str) -> tuple[int, dict]:
    status, _, answer = ask(server, "POST", "/label", content, **headers)
    return status, json.loads(answer)


# ---- Answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_it_answers_as_predict_does(server, model, tmp_path, form):
    content = picture(form=form)
    (tmp_path / "one").write_bytes(content)
    config, network = load_model(model)
    [expected] = predict(config, network, [str(tmp_path / "one")])

    status, answer = label(server, content)
    assert status == 200
    assert answer == {"labels": expected["labels"], "scores": expected["scores"]}


def test_twenty_at_once(server):
    contents = [picture(seed) for seed in range(20)]
    alone = [label(server, content) for content in contents]
    with ThreadPoolExecutor(20) as clients:
        together = list(clients.map(lambda content: label(server, content), contents))
    assert together == alone
    assert len({json.dumps(answer) for _, answer in alone}) == 20


def test_what_it_says_of_itself(server):
    status, headers, content = ask(server, "GET", "/about")
    about = json.loads(content)
    assert (status, about["name"], about["classes"]) == (200, "my model", CLASSES)
    # Of logits 0.5, none and -1.
    assert about["thresholds"][0] == pytest.approx(0.62246, abs=1e-5)
    assert about["thresholds"][1] is None
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


# ---- What is refused ----------------------------------------------------------------------------


def test_a_picture_of_50_mb_is_refused_with_words(server):
    status, answer = label(server, bytes(50_000_000))
    assert status == 413
    assert answer["error"] == (
        f"50,000,000 bytes, and {MOST_BYTES:,} are the most; make the picture smaller"
    )
    assert label(server, picture())[0] == 200


@pytest.mark.parametrize("content", [b"", b"not a picture", picture()[:200], b"%PDF-1.7", None])
def test_what_is_no_picture_is_told(server, tmp_path, content):
    if content is None:
        content = bomb()
    status, answer = label(server, content)
    assert status == 422
    assert set(answer) == {"error"} and answer["error"].startswith("not readable: ")
    for secret in ("0x", "Traceback", "site-packages"):
        assert secret not in answer["error"]


@pytest.mark.parametrize(
    "path",
    ["/../config.json", "/..%2f..%2fetc/passwd", "//etc/passwd", "/server.py", "/page.html", "/x"],
)
def test_no_name_becomes_a_path(server, path):
    for method in ("GET", "POST"):
        status, _, content = ask(server, method, path, b"x" if method == "POST" else None)
        assert status == 404
        assert b"root:" not in content


def test_other_pages_cannot_ask_in_a_browsers_name(server):
    content = picture()
    assert label(server, content, Origin="http://evil.example")[0] == 403
    assert label(server, content, Origin="null")[0] == 403
    assert label(server, content, Origin=f"http://{server.address}")[0] == 200
    # A name that leads here, as of a page that has changed its address.
    status, answer = label(server, content, Host="evil.example:80")
    assert (status, answer["error"]) == (403, f"call it http://{server.address}/")
    assert ask(server, "GET", "/about", Host="evil.example")[0] == 403
    port = server.server_address[1]
    assert ask(server, "GET", "/about", Host=f"localhost:{port}")[0] == 200


def answer_to_bytes(server: PageServer, request: bytes) -> bytes:
    """To what no HTTP client would send."""
    with socket.create_connection(server.server_address[:2], timeout=PATIENCE) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize(
    "lines, status",
    [
        ("POST /label HTTP/1.1\r\n", b"411"),
        ("POST /label HTTP/1.1\r\nContent-Length: -5\r\n", b"411"),
        ("POST /label HTTP/1.1\r\nContent-Length: many\r\n", b"411"),
        ("POST /label HTTP/1.1\r\nContent-Length: 1000\r\n", b"400"),
        ("POST /label HTTP/1.1\r\nContent-Length: 99999999999\r\n", b"413"),
        ("DELETE /label HTTP/1.1\r\n", b"501"),
        ("GET /" + "a" * 70000 + " HTTP/1.1\r\n", b"414"),
    ],
)
def test_odd_requests(server, lines, status):
    request = f"{lines}Host: {server.address}\r\n\r\nabc".encode()
    assert status in answer_to_bytes(server, request).split(b"\r\n")[0]
    assert label(server, picture())[0] == 200


# ---- The command --------------------------------------------------------------------------------


def test_the_command_says_where_it_is_and_ends_with_ctrl_c(model):
    code = "import sys; from mlrepro_cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", str(model), "--serve", "--port", "0"]
    # As in the background of a script, where Ctrl-C's signal is ignored.
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **ignored) as process:
        said = process.stdout.readline()
        address = said.removeprefix("http://").partition("/")[0]
        connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        connection.request("GET", "/")
        assert b"Drop pictures here" in connection.getresponse().read()
        connection.close()

        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.read() == "ended\n"

    assert process.returncode == 0
    assert address.startswith("127.0.0.1:")


def test_what_the_command_refuses(model, monkeypatch, capsys):
    def said(*arguments: object) -> str:
        assert run_here(monkeypatch, "predict", model, *arguments) == 2
        return capsys.readouterr().err

    assert "--serve takes no paths" in said("a.jpg", "--serve")
    assert "name pictures or folders, or --serve" in said()
    assert "--port 99999: " in said("--serve", "--port", "99999")
    assert "--host no.such.name.invalid" in said("--serve", "--host", "no.such.name.invalid")
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert "name another port, or 0" in said("--serve", "--port", port)


# ---- The page -----------------------------------------------------------------------------------


def test_the_page_in_a_browser(server, tmp_path):
    skip_without_browser()
    for seed, name in enumerate(("one.png", "<b>two</b>.png")):
        (tmp_path / name.replace("/", "∕")).write_bytes(picture(seed))
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "large.png").write_bytes(bytes(MOST_BYTES + 1))
    expected = label(server, picture())[1]

    with Browser(tmp_path / "profile", tmp_path) as browser:
        browser.open(f"http://{server.address}/")
        browser.wait("document.title === 'my model: labels of a picture'")
        for name in ("one.png", "<b>two<∕b>.png", "text.png", "large.png"):
            browser.drop(tmp_path / name, "#file")
        shown = "[...document.querySelectorAll('.labels')].map((e) => e.textContent)"
        browser.wait(f"{shown}.length === 4 && !{shown}.includes('...')")

        large, text, two, one = browser.run(shown)
        assert one == (", ".join(expected["labels"]) or "none of the labels")
        assert "not readable" in text
        assert "25 MB are the most" in large
        assert browser.run("document.querySelectorAll('.answer b').length") == 0
        scores = "[...document.querySelectorAll('.answer:last-child .value')]"
        best_first = sorted(expected["scores"].values(), reverse=True)
        assert browser.run(f"{scores}.map((e) => e.textContent)") == [
            f"{value:.3f}" for value in best_first
        ]
        assert not browser.errors
