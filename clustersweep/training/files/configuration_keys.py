"""The keys of a training configuration: what each means. Reads no file.

A new field of a spec needs its line here or in `training.keys`, or a test fails; editors and messages show it.
"""

from collections.abc import Mapping

from clustersweep.settings.vocabulary import Vocabulary
from clustersweep.training.keys import SHARED_KEYS

FORMAT, VERSION = "clustersweep-training", 1

KEYS: Mapping[str, str] = {
    "format": f"What this file is: {FORMAT}.",
    "version": f"Version of the format: {VERSION}.",
    **SHARED_KEYS,
    "training": "How it is trained, first of all.",
    "outliers": "Then retraining on the masses where it errs most; null: left out, {}: with the defaults.",
    "outliers.bins": "The validation clusters are cut into so many bins of mass, equally full.",
    "outliers.worst": "So many bins, those with the largest mean squared error, are the outlier regions.",
    "outliers.weight": "Training clusters in the outlier regions count so many times as much as the others.",
    "outliers.epochs": "Most epochs of this stage.",
    "outliers.patience": "Stop when the validation loss has not improved for so many epochs.",
    "outliers.learning_rate": "Step size of the optimizer in this stage.",
    "probabilistic": "Then a variance for every mass, by likelihood; null: left out, {}: with the defaults.",
    "probabilistic.epochs": "Most epochs of this stage, in which the last dense layer and the output learn.",
    "probabilistic.patience": "Stop when the validation likelihood has not improved for so many epochs.",
    "probabilistic.learning_rate": "Step size of the optimizer in this stage.",
    "probabilistic.fine_tune_epochs": "Most epochs in which the whole network learns after that; 0: none.",
    "probabilistic.fine_tune_learning_rate": "Step size of the optimizer in those.",
    "data.digest": "Digest of the data that the exporter saw; others are refused.",
    "data.image_shape": "Height, width and bands of the images that the exporter saw, rebinned.",
    "scaling": "Fitted by the exporter on the training part, and compared; null: fitted anew.",
    "scaling.transform": "What is done to the counts first; as `data.transform`.",
    "scaling.band_mean": "Mean of the transformed counts of each band.",
    "scaling.band_sd": "Standard deviation of the transformed counts of each band.",
    "scaling.log_mass_mean": "Mean of log10 M500c in solar masses, dex.",
    "scaling.log_mass_sd": "Standard deviation of log10 M500c, dex.",
    "scaling.redshift_mean": "Mean redshift.",
    "scaling.redshift_sd": "Standard deviation of the redshift.",
    "seeds": "One network is trained with each of these; together they are the ensemble.",
    "evidence": "Why this network: the sweep's results; training does not read it.",
    "evidence.study": "Name of the study.",
    "evidence.study_digest": "Digest of the study's definition.",
    "evidence.trial": "Number of the trial in the study.",
    "evidence.params": "Its point of the search space.",
    "evidence.rank": "Its rank; the best is 1.",
    "evidence.of": "Number of complete trials.",
    "evidence.objective": "What they are ranked by.",
    "evidence.value": "The objective of this trial, dex^2.",
    "evidence.seeds": "Validation loss of each seed, dex^2; null where there is none.",
    "evidence.weights_of_seed": "The seed whose weights were exported.",
    "evidence.margin": "Trials closer than this cannot be told apart, dex^2; null with one seed.",
    "evidence.ties": "Trials that the noise of the seeds cannot tell from this one, one of each network, best first.",
    "evidence.same_network": "Trials that are this very network, as their axes change nothing; left out for none.",
    "evidence.ties.trial": "Number of the trial.",
    "evidence.ties.value": "Its objective, dex^2.",
    "evidence.failed_seeds": "Replicates that failed; their trials were not ranked. At most 50.",
    "evidence.failed_seeds.trial": "Number of the trial.",
    "evidence.failed_seeds.seed": "The seed that failed.",
    "evidence.failed_seeds.reason": "Short name of the cause.",
}

WORDS = Vocabulary(file="a training configuration", begin=f"Begin with `format: {FORMAT}`.", keys=KEYS)
