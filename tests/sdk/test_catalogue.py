"""Tests how `make catalogue` merges its sources, and that models.json is in the form in which it writes it."""

import importlib.util
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MODELS = ROOT / "src/catalogue/models.json"
CORRECTIONS = json.loads((ROOT / "src/catalogue/corrections.json").read_text())
MODEL = "acme.rocket-v1:0"


@pytest.fixture(scope="module")
def catalogue():
    path = ROOT / "scripts/catalogue/__main__.py"
    spec = importlib.util.spec_from_file_location("catalogue", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def merged(catalogue, litellm, genai=None, models_dev=None, rows=()):
    sources = {
        "litellm": {key: {"facts": {}, "price": {}, **entry} for key, entry in litellm.items()},
        "genai-prices": lambda key: (genai or {}).get(key, {}),
        "models.dev": {key: {"facts": {}, "price": {}, **entry} for key, entry in (models_dev or {}).items()},
        "langchain-aws": {},
    }
    corrections = {"as_of": "2026-11-26", "aliases": {}, "ignored": {}, "rows": list(rows)}
    return catalogue.merge.Merge(sources, corrections).entry(MODEL)


def price(rate, **more):
    return {"input": rate, "output": rate, **more}


def test_file_is_in_canonical_form_and_up_to_date_with_the_corrections(catalogue):
    text = MODELS.read_text()
    catalog = json.loads(text)
    assert catalogue.render(catalog) == text, "run `make catalogue` instead of editing models.json"
    ids = [model["id"] for model in catalog["models"]]
    assert ids == sorted(ids, key=lambda model: catalogue.order(CORRECTIONS, model))
    pinned = {name: {"name": source["name"], "date": source["date"]} for name, source in CORRECTIONS["sources"].items()}
    assert (catalog["sources"], catalog["as_of"]) == (pinned, CORRECTIONS["as_of"])
    assert {row["source"] for row in CORRECTIONS["rows"]} <= pinned.keys()
    for row in CORRECTIONS["rows"]:
        assert row["models"] and (row.get("facts") or row.get("price")), row


def test_units_of_models_that_are_not_billed_by_tokens(catalogue):
    price = catalogue.sources.litellm_price
    marengo = {"mode": "embedding", "input_cost_per_query": 7e-05, "input_cost_per_image": 0.0001, "output_cost_per_token": 0.0}
    assert price(marengo) == {"input": "0", "output": "0", "query": "0.00007", "input_image": "0.0001"}
    pegasus = {"mode": "chat", "input_cost_per_video_per_second": 0.00049, "output_cost_per_token": 7.5e-06}
    assert price(pegasus) == {"input": "0", "output": "7.5", "video_second": "0.00049"}


def test_rate_that_two_sources_share_wins(catalogue):
    genai, models_dev = {MODEL: price("2")}, {MODEL: {"price": price("2", cache_read="0.2")}}
    entry = merged(catalogue, {MODEL: {"price": price("1", cache_write="9")}}, genai, models_dev)
    # The cache rate of a source that has another price for input is not of this price.
    assert entry["price"] == price("2", cache_read="0.2")
    assert entry["sources"]["genai-prices"] == ["price"]
    assert "price" not in entry["sources"]["litellm"]


def test_disputed_rate_is_that_of_the_first_source(catalogue):
    entry = merged(catalogue, {MODEL: {"price": price("1")}}, {MODEL: price("2")}, {MODEL: {"price": price("3")}})
    assert entry["price"] == price("1")


def test_bare_id_has_the_rate_of_the_us_profile_if_there_is_a_global_one(catalogue):
    rates = {MODEL: "2", f"us.{MODEL}": "2.2", f"global.{MODEL}": "2"}
    entry = merged(catalogue, {key: {"price": price(rate)} for key, rate in rates.items()})
    assert entry["price"] == price("2.2")
    assert entry["price_by_profile"] == {"global": price("2")}
    assert entry["facts"]["profiles"] == ["us", "global"]


def test_region_lists_only_what_differs(catalogue):
    regions = {("eu-west-1", MODEL): {"price": price("1")}, ("eu-west-2", MODEL): {"price": {"input": "1", "output": "3"}}}
    entry = merged(catalogue, {MODEL: {"price": price("1")}, **regions})
    assert entry["price_by_region"] == {"eu-west-2": {"output": "3"}}


@pytest.mark.parametrize(("eol", "status"), [("2026-11-25", "eol"), ("2027-01-01", "legacy"), (None, "active")])
def test_end_of_life_decides_the_status(catalogue, eol, status):
    facts = {"lifecycle": {"eol": eol}} if eol else {}
    assert merged(catalogue, {MODEL: {"facts": facts}})["facts"]["lifecycle"]["status"] == status


def test_corrections_replace_in_order_and_remove(catalogue):
    rows = [
        {"models": ["acme.*"], "facts": {"modality": "chat", "image": None}, "source": "a"},
        {"models": ["*"], "modality": "chat", "facts": {"tools": True}, "source": "b"},
        {"models": ["*"], "modality": "image", "facts": {"tools": False}, "source": "c"},
    ]
    entry = merged(catalogue, {MODEL: {"facts": {"image": True, "context_window": 9}}}, rows=rows)
    assert "image" not in entry["facts"] and entry["facts"]["tools"] is True
    assert entry["sources"] == {"a": ["modality"], "b": ["tools"], "litellm": ["context_window", "lifecycle", "profiles"]}


def test_comparison_names_old_new_and_source_and_doubts_large_changes(catalogue):
    def catalog(*rates, **facts):
        models = [{"id": f"m{index}", "facts": facts, "price": price(rate), "sources": {"s": ["price"]}} for index, rate in enumerate(rates)]
        return {"sources": {"s": {"name": "Somebody", "date": "2026-11-26"}}, "models": models}

    assert catalogue.leaps([{"above_input_tokens": 9, "input": "1"}], [{"above_input_tokens": 99, "input": "2"}])
    assert not catalogue.leaps([{"above_input_tokens": 9, "input": "1"}], [{"above_input_tokens": 99, "input": "1.2"}])
    lines, doubts = catalogue.compare(catalog("1", "1", tools=True), catalog("1.1", "1.6", tools=True))
    assert '~ m0 price.input: "1" -> "1.1" (Somebody, 2026-11-26)' in lines
    assert doubts == [f'~ m1 price.{kind}: "1" -> "1.6" (Somebody, 2026-11-26)' for kind in ("input", "output")]
    assert catalogue.compare(catalog("1", "1"), catalog("1"))[1] == ["- m1"]
    assert catalogue.compare(catalog("1", tools=True), catalog("1"))[1] == ["~ m0 facts.tools: true -> null (no source)"]
    assert catalogue.compare(catalog("1"), catalog("1", "2"))[0][0].startswith("+ m1: ")
