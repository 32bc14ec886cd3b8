"""`hidream-studio serve` as a process: it says where it is, keeps what it was given, and leaves when it is told to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hidream_studio.cli import main
from served import Served

Start = Callable[..., Served]
LONG = {"prompt": "a long one", "width": 512, "height": 512, "snap_resolution": False, "steps": 200, "seed": 1}
LEAVES_WITHIN_S = 5.0


def pixels(file: Path) -> bytes:
    with Image.open(file) as image:
        return image.tobytes()


@pytest.fixture(scope="module")
def start(golden_checkpoint: Path) -> Iterator[Start]:
    """Starts servers; those that still run when the tests are done are killed."""
    running: list[Served] = []

    def start_one(data: Path, *options: str) -> Served:
        running.append(Served(data, golden_checkpoint, *options, profile=None))
        return running[-1]

    yield start_one
    for one in running:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """One for the tests that leave it as it was."""
    return start(tmp_path_factory.mktemp("serve"))


def test_the_command_line_draws_with_the_server_what_it_draws_alone(
    server: Served, golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--width", "256", "--height", "256", "--no-snap", "--steps", "4", "--seed", "9")
    there, here = tmp_path / "there.png", tmp_path / "here.png"
    assert main(["generate", "a cat", *asked, "--url", server.url, "--out", str(there), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["server"], told["seed"]) == (str(there), server.url, 9)
    assert main(["generate", "a cat", *asked, "--model", str(golden_checkpoint), "--out", str(here)]) == 0
    assert pixels(there) == pixels(here)


def test_told_to_stop_in_mid_render_it_leaves_in_time_and_goes_on_afterwards(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    server.until_ready()
    answers: list[httpx.Response] = []
    calls = (
        lambda: answers.append(server.client.post("/generate/t2i", json=LONG)),
        lambda: server.client.get("/api/events"),
    )
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    while not (jobs := server.client.get("/api/jobs?state=running").json()["jobs"]):
        time.sleep(0.05)
    assert server.stop(signal.SIGTERM) < LEAVES_WITHIN_S
    assert server.process.returncode == 0
    assert "Traceback" not in server.complaints
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert answers[0].status_code == 503
    again = start(tmp_path)
    assert again.client.get(f"/api/jobs/{jobs[0]['id']}").json()["state"] in ("queued", "running")
    assert again.stop(signal.SIGINT) < LEAVES_WITHIN_S
    assert again.process.returncode == 0


def test_a_second_server_on_the_same_folder_names_the_first(
    server: Served, golden_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--data", str(server.data), "--port", "0", "--model", str(golden_checkpoint)]) == 1
    told = capsys.readouterr().err
    assert server.url in told
    assert str(server.process.pid) in told


def test_a_port_in_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "--data", str(tmp_path / "other")]) == 1
    told = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in told
    assert "--port" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "other").exists()


def test_an_address_that_is_not_ours_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-for-tests-only\n")
    assert main(["serve", "--host", "192.0.2.1", "--port", "0", "--token-file", str(token)]) == 1
    assert "192.0.2.1" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a-file"
    file.write_text("not a folder")
    assert main(["serve", "--data", str(file / "data"), "--port", "0"]) == 1
    assert str(file) in capsys.readouterr().err


def test_with_a_token_the_whole_network_may_ask_and_the_command_line_sends_it(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-for-tests-only\n")
    server = start(tmp_path / "data", "--host", "0.0.0.0", "--token-file", str(token))
    words = ["generate", "a cat", "--width", "256", "--height", "256", "--no-snap", "--steps", "1", "--url", server.url]
    out = tmp_path / "a.png"
    assert main([*words, "--out", str(out)]) == 2
    assert "set HIDREAM_STUDIO_TOKEN or --token-file" in capsys.readouterr().err
    assert main([*words, "--out", str(out), "--token-file", str(token)]) == 0
    assert len(pixels(out)) == 256 * 256 * 3


def test_the_page_is_served_beside_the_interface(server: Served) -> None:
    page = server.client.get("/")
    assert page.status_code == 200
    assert "HiDream Studio" in page.text
    assert server.client.get("/api/nothing").json()["error"]["code"] == "not_found"
    assert server.client.put("/api/jobs").status_code == 405
    assert server.client.get("/", headers={"Host": "evil.example"}).status_code == 403
    with pytest.raises(InvalidStatus):
        connect(f"ws{server.url[4:]}/_nicegui_ws/socket.io/?EIO=4&transport=websocket", origin="http://evil.example")
    socket_path = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert server.client.get(socket_path, headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_launcher_starts_the_same_server(golden_checkpoint: Path, tmp_path: Path) -> None:
    launcher = Path(__file__).parents[2] / "image_server" / "start_image_server.sh"
    link = tmp_path / "start"
    link.symlink_to(launcher)
    told = subprocess.run([link, "--help"], capture_output=True, text=True, timeout=60, cwd="/")
    assert told.returncode == 0, told.stderr
    assert "--precision" in told.stdout
