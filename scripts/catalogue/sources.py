"""Readers of the public sources of the model catalog. Each returns what a source says of each model id, in the form of `models.json`."""

import datetime
import decimal
import importlib
import json
import re
import runpy
import sys

PREFIXES = ("us", "eu", "apac", "jp", "au", "ca", "in", "us-gov", "global")
MODES = {"image_edit": "image", "image_generation": "image", "responses": "chat", "realtime": "speech"}
# What is billed by a unit of its own instead of by tokens.
LITELLM_UNITS = {
    "rerank": ("input_cost_per_query", "query"),
    "embedding": ("input_cost_per_query", "query"),
    "image_generation": ("output_cost_per_image", "output_image"),
    "image_edit": ("output_cost_per_image", "output_image"),
}
LITELLM_FACTS = {
    "max_input_tokens": "context_window",
    "max_output_tokens": "max_output_tokens",
    "supports_vision": "image",
    "supports_video_input": "video",
    "supports_audio_input": "audio",
    "supports_pdf_input": "document",
    "supports_function_calling": "tools",
    "bedrock_converse_supports_strict_tools": "strict_tools",
}
LITELLM_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_token_flex": "flex_input",
    "output_cost_per_token_flex": "flex_output",
    "input_cost_per_token_priority": "priority_input",
    "output_cost_per_token_priority": "priority_output",
}
MODELS_DEV_PRICES = {"input": "input", "output": "output", "cacheRead": "cache_read", "cacheWrite": "cache_write"}
GENAI_PRICES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
}


def money(value, times=1):
    """A price as the catalog writes it: a decimal string without an exponent or trailing zeros."""
    number = (decimal.Decimal(str(value)) * times).quantize(decimal.Decimal("1e-9")).normalize()
    return f"{number:f}"


def split(key):
    """The base id and the prefix of an inference profile, or of no profile."""
    prefix, _, rest = key.partition(".")
    return (rest, prefix) if prefix in PREFIXES and "." in rest else (key, None)


def read_litellm(site):
    """Entries by key: a bare id, a profile id, or a pair of region and id."""
    table = json.loads((site / "litellm" / "model_prices_and_context_window_backup.json").read_text())
    entries = {}
    # What it says of the other endpoint of Bedrock, Mantle, counts only for models that bedrock-runtime lacks.
    for key, raw in sorted(table.items(), key=lambda item: "mantle" in item[0]):
        if not str(raw.get("litellm_provider")).startswith("bedrock") or "commitment" in key:
            continue
        path = key.split("/")
        mantle = path[0] == "bedrock_mantle"
        if path[0] in ("bedrock", "bedrock_mantle"):
            path = path[1:]
        region = path[0] if len(path) == 2 and re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", path[0]) else None
        if len(path) > (2 if region else 1) or "." not in path[-1] or "@" in key or (mantle and region):
            continue
        price = {kind: rate for kind, rate in litellm_price(raw).items() if not (mantle and kind.startswith(("flex", "priority")))}
        entry = {"price": price, "facts": litellm_facts(raw)}
        entries.setdefault((region, path[-1]) if region else path[-1], entry)
    return entries


def litellm_price(raw):
    for mode, (theirs, ours) in LITELLM_UNITS.items():
        if raw.get("mode") == mode and raw.get(theirs):
            image = raw.get("input_cost_per_image") if mode == "embedding" else None
            return {"input": "0", "output": "0", **({"input_image": money(image)} if image else {}), ours: money(raw[theirs])}
    price = {ours: money(raw[theirs], 1_000_000) for theirs, ours in LITELLM_PRICES.items() if theirs in raw}
    if image := raw.get("input_cost_per_image"):
        price["input_image"] = money(image)
    if (second := raw.get("input_cost_per_video_per_second")) and "input" not in price:
        price = {"input": "0", **price, "video_second": money(second)}
    above = sorted({int(found[1]) for key in raw if (found := re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", key))})
    for thousands in above:
        kinds = ("input_cost_per_token", "output_cost_per_token", "cache_creation_input_token_cost", "cache_read_input_token_cost")
        rates = {LITELLM_PRICES[kind]: raw.get(f"{kind}_above_{thousands}k_tokens") for kind in kinds}
        step = {"above_input_tokens": thousands * 1000, **{kind: money(rate, 1_000_000) for kind, rate in rates.items() if rate}}
        price.setdefault("long_context", []).append(step)
    return price if "input" in price else {}


def litellm_facts(raw):
    facts = {ours: raw[theirs] for theirs, ours in LITELLM_FACTS.items() if theirs in raw}
    facts["modality"] = MODES.get(raw.get("mode"), raw.get("mode"))
    if raw.get("supports_sampling_params") is False:
        facts["sampling"] = "none"
    if "supports_assistant_prefill" in raw:
        facts["prefill"] = raw["supports_assistant_prefill"]
    if "supports_native_structured_output" in raw:
        facts["structured_output"] = raw["supports_native_structured_output"]
    if raw.get("thinking_always_on"):
        facts["reasoning"] = {"default_on": True}
    if minimum := raw.get("prompt_cache_min_tokens"):
        hour = "cache_creation_input_token_cost_above_1hr" in raw
        facts["cache"] = {"min_tokens": minimum, "max_points": 4, "ttl": ["5m", "1h"] if hour else ["5m"]}
    if eol := raw.get("deprecation_date"):
        facts["lifecycle"] = {"eol": eol}
    return facts


def read_genai(site, day):
    """Returns a function from an id to its price on a day."""
    sys.path.insert(0, str(site))
    providers = importlib.import_module("genai_prices.data").providers
    models = next(provider.models for provider in providers if provider.id == "aws")
    now = datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00")

    def price(key):
        found = next((model for model in models if model.is_match(key)), None)
        if not found:
            return {}
        values = vars(found.get_prices(now))
        return {
            ours: money(getattr(values[theirs], "base", values[theirs]))
            for theirs, ours in GENAI_PRICES.items()
            if values.get(theirs) is not None
        }

    return price


def read_models_dev(folder):
    """Entries by id, from the newest copy of models.dev that has it."""
    newest = json.loads((folder / "@earendil-works/pi-ai/package/dist/providers/data/amazon-bedrock.json").read_text())
    copies = [{key.removeprefix("chat:"): raw for group in newest.values() for key, raw in group.items()}]
    copies.append(json.loads((folder / "@oh-my-pi/pi-catalog/package/src/models.json").read_text())["amazon-bedrock"])
    entries = {}
    for copy in copies:
        for key, raw in copy.items():
            cost = {ours: money(raw["cost"][theirs]) for theirs, ours in MODELS_DEV_PRICES.items() if raw["cost"].get(theirs)}
            facts = {"context_window": raw.get("contextWindow"), "max_output_tokens": raw.get("maxTokens")}
            facts["image"] = "image" in raw.get("input", [])
            facts = {name: value for name, value in facts.items() if value is not None}
            facts["modality"] = "chat"
            entries.setdefault(key, {"price": cost if "input" in cost else {}, "facts": facts})
    return entries


def read_langchain(site):
    """Facts by id: which models take structured output and video."""
    profiles = runpy.run_path(str(site / "langchain_aws" / "data" / "_profiles.py"))["_PROFILES"]
    entries = {}
    for key, raw in profiles.items():
        names = {"structured_output": "structured_output", "tool_calling": "tools", "video_inputs": "video", "audio_inputs": "audio"}
        entries[key] = {"facts": {ours: raw[theirs] for theirs, ours in names.items() if theirs in raw}}
    return entries
