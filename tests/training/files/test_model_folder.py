"""The model folder: whole, it comes back as it was; altered in any way, it is refused and nothing in it runs."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_model import NETWORK, drawn_weights, small_model

from clustersweep.errors import ModelError, StorageError
from clustersweep.training.files.model_folder import read_model, write_model
from clustersweep.training.files.trained_model import TrainedModel


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.yaml").write_text("network: {}\n")
    write_model(small_model(), tmp_path / "model", ["config.yaml", "not-there.html"])
    return tmp_path / "model"


def refused(folder, match):
    with pytest.raises(ModelError, match=match) as info:
        read_model(folder)
    assert info.value.exit_code == 2
    return str(info.value)


def edit(folder, *, digest=True, **changes):
    """Change the manifest; with `digest`, as somebody would who knows how to make it consistent again."""
    path = folder / "model.json"
    content = json.loads(path.read_text()) | changes
    content = {name: value for name, value in content.items() if value is not None}
    if digest:
        del content["digest"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        content["digest"] = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    path.write_text(json.dumps(content))


def replace_weights(folder, data, seed=0):
    """Put other bytes in the place of weights, and vouch for them."""
    name = f"weights/seed-{seed}.npz"
    (folder / name).write_bytes(data)
    files = json.loads((folder / "model.json").read_text())["files"]
    edit(folder, files=files | {name: hashlib.sha256(data).hexdigest()})


def npz(path, arrays):
    np.savez(path, **{f"weights_{number}": array for number, array in enumerate(arrays)})
    return path.read_bytes()


def same(one: TrainedModel, other: TrainedModel):
    assert replace(one, members=()) == replace(other, members=())
    for a, b in zip(one.members, other.members, strict=True):
        assert all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


# --- what is written comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"outputs": 1, "constant_sd": (0.2, 1 / 3)},
        {"network": replace(NETWORK, redshift="dense", convs_per_block=2, padding="same", stride=2)},
        {"network": replace(NETWORK, redshift="none", dense_layers=0), "bands_kev": (), "is_counts": False},
        {"seeds": (5,), "rebin": 2, "recalibration": 0.1 + 0.2},
    ],
)
def test_a_model_is_read_back_as_it_was_written(tmp_path, changes):
    model = small_model(**changes)
    digest = write_model(model, tmp_path / "new" / "model")
    again, same_digest = read_model(tmp_path / "new" / "model")
    same(again, model)
    assert digest == same_digest
    assert len(digest) == 16


def test_the_digest_stands_for_the_model_and_not_for_its_place(tmp_path):
    model = small_model()
    first, second = (write_model(model, tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert write_model(replace(model, recalibration=1.3), tmp_path / "a") != first
    weights = [drawn_weights(model, 1), model.members[1]]
    assert write_model(replace(model, members=tuple(weights)), tmp_path / "a") != first


def test_writing_again_leaves_no_mixture_behind(folder):
    other = small_model(seeds=(0,), recalibration=2.0)
    write_model(other, folder)
    same(read_model(folder)[0], other)


def test_writing_that_fails_half_way_leaves_no_model_rather_than_a_mixture(folder):
    (folder / "weights" / "seed-9.npz").mkdir()
    with pytest.raises(StorageError, match="seed-9.npz: the weights of .* bytes cannot be written"):
        write_model(small_model(seeds=(0, 9)), folder)
    refused(folder, "holds no model.json: its training has not finished")


def test_a_model_that_contradicts_itself_is_not_written(tmp_path):
    good = small_model()
    for model, match in (
        (replace(good, members=good.members[:1]), "seeds: must be as many as there are networks, 1"),
        (replace(good, network=replace(NETWORK, filters=4)), r"weights of seed 0: do not fit .* array 0 is \(3, 3, 3"),
        (replace(good, members=(good.members[0][:-1], good.members[1])), "they are 5 arrays, and the network has 6"),
        (replace(good, outputs=1, members=small_model(outputs=1, constant_sd=(1.0, 1.0)).members), "constant_sd: must"),
        (replace(good, members=([a * np.nan for a in good.members[0]], good.members[1])), "are not all finite"),
        (replace(good, members=([a * 1.0 for a in drawn_weights(good, 0)],) * 2), ""),
    ):
        if match:
            with pytest.raises(ValueError, match=match):
                write_model(model, tmp_path / "model")
            assert not (tmp_path / "model").exists()
    wide = replace(good, members=([a.astype(np.float64) for a in good.members[0]], good.members[1]))
    with pytest.raises(ValueError, match="must be float32"):
        write_model(wide, tmp_path / "model")


# --- folders that are no model's ----------------------------------------------------------------------------


def test_a_folder_that_is_none_says_so(tmp_path):
    refused(tmp_path / "none", "none: there is no such folder. Give the folder that `clustersweep train --to` wrote")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "file: is a file, and the folder of a model is expected")
    refused(tmp_path, r"holds no model\.json\. Give the folder that `clustersweep train --to` wrote")


def test_what_export_wrote_is_told_from_an_unfinished_training(tmp_path):
    (tmp_path / "config.yaml").write_text("x")
    message = refused(tmp_path, "holds no model.json: its training has not finished")
    assert "Run `clustersweep train` again: it goes on." in message
    (tmp_path / "provenance.json").write_text("{}")
    message = refused(tmp_path, "it is what `clustersweep export` wrote")
    assert f"Train first: clustersweep train {tmp_path / 'config.yaml'} --to model/" in message


# --- missing and altered ------------------------------------------------------------------------------------


def test_every_missing_and_altered_file_is_named_at_once(folder):
    (folder / "weights" / "seed-7.npz").unlink()
    (folder / "config.yaml").write_text("network: {filters: 99}\n")
    message = refused(folder, "weights/seed-7.npz: is missing from the model's folder. Copy the folder again")
    assert "config.yaml: was altered: its digest is not the one in the manifest" in message


@pytest.mark.parametrize("where", [0, 100, -10])
def test_altered_weights_are_noticed_wherever_the_byte_is(folder, where):
    path = folder / "weights" / "seed-0.npz"
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    refused(folder, "seed-0.npz: was altered: its digest is not the one in the manifest. Copy the folder again")
    path.write_bytes(bytes(data[:-50]))
    refused(folder, "seed-0.npz: was altered")


def test_weights_that_changed_places_are_noticed(folder):
    one, other = folder / "weights" / "seed-0.npz", folder / "weights" / "seed-7.npz"
    shutil.move(one, folder / "aside")
    shutil.move(other, one)
    shutil.move(folder / "aside", other)
    message = refused(folder, "seed-0.npz: was altered")
    assert "seed-7.npz: was altered" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recalibration", 1.0),
        ("rebin", 2),
        ("redshift_range", [0.1, 0.9]),
        ("seeds", [0]),
        ("provenance", {}),
        ("files", {}),
        ("is_counts", False),
        ("network", None),
        ("added", 1),
    ],
)
def test_every_edit_of_the_manifest_is_noticed(folder, name, value):
    edit(folder, digest=False, **{name: value})
    refused(folder, "model.json: digest = .*: was edited: its digest is that of another content. Copy the folder again")


def test_a_manifest_that_is_laid_out_anew_is_the_same(folder):
    before = read_model(folder)[1]
    path = folder / "model.json"
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert read_model(folder)[1] == before


def test_a_manifest_of_another_version_or_kind_is_refused(folder):
    edit(folder, version=2)
    refused(
        folder, "model.json: version = 2: is a version that this clustersweep does not know; it reads 1. Use the clu"
    )
    edit(folder, version=1, format="clustersweep-training")
    refused(
        folder, "model.json: format = clustersweep-training: must be clustersweep-model. Give the folder of a model"
    )


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[1, 2]", "[" * 100_000, '{"a": NaN}', '{"a": 1e999}', '{"a": 1', "\udcff"],
)
def test_a_damaged_manifest_is_refused(folder, text):
    (folder / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(folder, "model.json: cannot be read as JSON .*Copy the folder again")


def test_a_manifest_of_absurd_size_is_not_read(folder):
    (folder / "model.json").write_text(" " * (2**22 + 1))
    refused(folder, "model.json: size = 4,194,305 bytes: is too large for a manifest")


# --- consistent with itself, and still wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"network": {**vars(NETWORK), "filters": 0}},
            "network.filters = 0: is not valid .*greater than or equal to 1",
        ),
        ({"network": {**vars(NETWORK), "lambda": "os.system"}}, "network.lambda"),
        ({"network": {**vars(NETWORK), "padding": "odd"}}, "network.padding = odd: is not valid"),
        ({"network": {**vars(NETWORK), "kernel_size": 20}}, "a 20 x 20 kernel does not fit the 12 x 12 pixels"),
        (
            {"network": {**vars(NETWORK), "dense_units": [65536]}, "image_shape": [4096, 4096, 3]},
            "more than 500,000,00",
        ),
        ({"network": {**vars(NETWORK), "filters": 4}}, "seed-0.npz: do not fit the network: array 0 is"),
        ({"image_shape": [14, 12, 3]}, "do not fit the network: array 2 is .*and the network has"),
        ({"image_shape": [12, 12, 4]}, "scaling: must have a mean and a standard deviation for each of the 4 bands"),
        ({"outputs": 3}, "outputs = 3: is not valid"),
        ({"outputs": "2"}, "outputs = 2: is not valid"),
        ({"recalibration": -1.0}, "recalibration = -1.0: is not valid"),
        ({"recalibration": None}, "recalibration = .*: is not valid .*required"),
        ({"added": 1}, "added = 1: is not valid"),
        ({"seeds": []}, "seeds = .*: is not valid"),
        ({"seeds": [0, 0]}, "seeds: must differ"),
        ({"seeds": [0, 8]}, "files: must give the digest of weights/seed-8.npz"),
        ({"bands_kev": [[0.3, 0.6]]}, "bands_kev: must have the edges of all 3 bands, or of none"),
        ({"constant_sd": [0.1, 0.1]}, "constant_sd: must be one for each network without a variance"),
        ({"files": [1]}, "files: must give a digest for every file"),
        (
            {"files": {"../../secret": "0"}},
            r"files = ../../secret: must be config.yaml, clusters.csv or weights/seed-N.npz\. Copy",
        ),
        (
            {"files": {"/etc/passwd": "0"}},
            "files = /etc/passwd: must be config.yaml, clusters.csv or weights/seed-N.npz",
        ),
        ({"files": {"weights/../../seed-0.npz": "0"}}, "must be config.yaml, clusters.csv or weights/seed-N.npz"),
        ({"files": {"x" * 300: "0" * 64}}, "files = x{80}: must be config.yaml, clusters.csv or weights/seed-N.npz"),
        ({"files": {"weights/seed-0.npz": "0"}}, r"files.weights/seed-0.npz = 0: must be a digest of 64 hexadecimal"),
        ({"files": {"weights/seed-9.npz": "0" * 64}}, "files = weights/seed-9.npz: is of no seed of the model"),
        ({"provenance": {"data_digest": "gréén\nx"}}, "provenance.data_digest: must be hexadecimal digits, at most 64"),
        ({"provenance": {"data_digest": "0" * 65}}, "provenance.data_digest: must be hexadecimal digits, at most 64"),
        ({"provenance": {"commit": "a\nb"}}, "provenance: must be printable text of at most 200 characters each"),
        ({"provenance": {"commit\x1b": "a"}}, "provenance: must be printable text of at most 200 characters each"),
        ({"provenance": {"commit": "a" * 201}}, "provenance: must be printable text of at most 200 characters each"),
        ({"provenance": {str(n): "a" for n in range(101)}}, "provenance: must have at most 100 entries"),
    ],
)
def test_a_manifest_that_is_wrong_in_spite_of_its_digest_is_refused(folder, changes, match):
    edit(folder, **changes)
    refused(folder, match)


def test_what_would_move_the_terminals_cursor_is_not_repeated(folder):
    edit(folder, files={"\x1b]0;title\x07\x9b2J\u202e.npz": "0" * 64})
    message = refused(folder, "files = .*: must be config.yaml, clusters.csv or weights/seed-N.npz")
    assert "files = \ufffd]0;title\ufffd\ufffd2J\ufffd.npz: " in message
    assert message.isprintable()


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="provenance.data_digest: must be hexadecimal"):
        write_model(small_model(provenance={"data_digest": "green"}), tmp_path / "model")
    (tmp_path / "report.html").write_text("x")
    with pytest.raises(ValueError, match="report.html is no file of a model"):
        write_model(small_model(), tmp_path, ["report.html"])


def test_links_out_of_the_folder_are_not_followed(folder, tmp_path):
    rule = "must be a plain file inside the model's folder, no link. Copy the file itself to this place"
    for name in ("weights/seed-0.npz", "config.yaml", "model.json"):
        path, outside = folder / name, tmp_path / "outside"
        shutil.move(path, outside)
        path.symlink_to(outside)
        message = refused(folder, f"{name}: {rule}")
        path.unlink()
        path.symlink_to(tmp_path / "nowhere")
        assert refused(folder, f"{name}: {rule}") == message
        path.unlink()
        shutil.move(outside, path)
    shutil.move(folder / "weights", tmp_path / "weights")
    (folder / "weights").symlink_to(tmp_path / "weights")
    refused(folder, f"weights/seed-7.npz: {rule}")
    (folder / "weights").unlink()
    shutil.move(tmp_path / "weights", folder / "weights")
    same(read_model(folder)[0], small_model())


def test_a_folder_and_a_pipe_in_the_place_of_a_file_are_refused(folder):
    rule = "must be a plain file inside the model's folder, no link"
    (folder / "config.yaml").unlink()
    os.mkfifo(folder / "config.yaml")
    refused(folder, f"config.yaml: {rule}")
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").mkdir()
    refused(folder, f"config.yaml: {rule}")


def test_a_configuration_of_absurd_size_is_not_read(folder):
    with (folder / "config.yaml").open("r+b") as file:
        file.truncate(2**40)
    refused(folder, "config.yaml: size = 1,099,511,627,776 bytes: is too large for a configuration. Copy the folder")


def test_files_that_cannot_be_opened_are_an_error_of_the_model(folder, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    refused(folder, r"model.json: cannot be read \(Input/output error\). Check its permissions")


def test_a_scaling_that_would_divide_by_zero_is_refused(folder):
    scaling = vars(small_model().scaling) | {"band_sd": [0.5, 0.0, 0.7]}
    edit(folder, scaling=scaling)
    refused(folder, "scaling: must be finite, and every standard deviation and its recalibration positive")


# --- what lies in the place of weights ----------------------------------------------------------------------


def test_weights_of_another_network_or_no_numbers_are_refused(folder, tmp_path):
    good = small_model().members[0]
    for arrays, match in (
        (good[:-1], r"seed-0.npz: do not fit the network: they are 5 arrays, and the network has 6"),
        ([a.astype(np.float64) for a in good], "seed-0.npz: do not fit the network: they must be float32"),
        ([a.astype("S4") for a in good], "seed-0.npz: do not fit the network: they must be float32"),
        ([a.T for a in good], r"do not fit the network: array 0 is \(3, 3, 3, 3\)|array 2 is"),
        ([a + np.inf if n == 3 else a for n, a in enumerate(good)], "seed-0.npz: are not all finite"),
    ):
        replace_weights(folder, npz(tmp_path / "other.npz", arrays))
        refused(folder, match)


@pytest.fixture
def roomy(tmp_path):
    """A model so large that what lies in the place of its weights is not refused for its size."""
    write_model(small_model(network=replace(NETWORK, dense_units=(512,))), tmp_path / "roomy")
    return tmp_path / "roomy"


def test_weights_that_would_unpack_to_more_than_there_can_be_are_not_unpacked(roomy, tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", weights_0=np.zeros(10**7, np.float32))
    replace_weights(roomy, (tmp_path / "bomb.npz").read_bytes())
    refused(roomy, "seed-0.npz: size = 40,000,128 bytes: does not fit the network")


def test_a_file_larger_than_any_weights_is_not_read(folder):
    replace_weights(folder, bytes(10**7))
    refused(folder, "seed-0.npz: size = 10,000,000 bytes: does not fit the network")


class Evil:
    """Leaves a mark where it is unpickled."""

    mark = Path()

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_in_the_place_of_weights_is_an_error_and_does_nothing(roomy, tmp_path):
    Evil.mark = tmp_path / "ran"
    np.savez(tmp_path / "objects.npz", weights_0=np.array([Evil()], dtype=object))
    np.save(tmp_path / "objects.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "inside.npz", "w") as archive:
        archive.writestr("weights_0", pickle.dumps(Evil()))
    for data in (
        pickle.dumps(Evil()),
        (tmp_path / "objects.npz").read_bytes(),
        (tmp_path / "objects.npy").read_bytes(),
        (tmp_path / "inside.npz").read_bytes(),
    ):
        replace_weights(roomy, data)
        refused(roomy, "seed-0.npz: (cannot be read as weights|do not fit the network)")
        assert not Evil.mark.exists()
    pickle.loads(pickle.dumps(Evil()))
    assert Evil.mark.exists()  # it would have, elsewhere


@pytest.mark.integration
def test_a_keras_file_with_a_lambda_in_the_place_of_weights_is_an_error_and_does_nothing(roomy, tmp_path):
    from clustersweep.training.device import configure_device, keras

    configure_device(1)
    mark = tmp_path / "ran"
    code = f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x)[1]"
    evil = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(eval(code), output_shape=(2,))])
    evil.save(tmp_path / "evil.keras")
    mark.unlink(missing_ok=True)
    keras.models.load_model(tmp_path / "evil.keras", safe_mode=False)(np.zeros((1, 2)))
    assert mark.exists()  # it runs where a model is loaded as Keras loads it
    mark.unlink()
    for name in ("weights/seed-0.npz", "model.keras"):
        replace_weights(roomy, (tmp_path / "evil.keras").read_bytes())
        shutil.copy(tmp_path / "evil.keras", roomy / name)
        refused(roomy, "seed-0.npz: (cannot be read as weights|do not fit the network)")
        assert not mark.exists()
