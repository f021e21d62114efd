"""KerasTuner's GridSearch over the grid, several executions a trial, as its guide writes it."""

import tempfile

import keras_tuner
from network import arguments, build_model, read_data, write_answer

work, data, answer = arguments()
train, validation, dex = read_data(data)


def build(hp):
    """Build one network of the grid."""
    return build_model(work, **{name: hp.Choice(name, values) for name, values in work["axes"].items()})


with tempfile.TemporaryDirectory() as folder:
    tuner = keras_tuner.GridSearch(
        build,
        objective="val_loss",
        executions_per_trial=len(work["seeds"]),
        directory=folder,
        project_name="sweep",
        seed=0,
    )
    tuner.search(*train, batch_size=work["batch_size"], epochs=work["epochs"], validation_data=validation, verbose=0)
    # It keeps the mean over the executions and throws the executions away.
    losses = [
        {**trial.hyperparameters.values, "seed": None, "val_loss": trial.score * dex**2}
        for trial in tuner.oracle.trials.values()
    ]
write_answer(answer, losses)
