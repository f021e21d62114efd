"""The report of a sweep: results -> figure data -> figures -> one HTML file, and results.csv. Trains nothing."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "model.page": ("TrainingPage", "training_figures", "write_training_page"),
        "model.text": ("gain_text",),
        "png": ("write_pngs",),
        "survey": ("write_survey_page",),
        "sweep.listings": ("Provenance",),
        "sweep.study_report": ("write_study_report",),
        "sweep.table": ("results_csv", "summary"),
        "sweep.verdict": ("Verdict",),
        "sweep.write": ("ReportFiles", "write_report"),
    },
)
