"""`python -m fuzz.one_target TARGET SECONDS DIRECTORY`: fuzz one input door with Atheris.

An input with a finding is written to `DIRECTORY/findings/TARGET`, one for each kind of finding, and fuzzing goes on.
"""

from __future__ import annotations

import random
import re
import sys
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["c100k_server"]):
    from fuzz.bench import Bench
    from fuzz.targets import TARGETS

# An input that waits this long has a finding, which the replay confirms with more patience.
PATIENCE_S = 2.0


def main() -> None:
    name, seconds, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    target = TARGETS[name]
    corpus, findings = directory / "corpus" / name, directory / "findings" / name
    for each in (corpus, findings):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    dictionary = directory / f"{name}.dict"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words()))
    bench = Bench(PATIENCE_S)

    def one_input(data: bytes) -> None:
        nonlocal bench
        try:
            target.check(bench, data)
        except Exception as error:
            kind = re.sub(r"\W+", "-", str(error).partition(":")[0])[:60]
            path = findings / f"{type(error).__name__}-{kind}"
            if not path.exists():
                path.write_bytes(data)
                path.with_suffix(".txt").write_text(traceback.format_exc())
            # What an input with a finding leaves behind must not be found again with the next.
            bench = Bench(PATIENCE_S)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        mutant = data
        if chance.random() < 0.5:
            mutant = target.mutate(data, chance)
        if mutant == data or chance.random() < 0.2:
            mutant = atheris.Mutate(mutant[:max_size], max_size)
        return target.repair(mutant, chance)[:max_size]

    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-artifact_prefix={findings}/",
        f"-dict={dictionary}",
        f"-max_len={target.max_bytes}",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup(arguments, one_input, custom_mutator=mutate)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


main()
