"""The lab's pickle of images is read whatever its make, in little memory, or says what it lacks."""

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from survey_files import Files, make_columns, make_counts, refused, write_lab_files

from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import read_source


def test_the_two_lists_of_a_pickle_must_be_as_long_as_each_other(files: Files) -> None:
    files.columns["SRC_ID_IN"] = files.columns["SRC_ID_IN"][:-1]
    images = files.folder / "i.pickle"
    content = {"cluster": [1, 2], "gsm_3dImgs": list(files.images)}
    images.write_bytes(pickle.dumps(content))
    _, catalogue = Files(files.folder).write("fits")
    refused((images, catalogue), "cluster: has 2 entries, and there are 12 images")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"cluster": [1]}, "gsm_3dImgs: is missing; the keys are: cluster"),
        ({"gsm_3dImgs": [np.ones((2, 2, 1))]}, "cluster: is missing; the keys are: gsm_3dImgs"),
        ([1, 2], "must be a dict with the keys `cluster` and `gsm_3dImgs`; it is a list"),
        ({"cluster": [1], "gsm_3dImgs": [[1.0, 2.0]]}, r"gsm_3dImgs: must be a list of arrays \(height, width, band\)"),
        ({"cluster": [1, 2], "gsm_3dImgs": []}, "gsm_3dImgs: must be a list of arrays"),
        ({"cluster": [1, 2], "gsm_3dImgs": 5}, "gsm_3dImgs: must be a list of arrays"),
        (
            {"cluster": [1, 2], "gsm_3dImgs": [np.ones((2, 2, 1)), np.ones((2, 3, 1))]},
            r"image 1 is \(2, 3, 1\), the first one \(2, 2, 1\): all images must have the same shape",
        ),
    ],
)
def test_a_pickle_of_another_make_says_what_it_lacks(files: Files, content: object, match: str) -> None:
    _, catalogue = files.write("fits")
    images = files.folder / "i.pickle"
    images.write_bytes(pickle.dumps(content))
    refused((images, catalogue), match)


def test_a_pickle_may_hold_one_cube_and_entries_that_are_arrays(tmp_path: Path) -> None:
    columns, images = make_columns(), make_counts()
    content = {"cluster": [np.array([i]) for i in columns["SRC_ID_IN"]], "gsm_3dImgs": images}
    (tmp_path / "p").write_bytes(pickle.dumps(content, 2))
    _, catalogue = write_lab_files(tmp_path, images, columns)
    assert np.array_equal(read_source(tmp_path / "p", catalogue, ColumnNames()).dataset.images, images)


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("scale", "per_pixel"), [(1.0, 1), (1 / 3, 4)], ids=["counts", "smoothed"])
def test_reading_a_pickle_takes_at_most_one_and_a_half_times_the_result(
    tmp_path: Path, scale: float, per_pixel: int, protocol: int
) -> None:
    clusters = 1200
    images = make_counts((40, 50, 50, 10)) * scale
    content = {"cluster": list(range(clusters)), "gsm_3dImgs": [images[i % 40] + 0.0 for i in range(clusters)]}
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol))
    del content
    program = """
        import sys
        from pathlib import Path
        from clustersweep.survey.formats import lab
        # Not getrusage: what it says of the peak is inherited from the process that started this one.
        status = lambda: dict(line.split(":") for line in open("/proc/self/status"))
        peak = lambda: int(status()["VmHWM"].split()[0]) * 1024
        before = peak()
        images = lab.read_pickle(Path(sys.argv[1])).images
        print(images.nbytes, peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "p")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result, used = (int(number) for number in done.stdout.split())
    assert result == clusters * 50 * 50 * 10 * per_pixel
    assert used < 1.5 * result
