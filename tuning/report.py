"""What is left of a search: best.yaml, summary.md, and figures drawn without a display."""
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras_tuner.engine.trial import Trial
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from synergynet_tf.config import Config, command_line
from synergynet_tf.metrics import PAPER_METRICS
from synergynet_tf.report.png import save_png
from synergynet_tf.storage.files import replace_file

from .gamma_scan import Scan
from .objective import Objective
from .space import Parameter, Space, apply, searched

FEWEST = 8          # trials from which a surrogate is fitted
TREES, REPEATS = 300, 30
GAMMA = "fusion.gamma"


class Importance(NamedTuple):
    """How much the objective depends on each parameter, by a random forest fitted to the trials."""

    loss: dict[str, float]      # by parameter: fall of the forest's R² when its values are shuffled among the trials
    r2: float                   # of the forest on trials left out of its trees: at 0 or below it has learned nothing


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The completed trial of the highest objective."""
    return max((trial for trial in trials if trial.status == "COMPLETED"), key=lambda trial: trial.score)


def last_rungs(trials: Sequence[Trial]) -> list[Trial]:
    """The completed trials that no other continues; all of them but for Hyperband."""
    continued = {trial.hyperparameters.values.get("tuner/trial_id") for trial in trials}
    return [trial for trial in trials if trial.status == "COMPLETED" and trial.trial_id not in continued]


def importance(trials: Sequence[Trial], space: Space) -> Importance | None:
    """Permutation importance of a random forest on the trials (scikit-learn); None for fewer than `FEWEST`."""
    if len(trials) < FEWEST:
        return None
    parameters = searched(space)
    places = np.array([[place(parameter, space, trial.hyperparameters.values[parameter.key]) for parameter in parameters]
                       for trial in trials])
    scores = np.array([trial.score for trial in trials])
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, oob_score=True, random_state=0).fit(places, scores)
    importances = permutation_importance(forest, places, scores, n_repeats=REPEATS, random_state=0).importances_mean
    by_key = {parameter.key: float(value) for parameter, value in zip(parameters, importances)}
    return Importance(by_key, float(forest.oob_score_))


def place(parameter: Parameter, space: Space, value: Any) -> float:
    """Where a value lies in its range, 0 to 1, by its logarithm where it is searched by that; of anchor sets, the number."""
    span = getattr(space, parameter.name)
    if parameter.name == "anchor_sets":
        sizes = tuple(float(size) for size in value.split())
        return [tuple(map(float, other)) for other in span].index(sizes) / (len(span) - 1)
    low, high, value = (math.log(v) for v in (*span, value)) if parameter.log else (*span, value)
    return (value - low) / (high - low)


def write(project: Path, trials: Sequence[Trial], space: Space, config: Config, objective: Objective, scan: Scan,
          warm: bool) -> None:
    """Write best.yaml, summary.md, scan.csv, gamma.png and parallel.png.

    Args:
        project: the search's folder.
        trials: all of them; at least one completed.
        space: what was searched.
        config: what the trials started from.
        objective: by which trials were judged.
        scan: the scan of the best trial's network.
        warm: whether the trials started from a shared checkpoint of stages 1 to 3.
    """
    best, last = best_trial(trials), last_rungs(trials)
    command_line.save(apply(config, best.hyperparameters.values), project / "best.yaml")
    _write_curves(project, scan)
    draw_gamma(project / "gamma.png", scan, objective, last)
    draw_parallel(project / "parallel.png", last, space, objective)
    text = summary(trials, space, objective, scan, importance(last, space), warm)
    replace_file(project / "summary.md", text.encode())


def write_scan(project: Path, config: Config, objective: Objective, scan: Scan) -> None:
    """Write what is left of a scan without a search: best.yaml (the given configuration), scan.csv and gamma.png."""
    command_line.save(config, project / "best.yaml")
    _write_curves(project, scan)
    draw_gamma(project / "gamma.png", scan, objective, ())


def summary(trials: Sequence[Trial], space: Space, objective: Objective, scan: Scan, weighed: Importance | None,
            warm: bool) -> str:
    """The search in Markdown: what was found, every trial, the importance of each parameter, the scan."""
    best = best_trial(trials)
    completed = sum(trial.status == "COMPLETED" for trial in trials)
    lines = [f"# Search for {objective.name}", "",
             f"Best: trial {best.trial_id}, {objective.name} {best.score:.4f} on the validation cases. It is the highest of "
             f"{completed} completed trials, hence flattering: look at cases that no trial was judged by.", "",
             "```bash", "python -m synergynet_tf.train --config best.yaml --run RUN", "```", "",
             "## Trials", "", *_trial_table(trials, space, objective), "", *_failures(trials)]
    if warm:
        lines += ["All trials started from one checkpoint of stages 1 to 3: the loss weights acted in stage 4 alone.", ""]
    lines += ["![the trials, one line each](parallel.png)", "", "## Importance", "", *_importance_table(weighed), "",
              "## Gamma and threshold", "", "The best trial's network, which was trained with one gamma, at others: "
              f"{objective.name} is highest, {max(scan.gamma.objective):.4f}, at gamma {scan.gamma.best:g}; with that gamma, "
              f"highest, {max(scan.threshold.objective):.4f}, at threshold {scan.threshold.best:g}. `predict --gamma` and "
              "`--threshold` take them; best.yaml keeps the trial's own. scan.csv holds all values.", "",
              "![objective against gamma](gamma.png)", ""]
    return "\n".join(lines)


def _trial_table(trials: Sequence[Trial], space: Space, objective: Objective) -> list[str]:
    keys = [parameter.key for parameter in searched(space)]
    metrics = [name for name in PAPER_METRICS if name != objective.name]
    rows = ["| trial | " + " | ".join([objective.name, *metrics, *(key.split(".")[1] for key in keys), "epochs"]) + " |",
            "|" + "---|" * (3 + len(metrics) + len(keys))]
    order = sorted(trials, key=lambda trial: (trial.score is None, -(trial.score or 0)))
    for trial in order:
        values = trial.hyperparameters.values
        scores = [trial.metrics.get_best_value(name) if trial.metrics.exists(name) else None for name in metrics]
        reached = trial.score if trial.status == "COMPLETED" else trial.status.lower()
        cells = [trial.trial_id, reached, *scores, *(values.get(key) for key in keys), values.get("tuner/epochs", "all")]
        rows.append("| " + " | ".join(map(_cell, cells)) + " |")
    return rows


def _failures(trials: Sequence[Trial]) -> list[str]:
    failed = [trial for trial in trials if trial.status == "FAILED"]
    names = ", ".join(trial.trial_id for trial in failed)
    return [f"Failed: {names}; `error.txt` in each one's folder says why.", ""] if failed else []


def _importance_table(weighed: Importance | None) -> list[str]:
    if weighed is None:
        return [f"Fewer than {FEWEST} trials completed: too few to weigh the parameters."]
    learned = "" if weighed.r2 > 0 else " It has learned nothing, and the figures mean nothing."
    rows = sorted(weighed.loss.items(), key=lambda item: -item[1])
    return [f"A random forest of {TREES} trees on the trials; its R² on trials that a tree was not given is {weighed.r2:.2f}."
            f"{learned} Importance: how much its R² falls when one parameter's values are shuffled.", "",
            "| parameter | importance |", "|---|---|", *(f"| {key} | {value:.3f} |" for key, value in rows)]


def draw_gamma(path: Path, scan: Scan, objective: Objective, trials: Sequence[Trial]) -> None:
    """The scanned curve of the objective over gamma, the trials as points at the gamma they were trained with."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, curve, name in zip(figure.subplots(1, 2), scan, ("gamma", "threshold")):
        panel.plot(curve.values, curve.objective, color="#4c72b0", label="one network, scanned")
        panel.axvline(curve.best, color="#4c72b0", linestyle=":", label=f"highest at {curve.best:g}")
        panel.set(xlabel=name, ylabel=f"{objective.name}, validation cases")
        values = [(trial.hyperparameters.values.get(GAMMA), trial.score) for trial in trials]
        points = [point for point in values if point[0] is not None]
        if name == "gamma" and points:
            panel.scatter(*zip(*points), color="#dd8452", zorder=3, label="trials, each trained with its gamma")
        panel.legend(fontsize=8)
    save_png(figure, path, 110)


def draw_parallel(path: Path, trials: Sequence[Trial], space: Space, objective: Objective) -> None:
    """Parallel coordinates: an axis for each parameter and one for the objective, a line for each completed trial."""
    parameters = searched(space)
    scores = [trial.score for trial in trials]
    scale = Normalize(min(scores), max(scores) if max(scores) > min(scores) else min(scores) + 1e-6)
    figure = Figure(figsize=(2.2 + 1.3 * len(parameters), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for trial in sorted(trials, key=lambda trial: trial.score):
        heights = [place(parameter, space, trial.hyperparameters.values[parameter.key]) for parameter in parameters]
        panel.plot([*heights, scale(trial.score)], color=colormaps["viridis"](scale(trial.score)), linewidth=1.5, alpha=0.9)
    names = [parameter.key.split(".")[1] for parameter in parameters]
    panel.set(xticks=range(len(names) + 1), xticklabels=[*names, objective.name], yticks=[], ylim=(-0.08, 1.08))
    ends = [_ends(parameter, space) for parameter in parameters] + [(f"{scale.vmin:.3f}", f"{scale.vmax:.3f}")]
    for x, (low, high) in enumerate(ends):
        panel.axvline(x, color="0.7", linewidth=0.8, zorder=0)
        panel.text(x, -0.02, low, ha="center", va="top", fontsize=8)
        panel.text(x, 1.02, high, ha="center", va="bottom", fontsize=8)
    figure.colorbar(ScalarMappable(scale, colormaps["viridis"]), ax=panel, label=objective.name)
    save_png(figure, path, 110)


def _ends(parameter: Parameter, space: Space) -> tuple[str, str]:
    span = getattr(space, parameter.name)
    if parameter.name == "anchor_sets":
        first, last = (" ".join(f"{size:g}" for size in sizes) for sizes in (span[0], span[-1]))
        return first, last
    return f"{span[0]:g}", f"{span[1]:g}"


def _write_curves(project: Path, scan: Scan) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    names = list(scan.gamma.scores[0])
    rows.writerow(["setting", "value", "objective", *names])
    for setting, curve in zip(Scan._fields, scan):
        for value, height, scores in zip(curve.values, curve.objective, curve.scores):
            rows.writerow([setting, f"{value:g}", height, *(scores.get(name, "") for name in names)])
    replace_file(project / "scan.csv", text.getvalue().encode())


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

