"""What a server counts of the times without its layer."""

from fairway.server.gaps import Gaps


def test_a_gap_lasts_from_the_first_loss_to_the_next_broker() -> None:
    gaps = Gaps()
    gaps.begin(10.0)
    gaps.begin(11.0)
    assert (gaps.count, gaps.seconds) == (0, 0.0)
    gaps.end(13.0)
    assert (gaps.count, gaps.seconds) == (1, 3.0)


def test_a_broker_that_had_forgotten_us_is_a_gap_of_unknown_length() -> None:
    gaps = Gaps()
    gaps.end(1.0)
    gaps.begin(2.0)
    gaps.end(2.5)
    assert (gaps.count, gaps.seconds) == (2, 0.5)
