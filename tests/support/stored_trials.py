"""Trials of the small study as they are stored, and where."""

from clustersweep.study.results import CompleteReplicate


def url_of(server, name):
    return server.url_with(database=name).replace("postgresql://", "postgresql+psycopg2://", 1)


def replicate(seed, value=0.1):
    return CompleteReplicate(seed, value, 2, 2, 1.5, "host:1", ((0.3, 0.2), (0.2, value)))


def complete(storage, opened, *, seeds=(0, 1), value=0.1):
    storage.start(opened)
    for seed in seeds:
        if seed not in opened.done:
            storage.record_replicate(opened, replicate(seed, value + seed / 100))
    storage.finish(opened, value, curve={1: 0.5, 2: value})
