"""What the keys mean that studies and training configurations share. Reads no file.

A new field of a spec needs its line here, or a test fails; editors and messages show it.
"""

from collections.abc import Mapping

SHARED_KEYS: Mapping[str, str] = {
    "data": "Where the clusters come from: exactly one of `simulate` and `images`.",
    "data.simulate": "Simulate a survey.",
    "data.simulate.clusters": "Number of clusters.",
    "data.simulate.seed": "Cluster i of a seed is always the same.",
    "data.simulate.pixels": "Width and height of the images, in pixels.",
    "data.images": "File with the images, or a survey's folder; relative to the folder of this file.",
    "data.catalogue": "File with the masses and redshifts; relative to the folder of this file.",
    "data.mass": "The catalogue's column of masses, where its name is not a known one.",
    "data.redshift": "The catalogue's column of redshifts, where its name is not a known one.",
    "data.identifier": "The catalogue's column of identifiers, where its name is not a known one.",
    "data.mass_unit": "Unit of the masses where the file does not say: solMass, 1e14 solMass, dex(solMass) for log10.",
    "data.rebin": "Add up squares of so many pixels: 2 makes 25 x 25 pixels of 50 x 50.",
    "data.transform": "What is done to the counts before the network sees them.",
    "split": "How the clusters are divided into training, validation and test.",
    "split.test": "Share of all clusters that is kept for the final test.",
    "split.validation": "Share of what the test part leaves, used to choose between networks.",
    "split.seed": "Seed of the shuffling.",
    "split.by": "What stays in one part: each cluster, or all rows with one identifier.",
    "network": "The architecture.",
    "network.filters": "Number of filters of the first block.",
    "network.kernel_size": "Width and height of the kernels, in pixels.",
    "network.conv_blocks": "Number of blocks; each ends with a pooling.",
    "network.dense_layers": "Number of dense layers: the first of `dense_units`.",
    "network.filters_step": "Each further block has so many more filters.",
    "network.convs_per_block": "Number of convolutions before each pooling.",
    "network.padding": "valid: convolutions shrink the image; same: they do not.",
    "network.stride": "Step of every convolution, in pixels.",
    "network.pool_size": "Width and height of the pooling windows, in pixels.",
    "network.pooling": "What a pooling keeps of its window.",
    "network.activation": "The function after each convolution and dense layer.",
    "network.dropout": "Share of units silenced at random between dense layers while training.",
    "network.dense_units": "Units of the dense layers, first to last.",
    "network.redshift": "Whether the redshift is an input too: head: joined before the output; "
    "dense: before the dense layers.",
    "training": "How each network is trained.",
    "training.epochs": "Most epochs of a training.",
    "training.patience": "Stop when the validation loss has not improved for so many epochs.",
    "training.batch_size": "Clusters in one step of the optimizer.",
    "training.optimizer": "Which optimizer.",
    "training.learning_rate": "Step size of the optimizer.",
    "training.weight_decay": "Decay of the weights, decoupled from the gradient.",
    "training.augmentation": "Random views of the training images: flip_rotate: mirrored left and right, turned by up "
    "to 36 degrees; dihedral: one of the eight symmetries of the square.",
    "training.loss": "What is minimised: mse: the squared error; nll: a Gaussian likelihood with a variance "
    "for each cluster.",
    "training.precision": "How GPUs multiply: float32; tf32: rounded to 10 bits, faster and less exact. CPUs: float32.",
}
