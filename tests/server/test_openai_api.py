"""The OpenAI shape, asked by OpenAI's own client."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import openai
import pytest
from PIL import Image
from studio_serving import StudioServer

from hidream_studio.job.job import Job
from hidream_studio.server.openai_request import ImagesRequest, adjustments_of, generation_request

EXTRA = {"num_inference_steps": 2, "guidance_scale": 1.0}


@pytest.fixture
def client(server: StudioServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none is needed", max_retries=0) as asking:
        yield asking


def picture(b64: str | None) -> Image.Image:
    assert b64 is not None
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def test_the_loaded_model_is_listed(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == "hidream-o1-image"
    assert client.models.retrieve(model.id).owned_by == "hidream-studio"
    with pytest.raises(openai.NotFoundError, match="not loaded"):
        client.models.retrieve("dall-e-3")


def test_two_pictures_come_back_as_two_seeds(client: openai.OpenAI, server: StudioServer) -> None:
    answer = client.images.generate(
        model="hidream-o1-image", prompt="a cat", n=2, size="256x288", extra_body={**EXTRA, "seed": 11}
    )
    assert answer.data is not None
    assert [image.seed for image in answer.data] == [11, 12]  # type: ignore[attr-defined]
    assert {picture(image.b64_json).size for image in answer.data} == {(256, 288)}
    assert answer.size == "256x288"
    same = server.draw(seed=12, width=256, height=288, guidance_scale=1.0)
    assert picture(same["image"]).tobytes() == picture(answer.data[1].b64_json).tobytes()


def test_a_url_leads_to_the_picture(client: openai.OpenAI, server: StudioServer) -> None:
    answer = client.images.generate(prompt="a cat", size="256x256", response_format="url", extra_body=EXTRA)
    assert answer.data is not None
    url = answer.data[0].url
    assert url is not None
    assert server.client.get(url).content.startswith(b"\x89PNG")


def test_a_growing_picture_is_streamed_with_two_partial_ones(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        prompt="a cat", size="256x256", stream=True, partial_images=2, extra_body={**EXTRA, "num_inference_steps": 40}
    )
    events = list(stream)
    assert [event.type for event in events] == [
        "image_generation.partial_image", "image_generation.partial_image", "image_generation.completed",
    ]  # fmt: skip
    assert [event.partial_image_index for event in events[:2]] == [0, 1]  # type: ignore[union-attr]
    assert [picture(event.b64_json).format for event in events] == ["WEBP", "WEBP", "PNG"]
    assert [event.output_format for event in events] == ["webp", "webp", "png"]
    assert picture(events[-1].b64_json).size == (256, 256)


def test_several_pictures_are_streamed_one_after_another(client: openai.OpenAI) -> None:
    stream = client.images.generate(prompt="a cat", size="256x256", stream=True, n=2, extra_body={**EXTRA, "seed": 3})
    events = list(stream)
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert [event.seed for event in events] == [3, 4]  # type: ignore[union-attr]


def test_a_reader_that_leaves_a_stream_cancels_its_job(client: openai.OpenAI, server: StudioServer) -> None:
    stream = client.images.generate(
        prompt="nobody reads", size="512x512", stream=True, partial_images=1,
        extra_body={"num_inference_steps": 200},
    )  # fmt: skip
    assert next(iter(stream)).type == "image_generation.partial_image"
    (job,) = server.client.get("/api/jobs", params={"state": "running"}).json()["jobs"]
    stream.close()
    server.until(job["id"], "cancelled", timeout_s=5)


def test_a_stream_says_why_a_picture_did_not_come(client: openai.OpenAI, server: StudioServer) -> None:
    stream = client.images.generate(
        prompt="a cat", size="512x512", stream=True, partial_images=1, extra_body={"num_inference_steps": 200}
    )
    events = iter(stream)
    next(events)
    (job,) = server.client.get("/api/jobs", params={"state": "running"}).json()["jobs"]
    server.client.delete(f"/api/jobs/{job['id']}")
    with pytest.raises(openai.APIError, match="cancelled"):
        list(events)


def test_auto_is_the_official_bucket_and_a_quality_is_a_preset(server: StudioServer) -> None:
    def job_of(**asked: object) -> Job:
        body = ImagesRequest.model_validate({"prompt": "a cat", **asked})
        return server.studio.resolve(generation_request(server.studio, body, seed=1)).job

    auto = job_of(size="auto")
    assert (auto.width, auto.height, auto.steps, auto.guidance_scale) == (2048, 2048, 50, 5.0)
    low = job_of(quality="low", size="1024x768")
    assert (low.width, low.height, low.steps, low.guidance_scale) == (1024, 768, 24, 1.0)
    assert job_of(size="1024x768", snap_resolution=True).width == 2304
    assert job_of(size="1024×768") == job_of(size="1024X768") == job_of(size="1024x768")
    highest = ImagesRequest.model_validate({"prompt": "a cat", "quality": "max"})
    assert job_of(quality="max") == job_of(quality="high")
    assert [(one.field, one.used) for one in adjustments_of(highest, server.studio)] == [("quality", "high")]


def test_another_model_s_name_is_told_to_be_another(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="dall-e-3", prompt="a cat", size="256x256", extra_body=EXTRA)
    assert answer.data is not None
    assert answer.data[0].adjustments[0]["asked"] == "dall-e-3"  # type: ignore[attr-defined]


def test_what_is_taken_and_not_done_is_told_streamed_or_not(client: openai.OpenAI) -> None:
    ignored = {"model": "dall-e-3", "style": "vivid", "moderation": "low", "user": "u1", "output_compression": 50}
    asked = {"prompt": "a cat", "size": "250x256", **ignored}
    answer = client.images.generate(**asked, extra_body=EXTRA)  # type: ignore[call-overload]
    (streamed,) = client.images.generate(**asked, stream=True, extra_body=EXTRA)  # type: ignore[call-overload]
    told = answer.data[0].adjustments
    assert {adjustment["field"] for adjustment in told} >= {*ignored, "width"}
    assert streamed.adjustments == told
    styled = next(adjustment for adjustment in told if adjustment["field"] == "style")
    assert (styled["asked"], styled["used"]) == ("vivid", "none")


def test_a_url_is_streamed_where_one_is_asked_for(client: openai.OpenAI, server: StudioServer) -> None:
    stream = client.images.generate(
        prompt="a cat", size="256x256", stream=True, response_format="url", extra_body=EXTRA
    )
    (done,) = list(stream)
    assert not done.b64_json
    assert server.client.get(done.url).content.startswith(b"\x89PNG")  # type: ignore[union-attr]


def test_that_api_s_own_defaults_and_empty_fields_are_taken_and_need_no_word(client: openai.OpenAI) -> None:
    defaults = {
        "background": "auto", "moderation": "auto", "n": 1, "output_compression": 100, "output_format": "png",
        "partial_images": 0, "quality": "auto", "stream": False,
    }  # fmt: skip
    empty = dict.fromkeys(("model", "style", "user", "negative_prompt", "response_format", "seed"), "")
    answer = client.images.generate(prompt="a cat", size="256X256", extra_body={**defaults, **empty, **EXTRA})  # type: ignore[arg-type]
    assert answer.data is not None
    assert picture(answer.data[0].b64_json).size == (256, 256)
    assert {adjustment["field"] for adjustment in answer.data[0].adjustments} <= {"width", "height", "size"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "size", ["big", "256", "256x", "0x5", "256**256", "99999x256", "1e3x256", "x", "９x９", "9" * 40]
)
def test_a_size_that_is_none_is_answered_in_words(server: StudioServer, size: str) -> None:
    answer = server.client.post("/v1/images/generations", json={"prompt": "a cat", "size": size})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == "size"
    assert "pattern" not in error["message"] and "[" not in error["message"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("prompt", {"prompt": ""}), ("n", {"n": 0}), ("n", {"n": 11}), ("size", {"size": "big"}),
        ("size", {"size": "99999x1"}), ("size", {"size": "64x64"}), ("size", {"size": "64x64", "n": 2}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**53 - 1, "n": 2}), ("partial_images", {"partial_images": 2}),
        ("background", {"background": "transparent"}), ("temperature", {"temperature": 1}),
        ("steps", {"num_inference_steps": 201}),
    ],
)  # fmt: skip
def test_a_bad_request_names_its_field(server: StudioServer, field: str, wrong: dict[str, object]) -> None:
    answer = server.client.post("/v1/images/generations", json={"prompt": "a cat", **wrong})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] in (field, f"num_inference_{field}")
