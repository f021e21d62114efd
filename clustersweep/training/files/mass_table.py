"""What the table of predicted masses says: its columns, its flags and its header. Predicts nothing, writes nothing."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clustersweep import __version__
from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import LARGEST_REDSHIFT
from clustersweep.survey.formats.fitstable import Column, Notes
from clustersweep.survey.observations import Observations
from clustersweep.training.evaluation.results import Floats
from clustersweep.training.files.known_clusters import PARTS, KnownClusters, Misnamed, misnamed
from clustersweep.training.files.trained_model import TrainedModel

if TYPE_CHECKING:  # which imports TensorFlow
    from clustersweep.training.ensemble import Prediction

Array = NDArray[Any]

_PART_NAMES = np.array([*PARTS, ""], "S")  # the last for NO_PART


class Flag(IntFlag):
    """What makes a prediction doubtful, one bit each."""

    REDSHIFT = 1
    COUNTS = 2
    NO_REDSHIFT = 4


OUTSIDE = Flag.REDSHIFT | Flag.COUNTS
"""Either says that a cluster lies outside what the model was trained on."""

KNOWN = ("NTRAIN", "NVALID", "NTEST")
"""Keywords of the header: how many rows are of each of `PARTS`."""


class MassTable:
    """The table of one model's predictions for some clusters.

    Args:
        model: The model.
        digest: Its digest.
        source: The clusters.
        known: The clusters that the model was made with, where it says which.

    Raises:
        DataError: What the images claim as their digest is none.
    """

    def __init__(
        self, model: TrainedModel, digest: str, source: Observations, known: KnownClusters | None = None
    ) -> None:
        # The header takes it down before the images, once read, have shown whether it is true.
        if source.digest is not None and re.fullmatch("[0-9a-f]{1,64}", str(source.digest)) is None:
            rule = "is no digest, which has 16 hexadecimal digits: the file was altered"
            remedy = "Copy the file again, or make it again with `clustersweep convert` or `simulate`."
            raise DataError([Problem(str(source.images), "digest", str(source.digest)[:40], rule, remedy)])
        self._model, self._digest, self._source, self._known = model, digest, source, known
        names = source.identifiers
        if names.dtype.kind == "u":
            names = names.astype(np.str_)  # too large for the table's whole numbers
        self._identifiers = np.char.encode(names, "utf-8") if names.dtype.kind == "U" else names
        self._date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._names: list[tuple[str, ...]] = []
        # Where the network takes no redshift, its range says nothing of its masses.
        takes = model.network.redshift != "none"
        self.flags = tuple(flag for flag in Flag if takes or flag != Flag.REDSHIFT)

    def columns(self) -> list[Column]:
        """List the columns, in their order."""
        number, own = np.dtype(np.float64), self._identifiers.dtype
        if own.kind != "S":
            own = number if own.kind == "f" else np.dtype(np.int64)
        columns = [Column("identifier", own, "", "of the catalogue, else of the images, else the row")]
        if self._source.redshift is not None:
            columns.append(Column("redshift", number, "", "of the catalogue; NaN for what is no redshift"))
        # The FITS standard has no unit for dex: readers would warn of one.
        for name, unit, description in (
            ("log_mass", "", "log10 of M500c in solar masses"),
            ("log_mass_sd", "", "dex, standard deviation of log_mass, recalibrated"),
            ("log_mass_sd_raw", "", "dex, the same before the recalibration"),
            ("log_mass_seed_sd", "", "dex, spread of log_mass over the seeds"),
            ("M500c", "solMass", "10^log_mass"),
            ("M500c_lower", "solMass", "10^(log_mass - log_mass_sd)"),
            ("M500c_upper", "solMass", "10^(log_mass + log_mass_sd): 68 % lie between"),
            ("counts", "ct" if self._model.is_counts else "", "sum of the image"),
        ):
            columns.append(Column(name, number, unit, description))
        if self._known is not None:
            said = "of the model's training that the cluster was in; empty: in none"
            columns.append(Column("part", _PART_NAMES.dtype, "", said))
        return [*columns, Column("flag", np.dtype(np.int32), "", "sum of flags (see COMMENT), 0 for none")]

    def redshift(self, rows: slice) -> Floats | None:
        """Return the redshifts of some clusters, `(cluster,)`, NaN for what is no redshift; None without a column."""
        if self._source.redshift is None:
            return None
        found = self._source.redshift[rows]
        return np.where((found > 0) & (found <= LARGEST_REDSHIFT), found, np.nan)

    def rows(self, rows: slice, images: Array, said: "Prediction") -> Mapping[str, Array]:
        """Return the columns of some clusters.

        Args:
            rows: Which.
            images: Their images, `(cluster, height, width, band)`, rebinned.
            said: What the networks say of them.
        """
        model, redshift = self._model, self.redshift(rows)
        counts = images.sum(axis=(1, 2, 3), dtype=np.float64)
        sd = said.sd * model.recalibration
        columns = {
            "log_mass": said.log_mass,
            "log_mass_sd": sd,
            "log_mass_sd_raw": said.sd,
            "log_mass_seed_sd": said.member_log_mass.std(axis=0),
            "M500c": 10**said.log_mass,
            "M500c_lower": 10 ** (said.log_mass - sd),
            "M500c_upper": 10 ** (said.log_mass + sd),
        }
        flag = np.zeros(len(counts), np.int32)
        flag[_outside(counts, model.counts_range)] |= Flag.COUNTS
        missing = np.ones(len(counts), np.bool_) if redshift is None else np.isnan(redshift)
        flag[missing] |= Flag.NO_REDSHIFT
        if redshift is not None:
            if Flag.REDSHIFT in self.flags:
                flag[_outside(redshift, model.redshift_range)] |= Flag.REDSHIFT
                columns = {name: np.where(missing, np.nan, column) for name, column in columns.items()}
            columns["redshift"] = redshift
        if self._known is not None:
            parts, names = self._known.recognised(images)
            columns["part"] = _PART_NAMES[parts]
            self._names += names
        return {"identifier": self._identifiers[rows], **columns, "counts": counts, "flag": flag}

    def misnamed(self) -> Misnamed | None:
        """Return which rows, once all were made, stand beside the image of another cluster; None where none do."""
        if not self._source.identifier:
            return None  # no catalogue names them
        return misnamed(self._names, [str(name) for name in self._source.identifiers.tolist()])

    def notes(self, flagged: int, flags: Mapping[Flag, int], parts: Mapping[str, int]) -> Notes:
        """Return the header's keywords, with the number of rows that have any flag, each flag, and of each part."""
        model = self._model
        network = " ".join(f"{key}={json.dumps(value)}" for key, value in asdict(model.network).items())
        notes: dict[str, tuple[str | int | float, str]] = {
            "ORIGIN": ("clustersweep predict", "what wrote this table"),
            "CREATOR": (f"clustersweep {__version__}", ""),
            "DATE": (self._date, "UTC"),
            "MODEL": (self._digest, "digest of the model"),
            "TRAINED": (model.provenance.get("data_digest", "unknown"), "digest of the training data"),
            "IMAGES": (self._source.digest or "unknown", "digest of the images"),
            "NETWORK": (network, ""),
            "SEEDS": (" ".join(map(str, model.seeds)), "one network each"),
            "RECALIB": (model.recalibration, "log_mass_sd / log_mass_sd_raw"),
            "ZMIN": (model.redshift_range[0], "lowest redshift of the training part"),
            "ZMAX": (model.redshift_range[1], "highest"),
            "CTSMIN": (model.counts_range[0], "lowest counts of the training part"),
            "CTSMAX": (model.counts_range[1], "highest"),
            "NFLAG": (flagged, "rows with any flag"),
        }
        if Flag.REDSHIFT not in self.flags:
            del notes["ZMIN"], notes["ZMAX"]
        notes |= {f"NFLAG{flag.value}": (flags[flag], f"rows with flag {flag.value}") for flag in self.flags}
        if self._known is not None:
            notes |= {key: (parts[part], f"rows of its {part} part") for key, part in zip(KNOWN, PARTS, strict=True)}
        return notes

    def comments(self) -> list[str]:
        """Say in words what the table holds."""
        flags = [f"flag {flag.value}: {flag_text(flag, self._model)}" for flag in self.flags]
        words = ["M500c: mass where the mean density is 500 times the critical density.", *flags]
        if self._known is not None:
            words.append("part: rows of train and validation had a say in the model; their masses look better than")
            words.append("those of clusters that it has not seen. Rows of test and without a part had none.")
        return words


def flag_text(flag: Flag, model: TrainedModel) -> str:
    """Say what a flag means for this model."""
    if flag == Flag.NO_REDSHIFT:
        takes = model.network.redshift != "none"
        return "no redshift" + (", hence no mass" if takes else "; the network needs none: the mass stands")
    what, limits = ("redshift", model.redshift_range) if flag == Flag.REDSHIFT else ("counts", model.counts_range)
    return f"{what} outside the training part's, {limits[0]:.6g} to {limits[1]:.6g}"


def _outside(values: Floats, limits: tuple[float, float]) -> NDArray[np.bool_]:
    """Tell which values lie outside; NaN does not."""
    return (values < limits[0]) | (values > limits[1])
