"""Whose step is next: drafts first, in the order of their coming, and finals not never."""

from __future__ import annotations

from hidream_studio.engine.turns import Contender, Turns

MIB = 2**20


def contender(
    job_id: str, lane: str, order: float, *, begun: bool = True, mib: int = 1, text: dict[int, int] | None = None
) -> Contender:
    """`text`: MiB by prompt."""
    kept = {prompt: size * MIB for prompt, size in (text or {}).items()}
    return Contender(job_id, lane, order, begun, mib * MIB, kept)  # type: ignore[arg-type]


def turns(*, mib: int = 1000, final_waits_s: float = 30.0) -> Turns:
    return Turns(max_state_bytes=mib * MIB, final_waits_s=final_waits_s)


def test_nothing_held_is_nobodys_turn():
    assert turns().choose([], 0.0) is None


def test_a_draft_goes_before_a_final_that_has_begun():
    held = [contender("final", "final", 1), contender("draft", "draft", 2, begun=False)]
    assert turns().choose(held, 0.0) == "draft"


def test_inside_a_lane_the_first_to_come_is_served_first():
    held = [contender("second", "draft", 2), contender("first", "draft", 1)]
    assert turns().choose(held, 0.0) == "first"


def test_what_was_moved_to_the_front_goes_before_drafts_and_the_last_moved_first():
    held = [contender("draft", "draft", 1), contender("front", "final", -4), contender("front again", "final", -5)]
    assert turns().choose(held, 0.0) == "front again"


def test_a_final_moves_again_after_thirty_seconds_of_uninterrupted_drafts_and_then_drafts_go_on():
    chooser = turns()
    held = [contender("draft", "draft", 1), contender("final", "final", 2)]
    chosen = [chooser.choose(held, second * 0.5) for second in range(200)]
    moved_s = [index * 0.5 for index, job_id in enumerate(chosen) if job_id == "final"]
    assert moved_s == [30.0, 60.0, 90.0]


def test_the_final_that_ages_is_the_first_of_its_lane():
    chooser = turns()
    held = [contender("draft", "draft", 1), contender("late", "final", 3), contender("early", "final", 2)]
    chooser.choose(held, 0.0)
    assert chooser.choose(held, 30.0) == "early"


def test_a_final_that_just_came_has_not_waited():
    chooser = turns()
    draft, final = contender("draft", "draft", 1), contender("final", "final", 2)
    assert chooser.choose([draft], 100.0) == "draft"
    assert chooser.choose([draft, final], 200.0) == "draft"
    assert chooser.choose([draft, final], 230.0) == "final"


def test_a_final_ages_also_behind_a_draft_that_was_moved_to_the_front():
    chooser = turns()
    held = [contender("front", "draft", -1), contender("final", "final", 2)]
    assert chooser.choose(held, 0.0) == "front"
    assert chooser.choose(held, 30.0) == "final"


def test_a_job_does_not_begin_where_the_state_of_those_begun_leaves_no_memory():
    held = [contender("final", "final", 1, mib=600), contender("draft", "draft", 2, begun=False, mib=600)]
    assert turns(mib=1000).choose(held, 0.0) == "final"


def test_a_job_larger_than_the_memory_kept_for_states_begins_when_nothing_else_has():
    held = [contender("huge", "final", 1, begun=False, mib=5000)]
    assert turns(mib=1000).choose(held, 0.0) == "huge"


def test_the_prompts_of_a_job_take_their_part_of_the_memory_and_one_that_is_shared_takes_it_once():
    begun = contender("final", "final", 1, mib=200, text={1: 500})
    other = contender("other", "draft", 2, begun=False, mib=200, text={2: 500})
    same = contender("same", "draft", 3, begun=False, mib=200, text={1: 500})
    assert turns(mib=1000).choose([begun, other], 0.0) == "final"
    assert turns(mib=1000).choose([begun, same], 0.0) == "same"


def test_prompts_that_are_kept_for_nobody_take_memory_too():
    held = [contender("final", "final", 1, mib=400), contender("draft", "draft", 2, begun=False, mib=400)]
    assert turns(mib=1000).choose(held, 0.0, kept_text_bytes={7: 300 * MIB}) == "final"
    assert turns(mib=1000).choose(held, 0.0, kept_text_bytes={7: 200 * MIB}) == "draft"
