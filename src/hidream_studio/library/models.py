"""The tables. A change here needs a migration in migrations/versions; a test compares the two."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, ForeignKey, Index, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class JobRow(Base):
    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "queue_order"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    lane: Mapped[str]
    job: Mapped[dict[str, Any]]
    request: Mapped[dict[str, Any]]
    adjustments: Mapped[list[dict[str, Any]]]
    created_at: Mapped[str]
    queue_order: Mapped[float]
    attempts: Mapped[int]
    estimate_s: Mapped[float | None]
    started_at: Mapped[str | None]
    finished_at: Mapped[str | None]
    elapsed_s: Mapped[float | None]
    queued_s: Mapped[float | None]
    timings: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    image_id: Mapped[str | None]
    sheet_id: Mapped[str | None] = mapped_column(index=True)


class ImageRow(Base):
    """The columns after `adjustments` repeat values of `job` for the search."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    sheet_id: Mapped[str | None] = mapped_column(index=True)
    parent_id: Mapped[str | None] = mapped_column(index=True)  # no foreign key: a parent may be deleted
    family_id: Mapped[str] = mapped_column(index=True)
    lane: Mapped[str]
    created_at: Mapped[str]
    elapsed_s: Mapped[float]
    estimate_s: Mapped[float | None]
    timings: Mapped[dict[str, Any]]
    model: Mapped[str]
    fingerprint: Mapped[str]
    numeric_path: Mapped[str]
    favourite: Mapped[bool]
    rejected_at: Mapped[str | None]
    file: Mapped[str]
    bytes: Mapped[int]
    job: Mapped[dict[str, Any]]
    adjustments: Mapped[list[dict[str, Any]]]
    prompt_folded: Mapped[str]
    seed: Mapped[int]
    steps: Mapped[int]
    guidance_scale: Mapped[float]
    width: Mapped[int]
    height: Mapped[int]
    preset: Mapped[str | None]
    recipe: Mapped[str]


class DeletedImageRow(Base):
    """A picture that was deleted and whose file may still be there: it must not be adopted again."""

    __tablename__ = "deleted_images"

    id: Mapped[str] = mapped_column(primary_key=True)
    file: Mapped[str]


class UploadRow(Base):
    """A picture as input; its file lies under its hash."""

    __tablename__ = "uploads"

    hash: Mapped[str] = mapped_column(primary_key=True)  # sha256 of the file
    media_type: Mapped[str]
    width: Mapped[int]  # px, turned as its EXIF says
    height: Mapped[int]
    bytes: Mapped[int]
    name: Mapped[str | None]
    notes: Mapped[list[str]]
    added_at: Mapped[str]  # the last time


class JobUploadRow(Base):
    """A job is drawn from an upload, which stays as long as the job or its picture may need it."""

    __tablename__ = "job_uploads"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    upload_hash: Mapped[str] = mapped_column(ForeignKey("uploads.hash"), primary_key=True, index=True)


class SettingRow(Base):
    """What the page remembers. The value is JSON as text, so that null is a value like others."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class CostSampleRow(Base):
    """What one picture took, for `job.estimate`."""

    __tablename__ = "cost_samples"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[str]
    device: Mapped[str]
    precision: Mapped[str]
    numeric_path: Mapped[str]
    fingerprint: Mapped[str]
    image_tokens: Mapped[int]
    steps: Mapped[int]
    text_tokens: Mapped[int]
    negative_tokens: Mapped[int | None]
    elapsed_s: Mapped[float]
    text_s: Mapped[float | None]
    steps_s: Mapped[float | None]
    decode_s: Mapped[float | None]
    png_s: Mapped[float | None]
    reference_tokens: Mapped[int] = mapped_column(server_default="0")
