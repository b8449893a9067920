"""One form for every refusal, and the schema's word for each status."""

import json

import pytest

from utils.http.problem import MEANING, Problem, answers, refusal


def test_a_refusal_is_a_problem():
    status, lines, body = refusal(404, "unknown", "saw X; name Y")
    assert (404, [(b"content-type", b"application/json")]) == (status, lines)
    assert {"error": {"kind": "unknown", "message": "saw X; name Y", "retry_after_s": None}} == json.loads(body)
    assert "unknown" == Problem.model_validate_json(body).error.kind


@pytest.mark.parametrize(("wait", "header"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.2, b"2"), (-3.0, b"1")])
def test_when_to_ask_again_is_a_whole_number_of_seconds_and_never_none(wait, header):
    _, lines, body = refusal(503, "unavailable", "away", wait)
    assert header == dict(lines)[b"retry-after"]
    assert json.loads(body)["error"]["retry_after_s"] >= 0.0


def test_a_missing_token_names_the_scheme():
    assert b"Bearer" == dict(refusal(401, "token_missing", "none")[1])[b"www-authenticate"]


def test_a_route_documents_what_every_route_may_answer_and_its_own():
    found = answers(404, 422)
    assert {400, 401, 403, 404, 405, 413, 414, 422, 429, 431, 500, 503} == set(found)
    assert {MEANING[status] for status in found} == {each["description"] for each in found.values()}
    assert {429, 503} == {status for status, each in found.items() if "headers" in each}
