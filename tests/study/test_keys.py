"""Which keys may be axes, and of what kind each is: by its key, else by its values."""

from clustersweep.masses.task import ClusterMasses
from clustersweep.study.keys import axis_of

AXES = ClusterMasses.axes


def test_axes_have_the_kind_of_their_key_not_of_the_listed_values():
    assert [AXES[name].kind for name in ("filters", "learning_rate", "padding")] == [
        "integer",
        "number",
        "choice",
    ]
    assert AXES["optimizer"].choices == ("adam", "sgd", "rmsprop")
    assert AXES["filters"].choices == ()


def test_values_say_of_what_kind_an_axis_is():
    kinds = [axis_of(values).kind for values in ((1, 2), (1, 2.5), ("a", "b"), (True, False), (1.0,))]
    assert kinds == ["integer", "number", "choice", "choice", "number"]
