"""Optuna's own ask-and-tell loop on a database, with trials that do nothing; prints the seconds of each as JSON."""

import json
import os
import sys
import time

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
trials = int(sys.argv[1])
study = optuna.create_study(storage=os.environ["BENCHMARK_DATABASE"], sampler=optuna.samplers.RandomSampler(seed=0))
seconds = []
for _ in range(trials):
    start = time.monotonic()
    trial = study.ask()
    for name in ("filters", "kernel_size", "conv_blocks", "dense_layers"):
        trial.suggest_int(name, 1, 10)
    for epoch in (1, 2, 3):
        trial.report(1.0 / epoch, epoch)
    for name in ("parameters", "seed:0", "curve:0"):
        trial.set_user_attr(name, [1.0, 0.5, 0.3])
    study.tell(trial, 1.0)
    seconds.append(time.monotonic() - start)
print(json.dumps(seconds))
