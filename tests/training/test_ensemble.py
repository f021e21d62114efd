"""Masses of several networks: the mixture of what each says, whatever the number of clusters."""

import dataclasses

import numpy as np
import pytest

integration = pytest.mark.integration
CLUSTERS = 300  # more than a batch


@pytest.fixture
def observed():
    rng = np.random.default_rng(6)
    return rng.poisson(2.0, (CLUSTERS, 12, 12, 3)).astype(np.uint8), rng.uniform(0.1, 0.8, CLUSTERS)


def ensemble_of(model):
    from clustersweep.training.ensemble import Ensemble

    return Ensemble.of(model)


@integration
def test_the_mixture_has_the_mean_of_the_means_and_both_kinds_of_variance(trained, observed):
    model = trained()
    said = ensemble_of(model)(*observed)
    assert said.member_log_mass.shape == said.member_sd.shape == (2, CLUSTERS)
    assert said.log_mass == pytest.approx(said.member_log_mass.sum(axis=0) / 2)
    between = (said.member_log_mass[0] - said.member_log_mass[1]) ** 2 / 4
    assert (between > 0).all()
    assert said.sd**2 == pytest.approx((said.member_sd**2).sum(axis=0) / 2 + between)


@integration
def test_each_network_says_in_company_what_it_says_alone(trained, observed):
    model = trained()
    together = ensemble_of(model)(*observed)
    for number, weights in enumerate(model.members):
        alone = ensemble_of(dataclasses.replace(model, members=(weights,), seeds=(0,)))(*observed)
        assert np.array_equal(alone.log_mass, together.member_log_mass[number])
        assert np.array_equal(alone.sd, together.member_sd[number])


@integration
def test_a_cluster_has_the_same_mass_wherever_it_stands_among_others(trained, observed):
    ensemble, (images, redshift) = ensemble_of(trained()), observed
    whole = ensemble(images, redshift).log_mass
    assert ensemble(images[::-1], redshift[::-1]).log_mass[::-1] == pytest.approx(whole, abs=1e-5)
    assert ensemble(images[290:], redshift[290:]).log_mass == pytest.approx(whole[290:], abs=1e-5)


@integration
def test_networks_without_a_variance_have_that_of_their_validation_error(trained, observed):
    said = ensemble_of(trained(outputs=1, constant_sd=(0.2, 0.3)))(*observed)
    assert said.member_sd.tolist() == [[0.2] * CLUSTERS, [0.3] * CLUSTERS]
    assert said.sd**2 == pytest.approx((0.04 + 0.09) / 2 + said.member_log_mass.var(axis=0))


@integration
def test_masses_are_in_the_units_of_the_training_part(trained, observed):
    model = trained()
    wider = dataclasses.replace(model.scaling, log_mass_mean=15.0, log_mass_sd=2 * model.scaling.log_mass_sd)
    one, other = ensemble_of(model)(*observed), ensemble_of(dataclasses.replace(model, scaling=wider))(*observed)
    assert other.log_mass - 15.0 == pytest.approx(2 * (one.log_mass - model.scaling.log_mass_mean))
    assert other.sd == pytest.approx(2 * one.sd)
