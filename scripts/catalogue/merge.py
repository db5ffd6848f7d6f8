"""Merges what the sources say of a model into one entry of `models.json`, and remembers which source each fact is from."""

import fnmatch

from sources import PREFIXES, split

FACTS = (
    "modality context_window max_output_tokens image document video audio system tools tool_choice stream"
    " stream_with_tools strict_tools structured_output prefill sampling stop reasoning cache lifecycle profiles needs_profile"
).split()
PRICES = (
    "input output cache_read cache_write cache_write_1h input_image video_second output_image query flex_input flex_output priority_input"
    " priority_output long_context"
).split()
ENTRY = "id aliases facts price price_by_profile price_by_region sources".split()
BY_REGION = ("input", "output", "cache_read", "cache_write")
# The sources of a fact in order: the first that knows it wins.
FACT_ORDER = ("litellm", "models.dev", "langchain-aws")
PRICE_ORDER = ("litellm", "genai-prices", "models.dev")


def ordered(members, order):
    return {name: members[name] for name in order if name in members}


class Merge:
    """Merges the sources, by name, and then the corrections. `genai-prices` is a function, all others are entries by key."""

    def __init__(self, sources, corrections):
        self.sources = sources
        self.corrections = corrections
        keys = [key for name in FACT_ORDER for key in sources[name]]
        known = {split(key)[0] for key in keys if isinstance(key, str)} | {key[1] for key in keys if isinstance(key, tuple)}
        aliases = {alias for several in corrections["aliases"].values() for alias in several}
        kept = {model for row in corrections["rows"] for model in row["models"] if "*" not in model}
        self.ids = (known | kept) - aliases - set(corrections["ignored"])

    def entry(self, model):
        """The entry of a model in `models.json`."""
        origins = {}
        aliases = self.corrections["aliases"].get(model, [])
        facts = self.facts(model, origins)
        facts = self.correct(model, facts, facts, "facts", origins)
        entry = {"id": model, "aliases": aliases, "facts": ordered(facts, FACTS)}
        quoted = {prefix: self.price(f"{prefix}.{model}") for prefix in facts["profiles"]}
        bare, names = self.price(model)
        prices = {prefix: price for prefix, (price, _) in quoted.items()}
        # In a Region, AWS charges what it charges for the profile of that geography; several sources list the cheaper
        # global rate under the bare id.
        if prices.get("us") and prices.get("global") or not bare:
            bare, names = next((price for price in quoted.values() if price[0]), ({}, []))
        origins["price"] = names
        base = self.correct(model, facts, bare, "price", origins)
        if base:
            changed = {prefix: changes(price, base) for prefix, price in prices.items()}
            entry["price"] = ordered(base, PRICES)
            entry["price_by_profile"] = {prefix: ordered(change, PRICES) for prefix, change in changed.items() if change}
            entry["price_by_region"] = self.price_by_region([model, *aliases], base, origins)
            used = {name for prefix in entry["price_by_profile"] for name in quoted[prefix][1]}
            origins["price_by_profile"] = [name for name in PRICE_ORDER if name in used]
        entry = {name: value for name, value in entry.items() if value}
        by_source = {}
        for member, names in origins.items():
            if member in entry or entry["facts"].get(member) is not None:
                for name in names:
                    by_source.setdefault(name, []).append(member)
        return {**entry, "sources": {name: sorted(by_source[name]) for name in sorted(by_source)}}

    def correct(self, model, facts, values, member, origins):
        """Replaces whole members, and removes those that are null. A row can depend on the modality, which an earlier one sets."""
        values = dict(values)
        for row in self.corrections["rows"]:
            if not matches(row, model, values if member == "facts" else facts):
                continue
            for name, value in row.get(member, {}).items():
                if values.get(name) != value:
                    values[name] = value
                    if member == "facts":
                        origins[name] = [row["source"]]
                    elif row["source"] not in origins.setdefault(member, []):
                        origins[member].append(row["source"])
        return {name: value for name, value in values.items() if value is not None}

    def price(self, key):
        """The price of a key, and who says so. Input and output are the rate that two sources share, or else that of the first
        source; all else is from the sources that have these rates."""
        quoted = {name: price for name in PRICE_ORDER if (price := self.quote(name, key)) and "output" in price}
        merged = {}
        for kind in PRICES:
            rates = {name: price[kind] for name, price in quoted.items() if kind in price}
            if not rates:
                continue
            shared = [rate for rate in rates.values() if list(rates.values()).count(rate) > 1]
            merged[kind] = (shared or list(rates.values()))[0]
            if kind in ("input", "output"):
                quoted = {name: price for name, price in quoted.items() if price[kind] == merged[kind]}
        if "output" not in merged:
            return {}, []
        return merged, list(quoted)

    def quote(self, name, key):
        source = self.sources[name]
        return source(key) if callable(source) else source.get(key, {}).get("price", {})

    def price_by_region(self, ids, base, origins):
        found = {}
        for key, entry in self.sources["litellm"].items():
            if isinstance(key, tuple) and key[1] in ids and (change := changes(entry["price"], base)):
                found[key[0]] = ordered(change, BY_REGION)
                origins["price_by_region"] = ["litellm"]
        return dict(sorted(found.items()))

    def facts(self, model, origins):
        keys = [model, *(f"{prefix}.{model}" for prefix in PREFIXES)]
        facts = {}
        for name in FACT_ORDER:
            source = self.sources[name]
            regional = [key for key in source if isinstance(key, tuple) and key[1] == model]
            found = next((source[key] for key in [*keys, *regional] if key in source), {"facts": {}})
            profiles = [prefix for prefix in PREFIXES if f"{prefix}.{model}" in source]
            for fact, value in {**found["facts"], "profiles": profiles}.items():
                if value is not None and (fact not in facts or fact == "profiles" and value and not facts[fact]):
                    facts[fact] = value
                    origins[fact] = [name]
        facts["lifecycle"] = self.lifecycle(facts.get("lifecycle", {}))
        origins.setdefault("lifecycle", ["litellm"])
        return facts

    def lifecycle(self, facts):
        eol = facts.get("eol")
        return {"status": "active" if not eol else "legacy" if eol > self.corrections["as_of"] else "eol", **facts}


def matches(row, model, facts):
    fits = any(fnmatch.fnmatchcase(model, glob) for glob in row["models"])
    return fits and row.get("modality", facts.get("modality")) == facts.get("modality")


def changes(price, base):
    """The rates that differ from `base`, if the input or the output does."""
    if not price or all(price.get(kind) == base[kind] for kind in ("input", "output")):
        return {}
    return {kind: rate for kind, rate in price.items() if base.get(kind) != rate}
