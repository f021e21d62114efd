"""What a network is trained on: images in their smallest type, labels, and the scaling. No TensorFlow here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from clustersweep.survey.dataset import Dataset
    from clustersweep.survey.split import Split

Transform = Literal["none", "sqrt", "log1p"]


@dataclass(frozen=True)
class Scaling:
    """How counts and masses become numbers of order one; fitted on the training part only.

    Attributes:
        transform: Applied to the counts first; the square root makes Poisson noise uniform.
        band_mean: Mean of the transformed counts of each band, shape `(band,)`.
        band_sd: Their standard deviation, shape `(band,)`.
        log_mass_mean: Mean of log10 M500c, dex.
        log_mass_sd: Its standard deviation, dex.
        redshift_mean: Mean redshift.
        redshift_sd: Its standard deviation.
    """

    transform: Transform
    band_mean: tuple[float, ...]
    band_sd: tuple[float, ...]
    log_mass_mean: float
    log_mass_sd: float
    redshift_mean: float
    redshift_sd: float


@dataclass(frozen=True)
class TrainingData:
    """The training and validation parts of a data set. The test part never comes here.

    Attributes:
        train_images: Counts, `(cluster, height, width, band)`.
        train_log_mass: log10 M500c in solar masses, `(cluster,)`, float64.
        train_redshift: `(cluster,)`, float64.
        validation_images: As `train_images`.
        validation_log_mass: As `train_log_mass`.
        validation_redshift: As `train_redshift`.
        scaling: Fitted on the training part.
    """

    train_images: NDArray[np.generic]
    train_log_mass: NDArray[np.float64]
    train_redshift: NDArray[np.float64]
    validation_images: NDArray[np.generic]
    validation_log_mass: NDArray[np.float64]
    validation_redshift: NDArray[np.float64]
    scaling: Scaling

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, band)`."""
        _, height, width, bands = self.train_images.shape
        return height, width, bands

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    @property
    def label_variance(self) -> float:
        """Mean squared error, dex^2, of predicting the training part's mean mass for the validation part."""
        return float(np.mean((self.validation_log_mass - self.scaling.log_mass_mean) ** 2))


def prepare(
    images: NDArray[np.generic],
    log_mass: NDArray[np.float64],
    redshift: NDArray[np.float64],
    *,
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    transform: Transform,
) -> TrainingData:
    """Cut out the training and validation parts and fit the scaling.

    Args:
        images: Counts, `(cluster, height, width, band)`.
        log_mass: log10 M500c in solar masses, `(cluster,)`.
        redshift: `(cluster,)`.
        train: Rows of the training part.
        validation: Rows of the validation part.
        transform: What is applied to the counts.
    """
    train_images = images[train]
    return TrainingData(
        train_images=train_images,
        train_log_mass=log_mass[train],
        train_redshift=redshift[train],
        validation_images=images[validation],
        validation_log_mass=log_mass[validation],
        validation_redshift=redshift[validation],
        scaling=fit_scaling(train_images, log_mass[train], redshift[train], transform),
    )


def parts_of(dataset: "Dataset", split: "Split", transform: Transform) -> TrainingData:
    """Cut the training and validation parts out of a data set, and fit the scaling."""
    return prepare(
        dataset.images,
        dataset.log_mass,
        dataset.redshift,
        train=split.train,
        validation=split.validation,
        transform=transform,
    )


def fit_scaling(
    images: NDArray[np.generic],
    log_mass: NDArray[np.float64],
    redshift: NDArray[np.float64],
    transform: Transform,
    *,
    chunk: int = 256,
) -> Scaling:
    """Fit the mean and the standard deviation of every band, the masses and the redshifts, in bounded memory."""
    bands = images.shape[-1]
    total, square, count = np.zeros(bands), np.zeros(bands), 0
    for start in range(0, len(images), chunk):
        values = transformed(images[start : start + chunk], transform).reshape(-1, bands).astype(np.float64)
        total += values.sum(axis=0)
        square += (values**2).sum(axis=0)
        count += len(values)
    mean = total / count
    sd = np.sqrt(np.maximum(square / count - mean**2, 0.0))
    known = redshift[np.isfinite(redshift)]  # a network that takes none is trained where some are missing, too
    return Scaling(
        transform=transform,
        band_mean=tuple(mean.tolist()),
        band_sd=tuple(np.where(sd > 0, sd, 1.0).tolist()),  # a band without any counts stays zero
        log_mass_mean=float(log_mass.mean()),
        log_mass_sd=float(log_mass.std()) or 1.0,
        redshift_mean=float(known.mean()) if known.size else 0.0,
        redshift_sd=(float(known.std()) or 1.0) if known.size else 1.0,
    )


def transformed(counts: NDArray[np.generic], transform: Transform) -> NDArray[np.float32]:
    """Apply the transform to counts, as float32."""
    values = counts.astype(np.float32)
    if transform == "sqrt":
        return np.sqrt(values)
    return np.log1p(values) if transform == "log1p" else values
