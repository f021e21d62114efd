"""Trials through Optuna's public interface: trial by trial and value by value, whatever its tables are like."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from clustersweep.storage.records import TrialUpdate


class PublicAccess:
    """See `access.Access`. What is killed in the midst leaves a part, with which the next launch goes on."""

    def __init__(self, backend: BaseStorage) -> None:
        self._backend = backend

    def add_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """See `Access`."""
        identities = [self._backend.create_new_trial(study_id, trial) for trial in trials]
        return [(trial_id, self._backend.get_trial_number_from_id(trial_id)) for trial_id in identities]

    def update_trial(self, trial_id: int, update: TrialUpdate) -> None:
        """See `Access`. Attributes that the dashboard shows say that a replicate has ended: written after its curve."""
        try:
            for step, loss in update.curve.items():
                self._backend.set_trial_intermediate_value(trial_id, step, loss)
            for name, content in update.system_attributes.items():
                self._backend.set_trial_system_attr(trial_id, name, content)
            for name, content in update.user_attributes.items():
                self._backend.set_trial_user_attr(trial_id, name, content)
            if update.state is not None:
                values = None if update.value is None else [update.value]
                self._backend.set_trial_state_values(trial_id, update.state, values)
        except optuna.exceptions.UpdateFinishedTrialError:
            # A connection that was lost as it committed: the caller could not know that it had.
            stored = self._backend.get_trial(trial_id)
            if update.state is None or (stored.state, stored.value) != (update.state, update.value):
                raise

    def read_trials(self, study_id: int) -> list[FrozenTrial]:
        """See `Access`."""
        return sorted(self._backend.get_all_trials(study_id, deepcopy=False), key=lambda trial: trial.number)

    def set_study_system_attributes(self, study_id: int, attributes: Mapping[str, Any]) -> None:
        """See `Access`."""
        for name, content in attributes.items():
            self._backend.set_study_system_attr(study_id, name, content)

    def remove_study(self, study_id: int) -> None:
        """See `Access`. Optuna reads every row first: 11 s for 1,000 trials."""
        self._backend.delete_study(study_id)
