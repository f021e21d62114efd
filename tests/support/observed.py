"""Images whose masses are to be predicted, as a survey's files, and what opens them."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather
from small_model import BANDS

from clustersweep.errors import DataError
from clustersweep.survey import dataset as dataset_module
from clustersweep.survey.catalogue import Catalogue, ColumnNames
from clustersweep.survey.dataset import Dataset
from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.formats import npz as npzfile
from clustersweep.survey.observations import open_observations

CLUSTERS = 300  # more than a batch


def counts(clusters=CLUSTERS, pixels=12):
    rng = np.random.default_rng(2)
    return rng.poisson(rng.uniform(0.5, 4.0, clusters)[:, None, None, None], (clusters, pixels, pixels, 3)).astype("u1")


def columns(clusters=CLUSTERS):
    rng = np.random.default_rng(3)
    return {
        "SRC_ID_IN": rng.permutation(clusters) + 1000,
        "z": rng.uniform(0.1, 0.8, clusters),
        "kT": rng.uniform(1, 9, clusters),
    }


def write_fits(folder, images, table, bands=BANDS):
    """Write a survey's folder as `simulate` does."""
    folder.mkdir(exist_ok=True)
    identifiers = table.get("SRC_ID_IN", np.arange(len(images)))
    to_write = fitsfile.ImagesToWrite([images], images.shape, images.dtype, bands, identifiers, {})
    fitsfile.write_images(folder / "images.fits", to_write)
    fitsfile.write_catalogue(folder / "catalogue.fits", Catalogue("here", table))
    return folder


def write_npz(path, images, table, bands=BANDS):
    content = Dataset(images, np.empty(0), np.empty(0), table["SRC_ID_IN"], bands, "")
    npzfile.write(path, content, Catalogue("here", table))
    return path


def write_pickle(folder, images, table):
    content = {"cluster": table["SRC_ID_IN"].tolist(), "gsm_3dImgs": list(images.astype(np.float64))}
    (folder / "i.pickle").write_bytes(pickle.dumps(content))
    feather.write_feather(pa.table(table), folder / "c.f")
    return folder / "i.pickle", folder / "c.f"


def opened(images, catalogue=None, *, needs_redshift=True, **choice):
    return open_observations(images, catalogue, ColumnNames(**choice), needs_redshift=needs_redshift)


def refused(match, do, *arguments, **options):
    with pytest.raises(DataError, match=match) as info:
        do(*arguments, **options)
    assert info.value.exit_code == 2
    return str(info.value)


def in_pieces_of(monkeypatch, clusters, pixels=12 * 12 * 3):
    monkeypatch.setattr(dataset_module, "CHUNK_BYTES", clusters * pixels * 8)


def whole(model, images, redshift):
    from clustersweep.training.ensemble import Ensemble

    constant = model.constant_sd
    ensemble = Ensemble(
        model.network, model.scaling, model.image_shape, model.members, outputs=model.outputs, constant_sd=constant
    )
    return ensemble(images, redshift)
