"""Pictures as input over HTTP: uploads, edits, references of every call, and OpenAI's own client's `images.edit`."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from odd_pictures import CONVERTED, REFUSED, picture, png, written
from PIL import Image
from studio_serving import SMALL, StudioServer, studio_server, wait_until_ready

from hidream_studio.cli import main
from hidream_studio.job.job import Job
from hidream_studio.job.request import ReferenceRequest
from hidream_studio.server.openai_request import EditsRequest, generation_request

GOLDEN_REF = Path(__file__).parents[1] / "data" / "golden_ref"
MISSING = "0" * 64
EXTRA = {"num_inference_steps": 2, "guidance_scale": 1.0, "seed": 1}
FORM = {"prompt": "a cat", "width": "256", "height": "256", "snap_resolution": "false", "steps": "2", "seed": "1"}
WITHOUT_SIZE = {"prompt": "a cat", "steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """A studio whose model sees pictures."""
    with studio_server(GOLDEN_REF / "checkpoint", tmp_path_factory.mktemp("pictures")) as running:
        wait_until_ready(running.client)
        yield running


@pytest.fixture
def client(server: StudioServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none is needed", max_retries=0) as asking:
        yield asking


def uploaded(server: StudioServer, data: bytes) -> str:
    answer = server.client.post("/api/uploads", content=data, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["uploads"][0]["id"])


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def drawn(answer: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["image"])))


def refusal(answer: Any) -> dict[str, Any]:
    """The error of an answer that must be one: a sentence, and its field."""
    assert answer.status_code in (404, 413, 422), (answer.status_code, answer.text)
    error = dict(answer.json()["error"])
    assert error["message"] and "\n" not in error["message"] and error["field"]
    return error


def test_pictures_are_taken_in_as_a_form_and_told_shown_and_given_back(server: StudioServer) -> None:
    files = [("file", ("face.png", png(64, 96), "image/png")), ("file", ("coat.jpg", CONVERTED["turned"]))]
    answer = server.client.post("/api/uploads", files=files)
    assert answer.status_code == 200, answer.text
    face, coat = answer.json()["uploads"]
    assert face["id"] == hashlib.sha256(png(64, 96)).hexdigest()
    told = {"width": 64, "height": 96, "bytes": len(png(64, 96)), "media_type": "image/png", "name": "face.png"}
    assert told.items() <= face.items()
    assert (coat["width"], coat["height"], coat["media_type"]) == (64, 96, "image/jpeg")
    assert any("EXIF" in note for note in coat["notes"])
    assert server.client.get(f"/api/uploads/{face['id']}").json() == face
    file = server.client.get(face["file"])
    assert (file.content, file.headers["content-type"]) == (png(64, 96), "image/png")
    thumbnail = server.client.get(coat["thumb"])
    assert thumbnail.headers["content-type"] == "image/webp"
    small = Image.open(io.BytesIO(thumbnail.content))
    assert small.height > small.width


def test_the_same_bytes_are_one_upload_raw_or_in_a_form(server: StudioServer) -> None:
    raw = uploaded(server, png(seed=5))
    again = server.client.post("/api/uploads", files={"file": ("other name.png", png(seed=5))}).json()["uploads"]
    assert [one["id"] for one in again] == [raw]


@pytest.mark.parametrize("unknown", [MISSING, "x", "A" * 64, "..%2f..%2fetc%2fpasswd", "%00" * 64, "0" * 63])
def test_an_upload_that_is_not_there_is_not_found(server: StudioServer, unknown: str) -> None:
    for path in ("", "/file", "/thumb"):
        answer = server.client.get(f"/api/uploads/{unknown}{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


def test_a_foreign_page_can_neither_send_nor_show_pictures(server: StudioServer) -> None:
    foreign, embedded = {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}
    for path, field in (("/api/uploads", "file"), ("/generate/edit", "image"), ("/v1/images/edits", "image")):
        answer = server.client.post(path, data={"prompt": "a cat"}, files={field: png(seed=8)}, headers=foreign)
        assert answer.status_code == 403
    assert server.client.get(f"/api/uploads/{hashlib.sha256(png(seed=8)).hexdigest()}").status_code == 404
    known = uploaded(server, png())
    assert server.client.get(f"/api/uploads/{known}/thumb", headers=embedded).status_code == 403


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_picture_to_be_used_is_refused_wherever_it_comes_in(
    server: StudioServer, client: openai.OpenAI, data: bytes
) -> None:
    named = ("picture.png", data, "image/png")
    raw = refusal(server.client.post("/api/uploads", content=data, headers={"Content-Type": "image/png"}))
    assert raw["field"] == "body"
    one = refusal(server.client.post("/api/uploads", files={"file": named}))
    assert one["field"] == "file"
    several = [("file", ("good.png", png())), ("file", named)]
    assert refusal(server.client.post("/api/uploads", files=several))["field"] == "file.1"
    assert refusal(server.client.post("/generate/edit", data=FORM, files={"image": named}))["field"] == "image"
    in_json = {**SMALL, "references": [{"image": base64_of(png())}, {"image": base64_of(data)}]}
    assert refusal(server.client.post("/generate/t2i", json=in_json))["field"].startswith("references.1")
    with pytest.raises(openai.UnprocessableEntityError) as asked:
        client.images.edit(image=named, prompt="a cat", size="256x256", extra_body=EXTRA)
    assert asked.value.response.json()["error"]["field"] == "image"


def test_sizes_out_of_range_name_their_limit(server: StudioServer) -> None:
    for kind, limit in (("a bomb", 100_000_000), ("narrow", 16), ("tiny", 16)):
        assert refusal(server.client.post("/api/uploads", content=REFUSED[kind]))["limit"] == limit


@pytest.mark.parametrize(
    ("kind", "said"),
    [("turned", "EXIF"), ("alpha", "white"), ("animated", "frame"), ("cmyk", "CMYK"), ("16 bit", "16")],
)
def test_what_is_converted_is_told_with_the_upload_and_with_the_picture(
    server: StudioServer, kind: str, said: str
) -> None:
    notes = server.client.post("/api/uploads", content=CONVERTED[kind]).json()["uploads"][0]["notes"]
    assert any(said in note for note in notes), notes
    answer = server.draw(references=[{"image": base64_of(CONVERTED[kind])}])
    assert any(said in one["why"] for one in answer["adjustments"]), answer["adjustments"]
    assert any(one["field"].startswith("references") for one in answer["adjustments"])


def test_a_picture_changes_what_is_drawn_however_it_is_named(server: StudioServer) -> None:
    source = server.draw(seed=9)
    file = base64.b64decode(source["image"])
    edits = [
        server.draw(references=[reference])
        for reference in ({"image": base64_of(file)}, {"upload_id": uploaded(server, file)}, {"image_id": source["id"]})
    ]
    form = server.client.post("/generate/edit", data=FORM, files={"image": ("cat.png", file)})
    assert form.status_code == 200, form.text
    as_json = {**SMALL, "references": [{"image_id": source["id"], "role": "subject"}]}
    edits += [form.json(), server.client.post("/generate/edit", json=as_json).json()]
    pixels = {drawn(edit).tobytes() for edit in edits}
    assert len(pixels) == 1
    assert drawn(server.draw()).tobytes() not in pixels


def test_one_picture_keeps_its_aspect_ratio_where_no_size_is_asked_for(server: StudioServer) -> None:
    """Resolved, not drawn: the model's own size is 2048²."""
    asked = {**WITHOUT_SIZE, "references": [{"upload_id": uploaded(server, png(96, 64))}]}
    kept = server.client.post("/api/resolve", json=asked).json()
    assert kept["keep_aspect"] is True and kept["width"] > kept["height"]
    assert {one["field"] for one in kept["adjustments"] if "aspect ratio" in one["why"]} == {"width", "height"}
    assert kept["width"] / kept["height"] == pytest.approx(1.5, rel=0.03)
    free = server.client.post("/api/resolve", json={**asked, "width": 512, "height": 512, "snap_resolution": False})
    assert (free.json()["width"], free.json()["height"]) == (512, 512)


def test_every_call_of_the_queue_takes_references_and_tells_them(server: StudioServer) -> None:
    references = [{"upload_id": uploaded(server, png(64, 96))}, {"upload_id": uploaded(server, png(seed=3))}]
    asked = {**SMALL, "references": references, "layout": [[0, 0.5, 0, 1], [0.5, 1, 0, 1]]}
    told = [{"hash": references[0]["upload_id"], "width": 64, "height": 96}, {"hash": references[1]["upload_id"]}]
    queued = server.queue(**asked)
    assert [one["hash"] for one in queued["references"]] == [one["hash"] for one in told]
    assert told[0].items() <= queued["references"][0].items()
    assert queued["layout"] == [[0, 0.5, 0, 1], [0.5, 1, 0, 1]]
    sheet = server.client.post("/api/sheets", json={"request": {**SMALL, "references": references}, "n": 2})
    assert sheet.status_code == 202, sheet.text
    assert all(len(job["references"]) == 2 for job in sheet.json()["jobs"])
    estimate = server.client.post("/api/estimate", json=asked)
    assert estimate.status_code == 200 and estimate.json()["seconds"] > 0, estimate.text
    for job in (queued, *sheet.json()["jobs"]):
        ended = server.until(job["id"], "finished", "failed")
        assert ended["state"] == "finished", ended
    image = server.client.get(f"/api/images/{queued['id']}").json()
    assert [one["hash"] for one in image["job"]["references"]] == [one["hash"] for one in told]


WRONG_PICTURES: list[tuple[str, dict[str, Any], object]] = [
    ("references", {"references": []}, 1),
    ("references", {"references": "a picture"}, None),
    ("references", {"references": [{"upload_id": "ok"}] * 21}, 20),
    ("references.0", {"references": [{}]}, None),
    ("references.0", {"references": ["a picture"]}, None),
    ("references.0", {"references": [{"upload_id": "ok", "image_id": "x"}]}, None),
    ("references.0.path", {"references": [{"path": "/etc/passwd"}]}, None),
    ("references.0.image", {"references": [{"image": "no base64!"}]}, None),
    ("references.0", {"references": [{"image": ""}]}, None),
    ("references.0.image", {"references": [{"image": 7}]}, None),
    ("references.0.image", {"references": [{"image": "\ud800"}]}, None),
    ("references.0.role", {"references": [{"upload_id": "ok", "role": "x" * 41}]}, 40),
    ("references.1", {"references": [{"upload_id": "ok"}, {"upload_id": MISSING}]}, None),
    ("references.1.upload_id", {"references": [{"upload_id": "ok"}, {"upload_id": "../../etc/passwd"}]}, None),
    ("references.0", {"references": [{"image_id": "0" * 26}]}, None),
    ("references.0", {"references": [{"image_id": "..\x00"}]}, None),
    ("layout.0.1", {"layout": [[0, 1.5, 0, 1]]}, 1),
    ("layout.0.1", {"layout": [[0, -0.5, 0, 1]]}, 0),
    ("layout.0", {"layout": [[0.5, 0.5, 0, 1]]}, None),
    ("layout", {"layout": [0.1, 0.5, 0.2, 0.6]}, None),
    ("layout", {"layout": [[0, 1, 0]]}, None),
    ("layout.0", {"layout": [[0, "1", 0, 1]]}, None),
    ("layout", {"layout": []}, 1),
    ("layout", {"layout": "everywhere"}, None),
    ("layout", {"layout": [[0, 0.5, 0, 1], [0.5, 1, 0, 1]]}, 1),
    ("layout", {"layout": [[0, 1, 0, 1]], "references": None}, None),
    ("layout", {"keep_aspect": True, "layout": [[0, 1, 0, 1]]}, None),
    ("keep_aspect", {"keep_aspect": True, "references": [{"upload_id": "ok"}] * 2}, None),
    ("keep_aspect", {"keep_aspect": True, "references": None}, None),
    ("keep_aspect", {"keep_aspect": "round"}, None),
]


@pytest.mark.parametrize(
    ("field", "wrong", "limit"), WRONG_PICTURES, ids=[str(wrong)[:50] for _, wrong, _ in WRONG_PICTURES]
)
def test_a_wrong_reference_or_box_is_refused_by_its_name(
    server: StudioServer, field: str, wrong: dict[str, Any], limit: object
) -> None:
    known = uploaded(server, png())
    asked = {**SMALL, "references": [{"upload_id": known}], **wrong}
    body = json.dumps({name: value for name, value in asked.items() if value is not None}).replace('"ok"', f'"{known}"')
    for path in ("/generate/t2i", "/api/jobs", "/api/estimate", "/api/resolve"):
        answer = server.client.post(path, content=body, headers={"Content-Type": "application/json"})
        error = refusal(answer)
        assert error["field"] == field or error["field"].startswith(f"{field}."), error
        assert limit is None or error["limit"] == limit, error


@pytest.mark.parametrize(
    ("field", "texts", "files"),
    [
        ("image", {}, []),
        ("image", {"image": "picture.png"}, []),
        ("image", {}, [("image", ("a.png", png()))] * 21),
        ("picture", {}, [("picture", ("a.png", png()))]),
        ("references", {"references": "[]"}, [("image", ("a.png", png()))]),
        ("prompt", {"prompt": ""}, [("image", ("a.png", png()))]),
        ("steps", {"steps": "many"}, [("image", ("a.png", png()))]),
        ("steps", {"steps": "1.5"}, [("image", ("a.png", png()))]),
        ("seed", {"seed": "9" * 5000}, [("image", ("a.png", png()))]),
        ("seed", {"seed": ["1", "2"]}, [("image", ("a.png", png()))]),
        ("guidance_scale", {"guidance_scale": "NaN"}, [("image", ("a.png", png()))]),
        ("layout", {"layout": "left"}, [("image", ("a.png", png()))]),
        ("layout", {"layout": "[" * 100_000}, [("image", ("a.png", png()))]),
        ("layout", {"layout": "[0.1, 0.2, 0.3, 0.4]"}, [("image", ("a.png", png()))]),
        ("keep_aspect", {"keep_aspect": "maybe"}, [("image", ("a.png", png()))]),
        ("stepz", {"stepz": "1"}, [("image", ("a.png", png()))]),
        ("body", {f"x{index}": "1" for index in range(60)}, [("image", ("a.png", png()))]),
    ],
    ids=range(17),
)
def test_a_wrong_form_is_refused_by_its_field(
    server: StudioServer, field: str, texts: dict[str, Any], files: list[Any]
) -> None:
    answer = server.client.post("/generate/edit", data={**FORM, **texts}, files=files or {"": ("", "")})
    error = refusal(answer)
    assert error["field"] == field or error["field"].startswith(f"{field}."), error


def test_a_form_takes_what_json_takes(server: StudioServer) -> None:
    files = [("image", ("a.png", png(64, 96))), ("image", ("b.png", png(seed=3)))]
    texts = {**FORM, "layout": "[[0, 0.5, 0, 1], [0.5, 1, 0, 1]]", "guidance_scale": "1", "negative_prompt": ""}
    answer = server.client.post("/generate/edit", data={**texts, "response_format": "url"}, files=files)
    assert answer.status_code == 200, answer.text
    references = [{"image": base64_of(png(64, 96))}, {"image": base64_of(png(seed=3))}]
    layout = [[0, 0.5, 0, 1], [0.5, 1, 0, 1]]
    as_json = {**SMALL, "guidance_scale": 1.0, "references": references, "layout": layout}
    same = server.client.post("/generate/edit", json=as_json)
    file = server.client.get(answer.json()["url"]).content
    assert Image.open(io.BytesIO(file)).tobytes() == drawn(same.json()).tobytes()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_an_edit_of_another_kind_of_body_is_refused(server: StudioServer, kind: str) -> None:
    for path in ("/generate/edit", "/v1/images/edits"):
        answer = server.client.post(path, content=b"{}", headers={"Content-Type": kind} if kind else {})
        assert refusal(answer)["field"] in ("Content-Type", "body")


def test_an_edit_in_json_needs_a_picture(server: StudioServer) -> None:
    assert refusal(server.client.post("/generate/edit", json=SMALL))["field"] == "references"
    assert refusal(server.client.post("/generate/edit", content=b"{", headers={"Content-Type": "application/json"}))


def test_openai_s_client_edits_one_picture(client: openai.OpenAI, server: StudioServer) -> None:
    answer = client.images.edit(
        image=("cat.png", png(96, 64)), prompt="a cat", n=2, size="256x288", quality="low", input_fidelity="high",
        background="opaque", output_format="png", user="u1", extra_body=EXTRA,
    )  # fmt: skip
    assert answer.data is not None
    assert [image.seed for image in answer.data] == [1, 2]  # type: ignore[attr-defined]
    assert answer.size == "256x288"
    told = {one["field"] for one in answer.data[0].adjustments}  # type: ignore[attr-defined]
    assert {"input_fidelity", "user"} <= told
    second = Image.open(io.BytesIO(base64.b64decode(answer.data[1].b64_json or "")))
    same = server.draw(
        width=256, height=288, seed=2, guidance_scale=1.0, references=[{"image": base64_of(png(96, 64))}]
    )
    assert second.tobytes() == drawn(same).tobytes()


def test_openai_s_client_brings_several_pictures_into_one(client: openai.OpenAI, server: StudioServer) -> None:
    answer = client.images.edit(
        image=[io.BytesIO(png(64, 96)), io.BytesIO(png(seed=3))], prompt="a cat", size="256x256",
        response_format="url", extra_body=EXTRA,
    )  # fmt: skip
    assert answer.data is not None and answer.data[0].url is not None
    assert server.client.get(answer.data[0].url).content.startswith(b"\x89PNG")
    job = server.client.get(f"/api/jobs/{answer.data[0].id}").json()  # type: ignore[attr-defined]
    assert [one["hash"] for one in job["references"]] == [
        hashlib.sha256(data).hexdigest() for data in (png(64, 96), png(seed=3))
    ]


def test_openai_s_client_hears_of_an_edit_as_it_grows(client: openai.OpenAI) -> None:
    stream = client.images.edit(
        image=png(), prompt="a cat", size="256x256", stream=True, partial_images=1,
        extra_body={**EXTRA, "num_inference_steps": 20},
    )  # fmt: skip
    events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert Image.open(io.BytesIO(base64.b64decode(events[-1].b64_json))).size == (256, 256)


def test_openai_s_size_auto_keeps_the_picture_s_aspect_ratio(server: StudioServer) -> None:
    """Resolved, not drawn: the model's own size is 2048²."""
    references = (ReferenceRequest(upload_id=uploaded(server, png(96, 64))),)

    def job_of(**asked: object) -> Job:
        body = EditsRequest.model_validate({"prompt": "a cat", **asked})
        return server.studio.resolve(generation_request(server.studio, body, seed=1, references=references)).job

    auto = job_of(size="auto", quality="medium")
    assert (auto.width, auto.height, auto.steps, auto.keep_aspect) == (2496, 1664, 28, True)
    assert auto == job_of(quality="medium")
    asked = job_of(size="1024x1024")
    assert (asked.width, asked.height, asked.keep_aspect) == (1024, 1024, False)


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("mask", {"mask": png()}), ("background", {"background": "transparent"}), ("size", {"size": "big"}),
        ("output_format", {"output_format": "jpeg"}), ("n", {"n": 11}), ("prompt", {"prompt": ""}),
        ("markup", {"markup": png()}), ("partial_images", {"partial_images": 2}),
        ("input_fidelity", {"input_fidelity": "x"}),
    ],
)  # fmt: skip
def test_openai_s_client_hears_which_field_is_not_taken(
    client: openai.OpenAI, field: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.images.edit(**{"image": png(), "prompt": "a cat", "size": "256x256", **asked}, extra_body=EXTRA)
    assert refused.value.response.json()["error"]["field"] == field


def test_a_finish_keeps_the_pictures_of_its_draft(server: StudioServer) -> None:
    draft = server.draw(references=[{"image": base64_of(png(seed=4))}])
    asked = {"mode": "re-render", "width": 288, "height": 288, "steps": 2}
    finish = server.client.post(f"/api/images/{draft['id']}/finish", json=asked).json()
    assert [one["hash"] for one in finish["references"]] == [hashlib.sha256(png(seed=4)).hexdigest()]
    assert server.until(finish["id"], "finished", "failed")["state"] == "finished"


def test_a_png_brings_its_references_back(server: StudioServer) -> None:
    drawn_from = server.draw(references=[{"image": base64_of(png(seed=6)), "role": "cat"}])
    file = base64.b64decode(drawn_from["image"])
    restored = server.client.post("/api/images/import", content=file).json()["settings"]["request"]
    again = server.client.post("/generate/t2i", json=restored)
    assert again.status_code == 200, again.text
    assert drawn(again.json()).tobytes() == drawn(drawn_from).tobytes()


def test_a_picture_larger_than_a_megabyte_is_taken_as_json_and_as_a_file(server: StudioServer) -> None:
    noise = written(Image.effect_noise((1200, 1200), 100).convert("RGB"))
    assert len(noise) > 1 << 20
    asked = {**SMALL, "references": [{"image": base64_of(noise)}]}
    assert server.client.post("/api/resolve", json=asked).status_code == 200
    assert uploaded(server, noise) == hashlib.sha256(noise).hexdigest()
    assert picture().size == (64, 64)


def test_the_command_line_sends_its_pictures_and_draws_what_it_draws_alone(
    server: StudioServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = tmp_path / "phone.jpg"
    turned.write_bytes(CONVERTED["turned"])
    names = [str(turned), str(GOLDEN_REF / "pictures" / "coat.png")]
    words = ["generate", "both", "--width", "256", "--height", "256", "--no-snap", "--steps", "2", "--seed", "9"]
    words += ["--layout", "[[0,0.5,0,1],[0.5,1,0,1]]", *(word for name in names for word in ("--ref", name))]
    there, here = tmp_path / "there.png", tmp_path / "here.png"
    assert main([*words, "--url", server.url, "--out", str(there), "--json"]) == 0
    told = capsys.readouterr()
    assert len(json.loads(told.out)["references"]) == 2 and "references.0 64x96: turned as its EXIF says" in told.err
    model = ["--model", str(GOLDEN_REF / "checkpoint"), "--profile", json.loads(told.out)["profile"]]
    assert main([*words, *model, "--out", str(here)]) == 0
    assert Image.open(there).tobytes() == Image.open(here).tobytes()
