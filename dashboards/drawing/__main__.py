"""Draw dashboards over a run that a Prometheus has watched: a PNG each."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from drawing import browser, data

HERE = Path(__file__).resolve().parent
DASHBOARDS = HERE.parent
NAMES = sorted(path.stem for path in DASHBOARDS.glob("*.json"))


class Files(SimpleHTTPRequestHandler):
    """The files of the page, in silence."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES, help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--prometheus", required=True, metavar="URL", help="which has watched the run")
    parser.add_argument("--run", help="its name; default: the newest")
    parser.add_argument("--page", required=True, type=Path, help="the folder of the bundled page")
    parser.add_argument("--output", required=True, type=Path, help="the folder for the pictures")
    options = parser.parse_args()
    try:
        draw(options.names, data.find(options.prometheus, options.run), options.page, options.output)
    except (data.NoRunError, browser.PageError, OSError) as error:
        sys.exit(f"drawing: {error}")


def draw(names: list[str], run: data.Run, folder: Path, output: Path) -> None:
    """Draw the dashboards of these names over the run, and say which panels have no data.

    Raises:
        browser.PageError: a picture cannot be had.
        OSError: Prometheus does not answer, or a file cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with served(folder) as url, browser.page() as page:
        for name in names:
            drawing = data.drawing(json.loads((DASHBOARDS / f"{name}.json").read_text()), run)
            (folder / "drawing.js").write_text(f"window.drawing = {json.dumps(drawing)};")
            (output / f"{name}.png").write_bytes(page.picture(f"{url}/index.html", "#dashboard"))
            empty = data.without_data(drawing)
            print(f"{name}: {len(drawing['panels'])} panels" + (f"; no data: {', '.join(empty)}" if empty else ""))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server for the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
