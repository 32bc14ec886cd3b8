"""What a worker process is given to start with."""

from __future__ import annotations

import pytest

from hidream_studio.scheduler.process import _environment


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "PASSIVE"}),  # which a spin count would overrule
    ],
)
def test_openmps_threads_wait_as_the_environment_says_where_it_says(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], given: dict[str, str]
):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert {name: value for name, value in _environment().items() if name in names} == given
