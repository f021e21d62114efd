"""Ray Tune with trials that do nothing, or that only import TensorFlow; prints the seconds as JSON."""

import json
import sys
import tempfile
import time

from ray import tune


def nothing(config):
    """Train nothing."""
    return {"val_loss": 1.0}


def import_only(config):
    """Import what any training of a network must, and train nothing."""
    import keras  # noqa: F401

    return {"val_loss": 1.0}


def main():
    """Run `trials` trials of `kind`."""
    trials, kind = int(sys.argv[1]), sys.argv[2]
    trainable = {"nothing": nothing, "import": import_only}[kind]
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(metric="val_loss", mode="min"),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        seconds = time.monotonic() - start
    if results.errors or len(results) != trials:
        raise SystemExit(f"{len(results)} of {trials} trials, {len(results.errors)} failed")
    print(json.dumps({"trials": trials, "seconds": seconds}))


if __name__ == "__main__":
    main()
