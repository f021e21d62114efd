"""What must hold between the keys of a training configuration, whatever their types. Reads plain values, not files."""

from collections.abc import Iterator
from typing import Any

from clustersweep.settings.document import Fault, Json, Key
from clustersweep.settings.rules import is_number, repeated, section
from clustersweep.survey.spec import DataSpec, SimulateSpec
from clustersweep.training.files.configuration_keys import FORMAT, VERSION
from clustersweep.training.rules import data_source, dense_layers
from clustersweep.training.spec import OutliersSpec

_FIT_ANEW = "Remove `scaling`: it is fitted anew on the training part."


def foreign(written: Json) -> Iterator[Fault]:
    """Find out whether this is a configuration of a version that is read; if not, nothing else is worth telling."""
    if not isinstance(written, dict):
        return
    kind, version = written.get("format"), written.get("version")
    if "format" not in written and "study" in written:
        remedy = "`clustersweep launch` runs it, then `clustersweep export` gives the configuration of its best trial."
        yield Fault(("format",), "is missing: this is a study, not a training configuration", remedy)
    elif kind != FORMAT:
        rule = f"must be {FORMAT}, which is what a training configuration is called"
        yield Fault(
            ("format",), rule, f"Give a file that begins with `format: {FORMAT}`; `clustersweep export` makes one."
        )
    elif type(version) is not int or version != VERSION:
        rule = f"must be {VERSION}, the only version that this clustersweep reads"
        newer = type(version) is int and version > VERSION
        remedy = (
            "Upgrade clustersweep, or export again with this one." if newer else "Export again with this clustersweep."
        )
        yield Fault(("version",), rule, remedy)


def cross_checks(written: Json) -> Iterator[Fault]:
    """Find the faults that no single key shows; what has the wrong type is told elsewhere."""
    if not isinstance(written, dict):
        return
    data = section(written, "data")
    yield from data_source(data, section(written, "split"))
    yield from dense_layers(None, section(written, "network"))
    yield from repeated(("seeds",), written.get("seeds"))
    yield from _stages(written)
    yield from _scaling(section(written, "scaling"), data)
    pixels, shape = simulated_pixels(data), data.get("image_shape")
    if pixels is not None and isinstance(shape, list) and shape[:2] != [pixels, pixels]:
        rule = f"must be of {pixels} x {pixels} pixels, which is what `data.simulate` and `data.rebin` give"
        remedy = "Remove `digest`, `image_shape` and `scaling`, which were those of other data."
        yield Fault(("data", "image_shape"), rule, remedy)


def simulated_pixels(data: dict[str, Any]) -> int | None:
    """Return the width and height of simulated images after rebinning; None where that is not known."""
    if not isinstance(data.get("simulate"), dict):
        return None
    pixels = data["simulate"].get("pixels", SimulateSpec(clusters=10).pixels)
    rebin = data.get("rebin", DataSpec().rebin)
    fits = type(pixels) is int and type(rebin) is int and rebin > 0 and pixels % rebin == 0
    return pixels // rebin if fits else None


def _stages(written: dict[str, Any]) -> Iterator[Fault]:
    outliers = section(written, "outliers")
    bins: Any = outliers.get("bins", OutliersSpec().bins)
    worst: Any = outliers.get("worst", OutliersSpec().worst)
    if is_number(bins) and is_number(worst) and worst >= bins:
        rule = f"must be less than `outliers.bins`, which is {bins}: not every mass can be among the worst"
        yield Fault(("outliers", "worst"), rule, "Write a smaller number, or more `bins`.")
    if written.get("probabilistic") is not None and section(written, "training").get("loss") == "nll":
        rule = "gives a variance to a network that has one already, since `training.loss` is nll"
        yield Fault(("probabilistic",), rule, "Write `probabilistic: null`, or `loss: mse`.", silent=True)


def _scaling(scaling: dict[str, Any], data: dict[str, Any]) -> Iterator[Fault]:
    if not scaling:
        return
    transform = data.get("transform", DataSpec().transform)
    if "transform" in scaling and scaling["transform"] != transform:
        yield Fault(("scaling", "transform"), f"must be `data.transform`, which is {transform}", _FIT_ANEW)
    shape, means = data.get("image_shape"), scaling.get("band_mean")
    wanted, whose = None, ""
    if isinstance(shape, list) and len(shape) == 3 and is_number(shape[2]):
        wanted, whose = shape[2], "one for each band of `data.image_shape`"
    elif isinstance(means, list):
        wanted, whose = len(means), "as many as `scaling.band_mean`"
    for key in ("band_mean", "band_sd"):
        values = scaling.get(key)
        if wanted is not None and isinstance(values, list) and len(values) != wanted:
            yield Fault(("scaling", key), f"must have {wanted} values, {whose}; it has {len(values)}", _FIT_ANEW)
    bands = scaling.get("band_sd")
    deviations: dict[Key, Any] = {("scaling", key): scaling.get(key) for key in ("log_mass_sd", "redshift_sd")}
    deviations |= {("scaling", "band_sd", i): sd for i, sd in enumerate(bands if isinstance(bands, list) else [])}
    for place, sd in deviations.items():
        if is_number(sd) and sd <= 0:
            yield Fault(place, "must be greater than 0: numbers are divided by it", _FIT_ANEW)
