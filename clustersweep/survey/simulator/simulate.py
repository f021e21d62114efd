"""Writing a simulated survey: chunks of clusters in processes, streamed into FITS. No physics here.

A survey appears under its name only when complete; what was simulated before an interruption is used again.
"""

import fcntl
import logging
import multiprocessing
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.files import remove, whole
from clustersweep.survey.catalogue import Catalogue
from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.formats.files import CATALOGUE_FILE, IMAGES_FILE, unwritable
from clustersweep.survey.simulator import tables
from clustersweep.survey.simulator.observation import COLUMNS, observe
from clustersweep.survey.spec import SIMULATOR_VERSION, SimulateSpec
from clustersweep.survey.stack import smallest_type

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_CHUNK, _CHUNK_BYTES = 128, 2**26


def write_survey(spec: SimulateSpec, to: Path, *, jobs: int = 1, progress: Progress | None = None) -> None:
    """Simulate a survey into the folder `to`: `images.fits` and `catalogue.fits`.

    Args:
        spec: The recipe; the same recipe gives the same survey whatever `jobs` is.
        to: New or empty; a finished survey of the same recipe is left as it is.
        jobs: Processes.
        progress: Called with the clusters done and their total.

    Raises:
        DataError: `to` holds something else, or cannot be written.

    Side effects:
        Works in a hidden folder beside `to`, which an interrupted run leaves behind for the next one.
    """
    to = to.absolute()
    tell = progress or (lambda done, total: None)
    staging = to.with_name(f".{to.name}.partial-{spec.digest}")
    try:
        if not _is_done(spec, to):
            with _locked(staging):
                if not _is_done(spec, to):  # another process may have been faster
                    _simulate_chunks(spec, staging, jobs, tell)
                    with whole(to, staging / "survey") as survey:
                        _assemble(spec, staging, survey)
                remove(staging)
    except OSError as error:
        raise unwritable(to, error) from error
    tell(spec.clusters, spec.clusters)


def simulate_chunk(spec: SimulateSpec, start: int, stop: int) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Simulate clusters `start` to `stop`: images in the smallest type, and the catalogue's columns."""
    bands = len(tables.bands())
    images = np.empty((stop - start, spec.pixels, spec.pixels, bands), np.uint32)
    rows = []
    for cluster in range(start, stop):
        observation = observe(spec.seed, cluster, spec.pixels)
        images[cluster - start] = observation.image
        rows.append(observation.row)
    columns = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
    return images.astype(smallest_type(images)), columns


def _simulate_chunks(spec: SimulateSpec, staging: Path, jobs: int, tell: Progress) -> None:
    todo, done = [], 0
    for start, stop in _ranges(spec):
        if zipfile.is_zipfile(_part(staging, start)):  # whole: the directory of an npz is at its end
            done += stop - start
        else:
            todo.append((start, stop))
    if done:
        log.info("continuing an interrupted simulation: %d of %d clusters are there", done, spec.clusters)
    tell(done, spec.clusters)
    for start, stop in _run(spec, staging, todo, jobs):
        done += stop - start
        tell(done, spec.clusters)


def _run(spec: SimulateSpec, staging: Path, todo: list[tuple[int, int]], jobs: int) -> Iterator[tuple[int, int]]:
    """Write the parts, in any order, and yield the range of each that is done."""
    if jobs <= 1 or len(todo) <= 1:
        for start, stop in todo:
            _write_part(spec, staging, start, stop)
            yield start, stop
        return
    # Not fork: the caller may have threads, and a forked lock that one of them holds would never open.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=context, initializer=_begin_process) as pool:
        try:
            futures = {pool.submit(_write_part, spec, staging, *each): each for each in todo}
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool as error:
            rule = "a simulating process was killed, most likely for want of memory"
            remedy = "Try again with fewer --jobs; what is done is kept."
            raise DataError([Problem(str(staging), "", "", rule, remedy)]) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin_process() -> None:
    """Leave Ctrl-C to the parent, which waits for the parts in work and keeps them; but end when it is gone.

    A process of a pool waits for work for ever otherwise: nobody tells it that its parent was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns when it has ended, however that came
        os._exit(1)


def _write_part(spec: SimulateSpec, staging: Path, start: int, stop: int) -> None:
    images, columns = simulate_chunk(spec, start, stop)
    with whole(_part(staging, start)) as beside, beside.open("wb") as file:
        np.savez(file, allow_pickle=False, images=images, **columns)


def _assemble(spec: SimulateSpec, staging: Path, survey: Path) -> None:
    parts = [_part(staging, start) for start, _ in _ranges(spec)]
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
    dtype = np.dtype(np.uint8)
    for part in parts:
        with np.load(part) as content:
            dtype = np.promote_types(dtype, content["images"].dtype)
            for name in COLUMNS:
                columns[name].append(content[name])

    def pieces() -> Iterator[NDArray[Any]]:
        for part in parts:
            with np.load(part) as content:
                yield content["images"]

    survey.mkdir()
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    units = {name: unit for name, (unit, _) in COLUMNS.items()}
    descriptions = {name: text for name, (_, text) in COLUMNS.items()}
    fitsfile.write_catalogue(survey / CATALOGUE_FILE, Catalogue(str(survey), whole, units, descriptions))
    bands = tables.bands()
    shape = (spec.clusters, spec.pixels, spec.pixels, len(bands))
    images = fitsfile.ImagesToWrite(pieces(), shape, dtype, bands.pairs_kev, whole["identifier"], _notes(spec))
    fitsfile.write_images(survey / IMAGES_FILE, images)


def _notes(spec: SimulateSpec) -> dict[str, tuple[str | int | float, str]]:
    return {
        "RECIPE": (spec.digest, "digest of what the simulator was asked for"),
        "SIMVERS": (SIMULATOR_VERSION, "version of the simulator"),
        "SIMSEED": (spec.seed, "seed"),
        "ORIGIN": ("clustersweep simulate", "mock survey, not an observation"),
    }


def _is_done(spec: SimulateSpec, to: Path) -> bool:
    """Whether `to` is this survey already; anything else in its place is refused."""
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return False
    if to.is_dir() and (to / IMAGES_FILE).exists() and (to / CATALOGUE_FILE).exists():
        recipe = fitsfile.recipe(to / IMAGES_FILE)
        if recipe == spec.digest:
            return True
    rule = "is there already and is not the survey that was asked for"
    raise DataError([Problem(str(to), "", "", rule, "Remove it, or write to another folder.")])


@contextmanager
def _locked(staging: Path) -> Iterator[None]:
    """Hold the staging folder alone; a second process that wants the same survey waits and finds it done."""
    while True:
        staging.mkdir(parents=True, exist_ok=True)
        handle = os.open(staging, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if staging.exists() and os.fstat(handle).st_ino == staging.stat().st_ino:
                yield
                return
        finally:
            os.close(handle)


def _ranges(spec: SimulateSpec) -> Iterator[tuple[int, int]]:
    """Cut the survey into parts; their size depends on the recipe alone, so that parts can be used again."""
    image_bytes = spec.pixels**2 * len(tables.bands()) * 4
    size = max(1, min(_CHUNK, _CHUNK_BYTES // image_bytes))
    for start in range(0, spec.clusters, size):
        yield start, min(start + size, spec.clusters)


def _part(staging: Path, start: int) -> Path:
    return staging / f"part-{start:08d}.npz"
