"""What `train` does, from a configuration to a model folder with its report: puts the pieces together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clustersweep.cpus import available_cpus
from clustersweep.home import Home
from clustersweep.provenance import commit, versions
from clustersweep.study.watcher import Watcher
from clustersweep.survey.source import check_split, open_dataset, read_header
from clustersweep.sweep.signals import interrupt_on_signals, stop_on_signals
from clustersweep.training.files.configuration import Configuration, load_configuration
from clustersweep.training.files.work_folder import require_free
from clustersweep.training.network import NetworkSpec
from clustersweep.words import command

if TYPE_CHECKING:  # which import TensorFlow
    from clustersweep.training.stages import TrainingEvent
    from clustersweep.training.train import TrainingRun


class TrainingWatcher(Watcher, Protocol):
    """Whoever shows a person what a training does."""

    def on_event(self, event: "TrainingEvent") -> None:
        """Show what the training tells."""


@dataclass(frozen=True)
class Trained:
    """What a training came to, and where its report is; `no_png` says why there are no PNG files, else it is empty."""

    run: "TrainingRun"
    report: Path
    no_png: str


@interrupt_on_signals()
def train_model(
    path: Path, to: Path, home: Home, threads: int | None, watcher: TrainingWatcher, *, device: str = "auto"
) -> Trained | None:
    """Train what a configuration says into the model folder `to`; None when interrupted, with a checkpoint kept.

    `device`: `cpu`, `gpu`, or `auto`: a GPU where TensorFlow sees one. `threads`: None for one on each CPU.

    Raises:
        ClusterSweepError: See its tree; what is finished is kept in every case.
    """
    configuration = load_configuration(path)
    require_free(to)
    check_split(configuration.data, configuration.split)
    # Imported here, when all that can be wrong at once has been found: TensorFlow takes seconds.
    from clustersweep.training.device import choose_device, device_in_use
    from clustersweep.training.train import train

    used = choose_device(device, threads)
    needs_redshift = configuration.network.redshift != "none"
    taken = read_header(configuration.data, needs_redshift=needs_redshift).source
    with watcher.step(f"Preparing the survey, to train on {device_in_use(configuration.training.precision)}"):
        dataset = open_dataset(
            configuration.data,
            home.surveys,
            progress=watcher.made,
            jobs=available_cpus(),
            needs_redshift=needs_redshift,
        )
    provenance = {"commit": commit() or "", "threads": str(used)} | versions()
    try:
        with stop_on_signals() as stop:
            run = train(configuration, dataset, to, provenance=provenance, on_event=watcher.on_event, stop=stop)
    finally:
        watcher.end()
    if run is None:
        return None
    with watcher.step("Writing the report"):
        report, no_png = _write_report(configuration, run, taken, path, to)
    return Trained(run, report, no_png)


def _write_report(
    configuration: Configuration, run: "TrainingRun", taken: str, path: Path, to: Path
) -> tuple[Path, str]:
    """Draw the model's page and its figures; the page needs no browser, the PNG files do."""
    # Imported here: plotly takes half a second, and an interrupted training draws nothing.
    from clustersweep.report.model.page import TrainingPage, training_figures, write_training_page
    from clustersweep.report.png import write_pngs

    page = TrainingPage(
        title=to.absolute().name,
        facts=_facts(configuration, run, taken),
        stages=run.stages,
        failed=run.failed,
        evaluation=run.evaluation,
        test=run.test,
        commands={
            "train again": command("train", path, "--to", to),
            "predict": predict_command(to, run.model.network),
        },
    )
    report = write_training_page(page, to / "report.html")
    return report, write_pngs(training_figures(page), to / "figures").message


def predict_command(to: Path, network: NetworkSpec) -> str:
    """Return the command that predicts with a model, with a catalogue only where its network takes the redshift."""
    catalogue = ("--catalogue", "CATALOGUE") if network.redshift != "none" else ()
    return command("predict", to, "IMAGES", *catalogue, "--to", "masses.fits")


def _facts(configuration: Configuration, run: "TrainingRun", taken: str) -> dict[str, str]:
    """Say what was trained, on what (`taken`, where they are somebody's own data) and with what."""
    network, training, model = configuration.network, configuration.training, run.model
    stages = list(dict.fromkeys(result.stage for result in run.stages))
    data = configuration.data
    source = f"{data.simulate.clusters:,} simulated clusters, seed {data.simulate.seed}" if data.simulate else taken
    seeds = ", ".join(map(str, model.seeds))
    failed = "".join(f"; seed {seed} failed: {why}" for seed, why in run.failed.items())
    versions_ = ", ".join(
        f"{k} {v}" for k, v in model.provenance.items() if k not in ("commit", "data_digest", "device", "threads")
    )
    seconds = sum(result.seconds for result in run.stages)
    return {
        "data": f"{source}; digest {model.provenance['data_digest']}",
        "network": f"{network.conv_blocks} blocks of {network.convs_per_block} convolutions, {network.filters} filters "
        f"in the first, {network.kernel_size} x {network.kernel_size}; {network.dense_layers} dense layers; redshift: "
        f"{network.redshift}",
        "training": f"{training.optimizer}, learning rate {training.learning_rate:g}, batches of "
        f"{training.batch_size}, at most {training.epochs} epochs, patience {training.patience}; "
        f"augmentation: {training.augmentation}; "
        f"loss: {training.loss}",
        "stages": ", ".join(stages),
        "seeds": seeds + failed,
        "time spent training": f"{seconds / 60:.0f} min with {model.provenance['threads']} threads",
        "trained on": model.provenance.get("device", "partly not recorded, by an older version"),
        "recalibration": f"standard deviations times {model.recalibration:.3f}",
        "model digest": run.digest,
        "commit": model.provenance["commit"] or "not run from a checkout",
        "versions": versions_,
    }
