"""The data wing: the data set, its formats, its split and the simulator. Knows nothing of the sweep."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "agreement": ("Agreement", "CENTRAL_RADIUS", "warn_of_suspicions", "within"),
        "catalogue": ("ColumnNames", "LARGEST_REDSHIFT", "Labels", "masses"),
        "dataset": ("Array", "CHUNK_BYTES", "Dataset", "Header", "chunks"),
        "figures": ("Example", "Histogram", "MassRedshift", "Summary", "summary"),
        "formats.all": ("convert", "read_catalogue", "read_source"),
        "formats.files": ("located", "survey_name", "written_beside"),
        "formats.fitstable": ("Column", "Notes", "write_table"),
        "observations": ("Block", "Observations", "open_observations"),
        "simulator.simulate": ("write_survey",),
        "source": ("absent_file", "check_split", "open_dataset", "read_digest", "read_header"),
        "spec": ("DataSpec", "SimulateSpec", "SplitSpec", "with_absolute_paths"),
        "split": ("Split", "make_split"),
    },
)
