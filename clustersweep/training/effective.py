"""Which keys do nothing beside the others of a combination, so that two combinations are one training. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

Specs = tuple[NetworkSpec, TrainingSpec]


@dataclass(frozen=True)
class _Rule:
    """When a key does nothing: what stands for all its values then, and why that is so."""

    key: str
    value: Any
    why: str
    holds: Callable[[NetworkSpec, TrainingSpec], bool]


_RULES = (
    _Rule("dropout", NetworkSpec().dropout, "dropout acts between dense layers, and there are fewer than two",
          lambda network, _: network.dense_layers < 2),
    _Rule("filters_step", NetworkSpec().filters_step, "filters_step acts from the second block on, and there is one",
          lambda network, _: network.conv_blocks == 1),
    _Rule("redshift", "head", "the redshift joins at one place, as there is no dense layer",
          lambda network, _: network.dense_layers == 0 and network.redshift != "none"),
    _Rule("padding", NetworkSpec().padding, "padding adds nothing to kernels of 1 x 1",
          lambda network, _: network.kernel_size == 1),
    _Rule("pooling", NetworkSpec().pooling, "pooling takes one pixel at a time",
          lambda network, _: network.pool_size == 1),
    # The first epoch is always the best so far, and what ends after the last one ends anyway. A million is the largest
    # number of epochs: the default would end longer trainings.
    _Rule("patience", 1_000_000, "patience never ends a training, as there are not more epochs",
          lambda _, training: training.patience >= training.epochs - 1),
)  # fmt: skip


def idle(network: NetworkSpec, training: TrainingSpec) -> Mapping[str, str]:
    """Return the keys whose value makes no difference here, each with why."""
    return {rule.key: rule.why for rule in _RULES if rule.holds(network, training)}


def effective(network: NetworkSpec, training: TrainingSpec) -> Specs:
    """Return the specs with every key that does nothing at one value; equal where trainings are, to the last bit.

    Never by comparing layers, which hold neither a rate nor a kind.
    """
    still = {rule.key: rule.value for rule in _RULES if rule.holds(network, training)}
    ours = {key: value for key, value in still.items() if hasattr(network, key)}
    others = {key: value for key, value in still.items() if key not in ours}
    return replace(network, **ours), replace(training, **others)


def why_same(one: Specs, other: Specs) -> str:
    """Say why two combinations that are effectively equal are."""
    pairs = list(zip(one, other, strict=True))
    differing = [key for a, b in pairs for key in vars(a) if getattr(a, key) != getattr(b, key)]
    reasons = {**idle(*one), **idle(*other)}
    return "; ".join(reasons[key] for key in differing)
