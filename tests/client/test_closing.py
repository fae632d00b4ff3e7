"""The table of ends agrees with the other clients, and delays are within their bounds."""

import json
from pathlib import Path

import pytest

from fairway.client.closing import CLOSE_CODES, DELAYS, STATUSES, Closing, checked, delay_after, verdict_after
from fairway.errors import UsageError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "client.json").read_text())
CODES = [(code, verdict) for verdict, codes in VECTORS["close_codes"].items() for code in codes]


@pytest.mark.parametrize(("code", "verdict"), CODES)
def test_a_code_means_what_it_means_to_every_client(code, verdict):
    assert verdict_after(Closing(code)) == verdict


def test_no_code_is_in_the_table_alone():
    assert set(CLOSE_CODES) <= {code for code, _ in CODES}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [*((status, "stay") for status in (200, 301, 401, 403, 404)), *STATUSES.items()],
)
def test_a_refused_handshake_is_an_answer_unless_it_is_about_the_moment(status, verdict):
    assert verdict_after(Closing(1006, "", status)) == verdict


def test_an_application_may_give_codes_and_statuses_a_meaning():
    own = {4503: "later", 1012: "stay", 403: "soon"}
    assert verdict_after(Closing(4503), own) == "later"
    assert verdict_after(Closing(1012), own) == "stay"
    assert verdict_after(Closing(1006, "", 403), own) == "soon"
    assert verdict_after(Closing(1006), own) == "soon"


@pytest.mark.parametrize("verdict", ["soon", "later"])
@pytest.mark.parametrize("failures", [0, 1, 5, 10_000])
def test_a_delay_is_any_within_its_bounds(verdict, failures):
    delays = [delay_after(verdict, failures) for _ in range(300)]
    bounds = DELAYS[verdict]
    most = min(bounds.longest, bounds.first * 2 ** min(failures, 10))
    assert bounds.least <= min(delays)
    assert max(delays) <= most
    assert max(delays) - min(delays) > 0.8 * (most - bounds.least)


def test_an_application_can_give_them_no_other_meaning():
    with pytest.raises(UsageError, match="codes: 4503 means one of soon, later, stay, not 'never'"):
        checked({403: "stay", 4503: "never"})


def test_an_end_is_told_in_a_few_words():
    assert str(Closing(1012, "the server restarts")) == "1012 the server restarts"
    assert str(Closing(1006)) == "1006"
