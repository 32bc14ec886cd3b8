"""Every error that this project raises on purpose. Knows neither HTTP statuses nor exit codes.

StudioError
├── RequestError          what was asked cannot be done as asked: names the field and the limit
│   └── PromptError       a prompt that is empty, too long, or spells a special token
├── NotFoundError         no job, picture or file of that id
├── ConflictError         the thing exists, but its state forbids it (cancelling what has ended)
├── QueueFullError        the queue is at its limit
├── AccessError           token, Host or Origin is not accepted
├── CheckpointError       a folder or file that is no readable O1 checkpoint
├── LoraError             a file that is no LoRA, or none of this model
├── DeviceError           this machine cannot run that (precision, device)
│   └── OutOfMemoryError  what was needed and what was free
├── WorkerError           the worker process died, hung or could not load
├── NumericError          the model's numbers are none: NaN or infinite
├── JobCancelled          the job was cancelled before it ended
├── LibraryError          the data folder cannot be used
│   └── StorageFullError  the disk is full
└── RemoteError           a server that we asked did not answer as it should
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StudioError(Exception):
    """Base of all. `message` is one sentence for the user; `code` is stable and machine-readable."""

    code = "error"

    def __init__(self, message: str, *, field: str | None = None, limit: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.limit = limit


class RequestError(StudioError):
    code = "invalid_request"


@contextmanager
def naming(name: Callable[[str], str]) -> Iterator[None]:
    """A RequestError leaves with its field called `name(field)`: as who asked called it."""
    try:
        yield
    except RequestError as error:
        if error.field is not None:
            error.field = name(error.field)
        raise


class PromptError(RequestError):
    code = "invalid_prompt"


class NotFoundError(StudioError):
    code = "not_found"


class ConflictError(StudioError):
    code = "conflict"


class QueueFullError(StudioError):
    code = "queue_full"

    def __init__(self, message: str, *, limit: int, retry_after_s: float) -> None:
        super().__init__(message, limit=limit)
        self.retry_after_s = retry_after_s


class AccessError(StudioError):
    code = "access_denied"


class CheckpointError(StudioError):
    code = "invalid_checkpoint"


class LoraError(StudioError):
    code = "invalid_lora"


class DeviceError(StudioError):
    code = "device_unsupported"


class OutOfMemoryError(DeviceError):
    code = "out_of_memory"


class WorkerError(StudioError):
    code = "worker_failed"


class NumericError(StudioError):
    code = "not_a_number"


class JobCancelled(StudioError):
    code = "cancelled"


class LibraryError(StudioError):
    code = "library_unavailable"


class StorageFullError(LibraryError):
    code = "storage_full"


class RemoteError(StudioError):
    code = "remote_failed"
