"""How long workers on Ray are waited for: passed in, so that tests have theirs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RayTimings:
    """Seconds of workers on Ray.

    Attributes:
        start_s: A worker may take so long to start where it has room; if none has until then, that is an error.
        tell_after_s: Workers that find no room say so after this.
        look_every_s: The cluster is looked at so often: machines may join it and leave it.
        head_patience_s: So long its head may be gone; after a minute Ray would end this process without a word.
        answer_s: A node that does not answer so long is not counted on.
        count_gpus_s: So long TensorFlow may take to say on a node how many GPUs it sees: most of it is its import,
            from whatever disk.
    """

    start_s: float = 60.0
    tell_after_s: float = 10.0
    look_every_s: float = 5.0
    head_patience_s: float = 20.0
    answer_s: float = 30.0
    count_gpus_s: float = 60.0
