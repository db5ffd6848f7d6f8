"""Refreshes `src/catalogue/models.json` from public sources and from `src/catalogue/corrections.json`, and prints what changes.

    make catalogue                      writes the file, unless a price changes by more than half or a model or a fact is lost
    make catalogue ACCEPT=--accept      writes it even then
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import venv

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import merge  # noqa: E402
import sources  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
MODELS = ROOT / "src/catalogue/models.json"
CORRECTIONS = ROOT / "src/catalogue/corrections.json"
ABOUT = (
    "Facts and prices of Bedrock models, written by `make catalogue`: do not edit it, correct it in corrections.json. Prices are US"
    " dollars per million tokens, Standard tier, on demand in us-east-1: the in-Region rate or the rate of the us. profile, which AWS"
    " charges alike; price_by_profile and price_by_region hold only what differs from it. `query` is US dollars for one query of"
    " a reranking model or one text of an embedding model, `input_image` and `output_image` for one image, and `video_second`"
    " for one second of video. `sources` names the source of each fact."
)
# A price that changes by more than this factor is more often a mistake of a source than a new price.
FACTOR = 1.5


def install(corrections, folder):
    """Installs the sources in their pinned versions, and returns the folders of the Python and the Node packages."""
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pins = [pin for source in corrections["sources"].values() for pin in source.get("pypi", [])]
    nodes = [pin for source in corrections["sources"].values() for pin in source.get("npm", [])]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    subprocess.run([*pip, *pins], check=True)
    for pin in nodes:
        pack = ["npm", "pack", "--silent", "--pack-destination", folder, pin]
        name = subprocess.run(pack, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(folder / name) as archive:
            archive.extractall(folder / "node_modules" / pin.rpartition("@")[0], filter="data")
    site = subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], check=True, capture_output=True, text=True)
    return pathlib.Path(site.stdout.strip()), folder / "node_modules"


def gather(corrections, site, modules):
    """Merges everything into the content of `models.json`."""
    read = {
        "litellm": sources.read_litellm(site),
        "genai-prices": sources.read_genai(site, corrections["as_of"]),
        "models.dev": sources.read_models_dev(modules),
        "langchain-aws": sources.read_langchain(site),
    }
    merged = merge.Merge(read, corrections)
    models = [merged.entry(model) for model in sorted(merged.ids, key=lambda model: order(corrections, model))]
    table = {name: {"name": source["name"], "date": source["date"]} for name, source in corrections["sources"].items()}
    return {"as_of": corrections["as_of"], "about": ABOUT, "sources": table, "models": models}


def order(corrections, model):
    provider = model.partition(".")[0]
    known = corrections["providers"]
    return (known.index(provider) if provider in known else len(known), provider, model)


def render(catalog):
    """The canonical form of the file: a model a line."""
    compact = {"separators": (",", ":"), "ensure_ascii": False}
    head = "".join(f' "{name}": {json.dumps(catalog[name], ensure_ascii=False)},\n' for name in ("as_of", "about", "sources"))
    lines = [json.dumps(merge.ordered(model, merge.ENTRY), **compact) for model in catalog["models"]]
    return "{\n" + head + ' "models": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def flatten(entry):
    """The members of an entry by path."""
    flat = {}
    for name, value in entry.items():
        if name in ("facts", "price", "price_by_profile", "price_by_region"):
            flat |= {f"{name}.{member}": each for member, each in value.items()}
        elif name not in ("id", "sources"):
            flat[name] = value
    return flat


def compare(old, new):
    """Lines that describe each difference, and those of them that a person must accept."""
    before, after = ({model["id"]: model for model in catalog["models"]} for catalog in (old, new))
    names = {name: f"{source['name']}, {source['date']}" for name, source in new["sources"].items()}
    lines = [f"+ {model}: {json.dumps(flatten(after[model]))}" for model in after if model not in before]
    doubts = [f"- {model}" for model in before if model not in after]
    for model in before.keys() & after.keys():
        was, now = flatten(before[model]), flatten(after[model])
        for path in sorted(was.keys() | now.keys()):
            if was.get(path) == now.get(path):
                continue
            member = path.partition(".")[2] if path.startswith("facts.") else path.partition(".")[0]
            of = [names[name] for name, members in after[model]["sources"].items() if member in members]
            line = f"~ {model} {path}: {json.dumps(was.get(path))} -> {json.dumps(now.get(path))} ({'; '.join(of) or 'no source'})"
            lost = path not in now
            (doubts if lost or leaps(was.get(path), now.get(path)) else lines).append(line)
    return sorted(lines) + sorted(doubts), sorted(doubts)


def leaps(was, now):
    """Whether a price, or one in a table or list of prices, changes by more than the factor."""
    if isinstance(was, dict) and isinstance(now, dict):
        return any(leaps(was[name], now[name]) for name in was.keys() & now.keys())
    if isinstance(was, list) and isinstance(now, list):
        return any(leaps(*pair) for pair in zip(was, now))
    try:
        low, high = sorted((float(was), float(now)))
    except (TypeError, ValueError):
        return False
    return isinstance(was, str) and high > low * FACTOR


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=pathlib.Path, required=True, help="where the sources are installed")
    options.add_argument("--accept", action="store_true", help="writes the file even if models, facts or prices need a second look")
    chosen = options.parse_args()
    corrections = json.loads(CORRECTIONS.read_text())
    folder = chosen.folder.resolve()
    site, modules = install(corrections, folder)
    if pathlib.Path(sys.prefix) != folder:
        # genai-prices is read by importing it.
        os.execv(folder / "bin/python", [folder / "bin/python", *sys.argv])
    new = gather(corrections, site, modules)
    lines, doubts = compare(json.loads(MODELS.read_text()), new)
    print(*lines, sep="\n")
    print(f"{len(new['models'])} models, {len(lines)} differences")
    if doubts and not chosen.accept:
        sys.exit(f"Nothing was written. Check the {len(doubts)} last lines above: correct them in {CORRECTIONS.name}, or accept them.")
    MODELS.write_text(render(new))


if __name__ == "__main__":
    main()
