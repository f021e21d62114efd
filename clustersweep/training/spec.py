"""How a network is trained. Plain values; no TensorFlow here, so that `plan` can read it in a blink."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """The training of one replicate.

    `patience`: stop when the validation loss has not improved for so many epochs; the best weights are kept.
    `weight_decay` is decoupled from the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101).
    `augmentation`: `flip_rotate` mirrors left and right and turns by up to a tenth of a full turn; `dihedral` takes
    one of the eight symmetries of the square. `loss: nll` is the Gaussian negative log-likelihood, with a mean and
    a variance for each cluster; the best epoch is then that with the lowest `val_nll`. `precision` is of GPUs only:
    `tf32` lets their products of matrices round to 10 bits, faster where the GPU can.
    """

    epochs: Annotated[int, Ge(1), Le(1_000_000)] = 300
    patience: Annotated[int, Ge(1), Le(1_000_000)] = 30
    batch_size: Annotated[int, Ge(1), Le(1_000_000)] = 64
    optimizer: Literal["adam", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Gt(0), Le(1000)] = 1.0e-3
    weight_decay: Annotated[float, Ge(0), Le(1)] = 0.0
    augmentation: Literal["none", "flip_rotate", "dihedral"] = "none"
    loss: Literal["mse", "nll"] = "mse"
    precision: Literal["float32", "tf32"] = "float32"

    @property
    def outputs(self) -> Literal[1, 2]:
        """Units of the network's last layer: the mean, and with a likelihood also the variance."""
        return 2 if self.loss == "nll" else 1


@dataclass(frozen=True, kw_only=True)
class OutliersSpec:
    """Retraining on the masses where the network errs most, from its best weights.

    The validation clusters are cut into `bins` of mass with equally many clusters; the `worst` bins with the
    largest mean squared error are the outlier regions. Training clusters whose mass lies in them count `weight`
    times as much as the others. The result is kept only if the validation loss improves.
    """

    bins: Annotated[int, Ge(2), Le(1000)] = 10
    worst: Annotated[int, Ge(1), Le(1000)] = 2
    weight: Annotated[float, Gt(0), Le(1000)] = 3.0
    epochs: Annotated[int, Ge(1), Le(1_000_000)] = 50
    patience: Annotated[int, Ge(1), Le(1_000_000)] = 10
    learning_rate: Annotated[float, Gt(0), Le(1000)] = 1.0e-4


@dataclass(frozen=True, kw_only=True)
class ProbabilisticSpec:
    """A variance for every mass: the output becomes a mean and a variance, trained with the Gaussian likelihood.

    First only the last hidden dense layer and the output learn, with `learning_rate`; then, where
    `fine_tune_epochs` is not 0, the whole network with `fine_tune_learning_rate`, kept if `val_nll` improves.
    """

    epochs: Annotated[int, Ge(1), Le(1_000_000)] = 100
    patience: Annotated[int, Ge(1), Le(1_000_000)] = 15
    learning_rate: Annotated[float, Gt(0), Le(1000)] = 1.0e-3
    fine_tune_epochs: Annotated[int, Ge(0), Le(1_000_000)] = 0
    fine_tune_learning_rate: Annotated[float, Gt(0), Le(1000)] = 1.0e-5
