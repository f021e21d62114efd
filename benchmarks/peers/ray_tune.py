"""Ray Tune's grid search over the grid and the seeds, one CPU a trial, as its guide for Keras writes it."""

import tempfile

from network import arguments, build_model, read_data, write_answer
from ray import tune


def train_network(config, work, train, validation):
    """Train one network of the grid."""
    import keras
    from ray.tune.integration.keras import TuneReportCheckpointCallback

    keras.utils.set_random_seed(config["seed"])
    model = build_model(work, **{name: config[name] for name in work["axes"]})
    model.fit(
        *train,
        batch_size=work["batch_size"],
        epochs=work["epochs"],
        validation_data=validation,
        verbose=0,
        callbacks=[TuneReportCheckpointCallback(checkpoint_on=[], metrics=["val_loss"])],
    )


def main():
    """Search, and write the answer."""
    work, data, answer = arguments()
    train, validation, dex = read_data(data)
    with tempfile.TemporaryDirectory() as folder:
        trainable = tune.with_parameters(train_network, work=work, train=train, validation=validation)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={
                **{name: tune.grid_search(values) for name, values in work["axes"].items()},
                "seed": tune.grid_search(work["seeds"]),
            },
            tune_config=tune.TuneConfig(metric="val_loss", mode="min"),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
    if results.errors:
        raise SystemExit(str(results.errors[0]))
    write_answer(
        answer,
        [
            {**result.config, "val_loss": float(result.metrics_dataframe["val_loss"].min()) * dex**2}
            for result in results
        ],
    )


if __name__ == "__main__":
    main()
