"""What sweeps measured, as the home keeps it: sums for every device, added up over sweeps (`speeds.json`).

The file is small whatever was trained, and what is older counts less and less. It replaces `rates.json`, one rate of
the last sweep, which says nothing about other networks and is not read any more.
"""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from clustersweep.files import write_atomically
from clustersweep.study.cost import PARTS, Speed, Sums, fitted
from clustersweep.study.events import Device

FORMAT = 1
# Measurements of so many replicates are kept on each device: what is added makes the others count less.
MOST_REPLICATES = 2000.0
# Devices that were not used for longest are let go of.
MOST_DEVICES = 32


def read_speed(path: Path, cpus: int) -> Speed:
    """Estimate how fast a worker trains, from what earlier sweeps of this home measured.

    Where the last sweep trained, the next one is expected to: on its device, if it had as many threads as asked for,
    else on the last one that had. Nothing readable, or nothing with so many threads, means what is assumed.

    Args:
        path: The home's file.
        cpus: CPU threads of a worker.
    """
    kept = {device: found for device, found in _read(path).items() if device.threads == cpus}
    if not kept:
        return Speed()
    last = max(kept, key=lambda device: (kept[device][0], kept[device][1].count))
    return fitted(kept[last][1], last)


def add_speeds(path: Path, measured: Mapping[Device, Sums], at: datetime | None = None) -> None:
    """Add what a sweep measured to what is kept. Of two launches that do so in the same moment, one is lost.

    Raises:
        StorageError: The disk is full or read-only.
    """
    now = (at or datetime.now(UTC)).isoformat(timespec="seconds")
    kept = _read(path)
    for device, sums in measured.items():
        if sums.count <= 0:
            continue
        new = sums.times(min(1.0, MOST_REPLICATES / sums.count))
        before = kept[device][1] if device in kept else Sums()
        room = MOST_REPLICATES - new.count
        kept[device] = now, before.times(min(1.0, room / before.count if before.count else 0.0)) + new
    newest = sorted(kept.items(), key=lambda one: one[1][0], reverse=True)[:MOST_DEVICES]
    entries = [{**dataclasses.asdict(device), "at": at, **_as_json(sums)} for device, (at, sums) in newest]
    content = {"format": FORMAT, "parts": list(PARTS), "devices": entries}
    write_atomically(path, json.dumps(content).encode(), what="measured speed")


def _read(path: Path) -> dict[Device, tuple[str, Sums]]:
    """Read each device's sums and when they were last added to; nothing where the file says nothing that is known."""
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT or content["parts"] != list(PARTS):
            return {}
        names = [one.name for one in dataclasses.fields(Device)]
        return {Device(*(e[name] for name in names)): (str(e["at"]), _of_json(e)) for e in content["devices"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _as_json(sums: Sums) -> dict[str, Any]:
    sizes = {str(size): count for size, count in sorted(sums.sizes.items()) if count >= 0.01}
    arrays = {"products": sums.products.tolist(), "amounts": sums.amounts.tolist()}
    return {"count": sums.count, **arrays, "compile_s": sums.compile_s, "layers": sums.layers, "sizes": sizes}


def _of_json(entry: Mapping[str, Any]) -> Sums:
    """Read sums.

    Raises:
        ValueError, KeyError, TypeError: They are none.
    """
    parts = len(PARTS)
    products, amounts = np.array(entry["products"], float), np.array(entry["amounts"], float)
    numbers = [float(entry[name]) for name in ("count", "compile_s", "layers")]
    sizes = {int(size): float(count) for size, count in entry["sizes"].items()}
    whole = np.concatenate([products.ravel(), amounts.ravel(), numbers, list(sizes.values())])
    if products.shape != (parts, parts) or amounts.shape != (parts,) or not (np.isfinite(whole) & (whole >= 0)).all():
        raise ValueError("no sums of measurements")
    return Sums(numbers[0], products, amounts, numbers[1], numbers[2], sizes)
