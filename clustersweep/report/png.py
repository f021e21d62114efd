"""Figures as PNG, drawn by the user's own Chrome or Chromium. Optional: where there is none, a message says so."""

import base64
import binascii
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from clustersweep.files import write_atomically

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WIDTH_PX, _SCALE = 1100, 2
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # it cannot be had as root or in most containers; the page is our own and reaches nothing
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-breakpad",
    "--disable-extensions",
    "--no-first-run",
    # A browser asks its maker for updates as it starts. Nobody listens at that proxy, so nothing leaves the machine.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--proxy-server=127.0.0.1:9",
    # The page's clock runs as fast as it can, and its content is printed when the budget is spent or nothing is left.
    "--virtual-time-budget=60000",
    "--dump-dom",
)
_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><script>{plotly}</script></head><body>
<script type="application/json" id="figures">{figures}</script>
<script>
const tell = (kind, text) => document.body.append(Object.assign(document.createElement("pre"), {{
  className: kind, textContent: text }}));
(async () => {{
  const given = document.getElementById("figures");
  const figures = JSON.parse(given.textContent);
  given.remove();
  for (const [name, figure, width, height, scale] of figures)
    tell("image", name + " " + await Plotly.toImage(figure, {{ format: "png", width, height, scale }}));
}})().catch((error) => tell("error", String(error)));
</script></body></html>
"""
_IMAGE = re.compile(rb'<pre class="image">([\w-]+) data:image/png;base64,([A-Za-z0-9+/=]+)</pre>')
_ERROR = re.compile(rb'<pre class="error">(.*?)</pre>', re.DOTALL)


@dataclass(frozen=True)
class Pngs:
    """The files that were written; where there are none, `message` says why and what to do."""

    files: tuple[Path, ...]
    message: str = ""


class _NoImagesError(Exception):
    """The browser gave no images; `str()` says why in a few words."""


def find_browser() -> Path | None:
    """Find a browser of the Chrome family on the PATH."""
    found = (shutil.which(name) for name in _BROWSERS)
    return next((Path(path) for path in found if path), None)


def write_pngs(figures: Mapping[str, go.Figure], folder: Path, *, timeout_s: float = 120.0) -> Pngs:
    """Write each figure as `NAME.png` into the folder, which is made where missing; one browser draws them all.

    A browser that is missing, fails or hangs is no error: the HTML shows the same figures.

    Args:
        figures: What is drawn, by name; a name is made of letters, digits, `_` and `-`.
        folder: Where the files are written.
        timeout_s: The browser is ended when it takes longer.

    Raises:
        StorageError: The disk is full or read-only.
    """
    browser = find_browser()
    if browser is None:
        return Pngs((), "no PNG: no Chrome or Chromium on the PATH could draw them; install chromium")
    try:
        images = _draw(browser, figures, timeout_s)
    except (_NoImagesError, OSError) as error:
        return Pngs((), f"no PNG: {browser} could not draw them ({error}); the HTML page shows the same figures")
    for name, image in images.items():
        write_atomically(folder / f"{name}.png", image, what="figure")
    return Pngs(tuple(folder / f"{name}.png" for name in images))


def _draw(browser: Path, figures: Mapping[str, go.Figure], timeout_s: float) -> dict[str, bytes]:
    """Have the browser open a page that draws the figures, and read them from what became of the page."""
    asked = [[name, json.loads(f.to_json()), _WIDTH_PX, f.layout.height, _SCALE] for name, f in figures.items()]
    content = json.dumps(asked).replace("</", "<\\/")
    with tempfile.TemporaryDirectory(prefix="clustersweep-png-", ignore_cleanup_errors=True) as folder:
        page = Path(folder, "page.html")
        page.write_text(_PAGE.format(plotly=get_plotlyjs(), figures=content), "utf-8")
        command = [str(browser), *_OPTIONS, f"--user-data-dir={folder}/profile", page.as_uri()]
        shown = _run(command, {**os.environ, "XDG_CONFIG_HOME": f"{folder}/config"}, timeout_s)
    try:
        images = {name.decode(): base64.b64decode(data, validate=True) for name, data in _IMAGE.findall(shown)}
    except binascii.Error as error:
        raise _NoImagesError(str(error)) from error
    if set(images) != set(figures):
        why = _ERROR.search(shown)
        raise _NoImagesError(why[1].decode(errors="replace")[:200] if why else "it drew nothing")
    return images


def _run(command: list[str], environment: dict[str, str], timeout_s: float) -> bytes:
    """Run the browser in a process group of its own, of which nothing is left when this returns."""
    with subprocess.Popen(
        command, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            shown, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=5)  # until the last of its children has let go of the output
            raise _NoImagesError(f"it took more than {timeout_s:g} s") from error
        finally:
            _end(process)
    return shown


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the browser's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
