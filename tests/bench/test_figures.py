"""What the benchmark makes of its samples: order of the rounds, ratios, verdicts."""

import pytest

from bench import people
from bench.figures import Figure, interleaved, ratio, table


def test_every_round_asks_everybody_and_the_first_changes() -> None:
    """Ours is not always the one that runs on a machine that has just rested."""
    asked: list[str] = []
    samples = interleaved({name: lambda _, name=name: asked.append(name) for name in ("ours", "peer")}, 3)  # type: ignore[misc]
    assert asked == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert {name: len(taken) for name, taken in samples.items()} == {"ours": 3, "peer": 3}


def test_a_ratio_is_that_of_the_pairs() -> None:
    """A round in which the machine was half as fast for both changes nothing."""
    assert ratio([300, 150, 310], [100, 50, 100]) == 3.0


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(2.4, False, "MISSED"), (2.5, False, "met"), (4, False, "aim"), (4.1, True, "MISSED"), (4, True, "met")],
)
def test_a_verdict_knows_which_side_is_better(value: float, at_most: bool, verdict: str) -> None:
    """Rates have to reach their bounds, times have to stay below them."""
    must, aim = (4.0, 2.5) if at_most else (2.5, 4.0)
    assert Figure("speed", value, "x", must, aim, at_most).verdict == verdict


def test_a_missed_figure_is_seen_in_the_table() -> None:
    """The table shows the bound and that it was missed."""
    [_, line] = table([Figure("speed", 1.5, "x", 2.5, peer=100, peer_name="textbook")]).splitlines()
    assert line.split() == ["speed", "1.5", "x", "textbook", "100", ">=", "2.5", "MISSED"]


def test_people_are_the_same_in_every_run() -> None:
    """What is written beside the service is what a request for the same number names."""
    first, again = (list(people.documents("bench", 50)) for _ in range(2))
    assert first == again
    assert len({document["fingerprint"] for document in first}) == 50
    assert people.message(7).fingerprint == first[7]["fingerprint"]
