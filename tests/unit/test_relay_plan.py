"""A round of relay: everyone gets a share, nobody more than is there, nothing past a missing number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from waiting_room.store.outbox import News, Span, StoredEvent
from workers.relay.plan import plan, unbroken


def news(waiting: dict[str, int], published: int = 0) -> list[News]:
    return [News(clinic_id, published, published + count, 0) for clinic_id, count in sorted(waiting.items())]


def event(clinic_id: str, seq: int) -> StoredEvent:
    return StoredEvent(clinic_id, seq, "{}", "booking.held", 0.0)


def test_what_fits_is_taken_whole() -> None:
    assert plan(news({"0001": 3, "0002": 2}, published=10), 100, after="") == [
        Span("0001", 10, 3),
        Span("0002", 10, 2),
    ]


def test_a_pile_does_not_keep_others_waiting() -> None:
    spans = {span.clinic_id: span.wanted for span in plan(news({"0001": 1_000_000, "0002": 5, "0003": 7}), 100, "")}
    assert spans == {"0001": 88, "0002": 5, "0003": 7}


def test_clinics_take_turns_when_there_are_more_than_fit() -> None:
    waiting = news({f"{number:04}": 1 for number in range(5)})
    assert [span.clinic_id for span in plan(waiting, 2, after="0003")] == ["0004", "0000"]
    assert [span.clinic_id for span in plan(waiting, 2, after="0000")] == ["0001", "0002"]


def test_nothing_new_is_no_work() -> None:
    assert plan([], 100, after="0001") == []


@given(
    st.dictionaries(st.text("0123456789", min_size=4, max_size=4), st.integers(1, 50), min_size=1, max_size=30),
    st.integers(1, 200),
    st.text("0123456789", max_size=4),
)
def test_a_round_is_as_full_as_it_can_be_and_no_fuller(waiting: dict[str, int], limit: int, after: str) -> None:
    spans = plan(news(waiting), limit, after)
    assert sum(span.wanted for span in spans) == min(limit, sum(waiting.values()))
    assert len({span.clinic_id for span in spans}) == len(spans)
    for span in spans:
        assert 1 <= span.wanted <= waiting[span.clinic_id]


def test_publishing_stops_at_the_first_missing_number_of_a_clinic() -> None:
    events = [event("0001", 4), event("0001", 5), event("0001", 7), event("0002", 2), event("0003", 1)]
    assert unbroken(events, {"0001": 3, "0002": 0, "0003": 0}) == [
        event("0001", 4),
        event("0001", 5),
        event("0003", 1),
    ]
