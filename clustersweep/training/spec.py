"""How a network is trained. Plain values; no TensorFlow here, so that `plan` can read it in a blink."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """The training of one replicate.

    `patience`: stop when the validation loss has not improved for so many epochs; the best weights are kept.
    `weight_decay` is decoupled from the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101).
    """

    epochs: Annotated[int, Ge(1), Le(1_000_000)] = 300
    patience: Annotated[int, Ge(1), Le(1_000_000)] = 30
    batch_size: Annotated[int, Ge(1), Le(1_000_000)] = 64
    optimizer: Literal["adam", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Gt(0), Le(1000)] = 1.0e-3
    weight_decay: Annotated[float, Ge(0), Le(1)] = 0.0
