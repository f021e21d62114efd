"""A catalogue as `convert` writes it: masses in solar masses, and names that every verb knows."""

import logging
from dataclasses import replace

import numpy as np

from clustersweep.survey.catalogue import Catalogue, ColumnNames, identifiers, mass_and_redshift, unit_of
from clustersweep.survey.mass_unit import MassUnit
from clustersweep.survey.names import IDENTIFIERS, PAIRS

log = logging.getLogger(__name__)


def standard(catalogue: Catalogue, choice: ColumnNames) -> Catalogue:
    """Return a catalogue with masses in solar masses, and columns under names that every verb knows.

    What has a known pair of names and the usual unit stays as it is. A column that is in the way gets `_before`.
    """
    mass_name, redshift_name = mass_and_redshift(catalogue, choice, needs_redshift=False)
    unit = unit_of(catalogue, choice, mass_name)
    identifier, _ = identifiers(catalogue, choice, any_case=True)
    names: dict[str, str] = {}
    if (mass_name, redshift_name) not in PAIRS or unit != MassUnit() or mass_and_redshift(catalogue, ColumnNames()) != (
        mass_name, redshift_name,
    ):  # fmt: skip
        names = {mass_name: PAIRS[0][0]} | ({redshift_name: PAIRS[0][1]} if redshift_name else {})
    if identifier and identifier != next((name for name in IDENTIFIERS if name in catalogue.columns), ""):
        names[identifier] = IDENTIFIERS[0]
    moved = {new: f"{new}_before" for old, new in names.items() if new != old and new in catalogue.columns}
    names = {**{old: new for old, new in moved.items() if old not in names}, **names}
    columns, units, descriptions = {}, {}, {}
    for name, column in catalogue.columns.items():
        new = names.get(name, name)
        columns[new] = column
        units[new], descriptions[new] = catalogue.units.get(name, ""), catalogue.descriptions.get(name, "")
        if new != name:
            descriptions[new] = f"{name} of {catalogue.where}"[:60]
        if name == mass_name and unit != MassUnit():
            columns[new] = 10 ** unit.log_mass(column.astype(np.float64)) if unit.logarithmic else column * unit.factor
        if name == mass_name:
            units[new] = "solMass" if unit != MassUnit() or choice.mass_unit or new != name else units[new]
    changed = {old: new for old, new in names.items() if old != new}
    if changed:
        log.info("%s: renamed %s", catalogue.where, ", ".join(f"{old} to {new}" for old, new in changed.items()))
    return replace(catalogue, columns=columns, units=units, descriptions=descriptions)
