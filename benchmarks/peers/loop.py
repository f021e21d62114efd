"""A plain Keras loop over the grid: one process, all cores, `model.fit`."""

import itertools

import keras
from network import arguments, build_model, read_data, write_answer

work, data, answer = arguments()
train, validation, dex = read_data(data)
losses = []
for values in itertools.product(*work["axes"].values()):
    params = dict(zip(work["axes"], values, strict=True))
    for seed in work["seeds"]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model = build_model(work, **params)
        history = model.fit(*train, batch_size=work["batch_size"], epochs=work["epochs"], validation_data=validation,
                            verbose=0)  # fmt: skip
        losses.append({**params, "seed": seed, "val_loss": min(history.history["val_loss"]) * dex**2})
write_answer(answer, losses)
