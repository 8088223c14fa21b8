"""The steps of raw scans in their order, case by case: align, register, skull, bias, resample.

A case's folder fills as its steps end, and each step's result is kept under a key of the files' bytes, the settings and the
tools' versions; a run that was killed goes on where it was, and an unchanged case is left as it is.
"""
import csv
import dataclasses
import functools
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from synergynet_tf.data import judgement, nifti, preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.raw import bias, record, registration, skull, tools
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.data.raw.grid import MNI, Grid, grid_of, resample, write
from synergynet_tf.data.raw.record import Record
from synergynet_tf.data.raw.store import Arrays, StepStore, key_of
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.runtime.processes import cores, each
from synergynet_tf.storage.files import claim, digest, make_own, replace_file
from synergynet_tf.storage.names import require_name
from synergynet_tf.storage.readers import Stored

REVISION = 3                # of the steps' methods: raise it when one changes, so that kept results are not taken for new ones
SPLINE = 3                  # interpolation of the scans
FAINTEST = 1e-3             # of the brain's median: a voxel of the brain is not 0, which means not measured
LESIONS = "lesions"
NOT_FOUND = ("the brain was not found; try --steps.skull deepbet, or strip it by another program and prepare it with "
             "--steps.skull none")
MATRIX = {"matrix": Stored("f", (4, 4))}


def prepare_cases(cases: Sequence[Case], out: Path, config: RawConfig, workers: int = 1,
                  option: str = "--raw") -> Iterator[tuple[Case, Record | InputError]]:
    """Prepare cases in `out`/<case>/, in parallel; yields each, in their order, with its record or the error that stopped it.

    `option` is what named the place, for messages.
    """
    prepare = functools.partial(_try, out=out, config=config, threads=max(1, cores() // workers), option=option)
    for case, done in each(prepare, cases, workers, "preparing"):
        yield case, done if isinstance(done, Record) else of_case(case.name, done)


def prepare_case(case: Case, folder: Path, config: RawConfig, option: str = "--raw") -> Record:
    """Bring one case to the network's space: flair.nii.gz and the other channels, lesions.nii.gz, prepared.json.

    Raises:
        InputError: no FLAIR, a file that cannot be used, no brain found, a tool that is not installed, a full disk.
    """
    if "flair" not in case.images:
        raise InputError(f"case {case.name}: no FLAIR, only {', '.join(sorted(case.images)) or 'nothing'}; add the file")
    for channel in case.images:
        require_name(f"case {case.name}: the channel", channel)
    sources = {channel: {"path": str(path), "digest": digest(path)} for channel, path in sorted(case.images.items())}
    if case.lesions:
        for name, path in ((LESIONS, case.lesions), ("lesions2", case.lesions2)):
            sources |= {name: {"path": str(path), "digest": digest(path)}} if path else {}
    digests = {name: source["digest"] for name, source in sources.items()}
    versions = _versions(config)
    key = key_of([REVISION, digests, case.combine, dataclasses.asdict(config), versions])
    known = record.known(folder)
    if known and known.key == key and known.written == _digests(folder, known.files):
        return _renamed(known, case, folder)
    _claim_files(case, folder, option)
    volumes = {channel: preprocess.read_scan(path) for channel, path in case.images.items()}
    run = _Run(StepStore(folder / "steps"), config, versions, digests, volumes)
    results = run.results()
    files = _write_scans(case, folder, volumes, results, config)
    flair = volumes["flair"]
    done = Record(key, case.patient, case.session, case.split, files, sources,
                  {"shape": list(flair.file_shape), "affine": flair.file_affine.tolist(), "axes": list(flair.axes)},
                  dataclasses.asdict(config), versions, results.to_flair.tolist(),
                  None if results.template is None else results.template.tolist(),
                  {channel: matrix.tolist() for channel, matrix in results.from_flair.items()},
                  {step: round(seconds, 1) for step, seconds in run.seconds.items()},
                  date=case.date, written=_digests(folder, files),
                  notes=[f"{channel}: {note.text}" for channel, volume in volumes.items() for note in volume.notes])
    record.write(folder, done)
    run.store.drop_unused()
    return done


def _digests(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Digests of a case's files that are there, by name."""
    paths = [folder / name for name in (*files.values(), record.OWN_BRAIN)]
    return {path.name: digest(path) for path in paths if path.is_file()}


def _claim_files(case: Case, folder: Path, option: str) -> None:
    """Raises InputError where a file in the folder is not ours."""
    names = [*(f"{name}.nii.gz" for name in (*case.images, LESIONS)), record.OWN_BRAIN, record.FILE, record.PICTURE]
    claim(option, [folder / name for name in names])
    make_own(folder)


def write_manifest(out: Path, left_out: Sequence[str] = ()) -> Path:
    """Write manifest.csv of all prepared cases in `out` but those left out, with paths relative to it."""
    folders = (folder for folder in sorted(out.iterdir()) if folder.name not in left_out)
    records = {folder.name: known for folder in folders if (known := record.known(folder))}
    channels = sorted({name for known in records.values() for name in known.files} - {LESIONS})
    content = io.StringIO(newline="")
    table = csv.writer(content, lineterminator="\n")
    table.writerow(["patient", "session", *channels, LESIONS, "split", "date"])
    for name, known in records.items():
        paths = [f"{name}/{known.files[key]}" if key in known.files else "" for key in (*channels, LESIONS)]
        table.writerow([known.patient, known.session, *paths, known.split or "", known.date or ""])
    replace_file(out / "manifest.csv", content.getvalue().encode())
    return out / "manifest.csv"


class _Results:
    """The results of the steps, all of it on the scans' own grids."""

    template: np.ndarray | None         # from MNI to the FLAIR's world, affine
    to_flair: np.ndarray                # from the prepared grid's world to the FLAIR's
    from_flair: dict[str, np.ndarray]
    brain: np.ndarray                   # bool, on the FLAIR's grid
    fields: dict[str, np.ndarray]       # log bias fields by channel


class _Run:
    """The steps of one case, each through the store. A step's key holds the keys of those that it builds on."""

    def __init__(self, store: StepStore, config: RawConfig, versions: dict[str, str], digests: dict[str, str],
                 volumes: dict[str, Volume]):
        self.store = store
        self.seconds: dict[str, float] = {}
        self._config, self._versions, self._digests, self._volumes = config, versions, digests, volumes

    def results(self) -> _Results:
        """Take every step that the configuration asks for.

        Raises:
            InputError: as the steps do.
        """
        results, keys, config = _Results(), {}, self._config
        flair = self._volumes["flair"]
        results.from_flair = {}
        for channel, volume in self._volumes.items():
            if channel != "flair":
                keys[channel], results.from_flair[channel] = self._align(flair, channel, volume)
        results.template, keys["register"] = None, ""
        if config.skull == "template" or (config.resample and config.register != "none"):
            keys["register"], arrays = self._step("register", [self._digests["flair"]],
                                                  lambda: {"matrix": registration.to_template(flair)}, MATRIX)
            results.template = arrays["matrix"]
        results.to_flair = self._to_flair(results.template)
        scans = skull.Aligned(self._volumes, results.from_flair, results.template)
        basis = [config.skull, self._digests["flair"], self._digests.get("t1"), keys["register"], keys.get("t1")]
        keys["skull"], arrays = self._step("skull", basis, lambda: {"brain": skull.brain(scans, config.skull)},
                                           {"brain": Stored("b", flair.array.shape)})
        results.brain = arrays["brain"]
        results.fields = {channel: self._bias(channel, results, keys) for channel in self._volumes} if config.bias else {}
        return results

    def _align(self, flair: Volume, channel: str, volume: Volume) -> tuple[str, np.ndarray]:
        if not self._config.align:
            return "", np.eye(4)
        key, arrays = self._step(f"align-{channel}", [self._digests["flair"], self._digests[channel]],
                                 lambda: {"matrix": registration.to_flair(flair, volume)}, MATRIX)
        return key, arrays["matrix"]

    def _to_flair(self, template: np.ndarray | None) -> np.ndarray:
        if template is None or not self._config.resample or self._config.register == "none":
            return np.eye(4)
        return template if self._config.register == "affine" else registration.rigid_part(template)

    def _bias(self, channel: str, results: _Results, keys: dict[str, str]) -> np.ndarray:
        volume = self._volumes[channel]

        def field() -> Arrays:
            brain = results.brain
            if channel != "flair":
                to_flair = np.linalg.inv(results.from_flair[channel])
                brain = resample(brain, grid_of(self._volumes["flair"]), grid_of(volume), to_flair) > 0.5
            return {"field": bias.log_field(volume, brain)}

        basis = [self._digests[channel], keys["skull"], keys.get(channel)]
        return self._step(f"bias-{channel}", basis, field, {"field": Stored("f", (None,) * 3)})[1]["field"]

    def _step(self, name: str, basis: list, compute: Callable[[], Arrays], gives: dict[str, Stored]) -> tuple[str, Arrays]:
        key = key_of([REVISION, name, basis, self._versions])
        start = time.monotonic()
        arrays = self.store.get(name, key, compute, gives)
        self.seconds[name] = time.monotonic() - start
        return key, arrays


def _try(case: Case, out: Path, config: RawConfig, threads: int, option: str) -> Record | InputError:
    """A case's record, or its error: one case does not stop the others."""
    tools.use_threads(threads)
    try:
        return prepare_case(case, out / case.name, config, option)
    except Exception as error:      # whatever it is: the others are still to be prepared
        return of_case(case.name, error)


def _versions(config: RawConfig) -> dict[str, str]:
    """Of the tools that the steps use; a missing one is noticed here, before the work."""
    registered = config.align or config.skull == "template" or (config.resample and config.register != "none")
    needed = {"SimpleITK": registered or config.bias, "deepbet": config.skull == "deepbet"}
    return {name: tools.version(name) for name, used in needed.items() if used}


def _renamed(known: Record, case: Case, folder: Path) -> Record:
    """The record with the case's present patient, session, split and date, which may change without the scans."""
    present = dataclasses.replace(known, patient=case.patient, session=case.session, split=case.split, date=case.date)
    if present != known:
        record.write(folder, present)
    return present


def _write_scans(case: Case, folder: Path, volumes: dict[str, Volume], results: _Results, config: RawConfig) -> dict[str, str]:
    """Write the channels, the mask and the own-space brain; the names by channel."""
    flair = volumes["flair"]
    target = MNI if config.resample else grid_of(flair)
    brain = resample(results.brain, grid_of(flair), target, results.to_flair) > 0.5
    files, scans = {}, {}
    for channel, volume in volumes.items():
        to_channel = results.from_flair.get(channel, np.eye(4)) @ results.to_flair
        scans[channel] = _brain_scan(volume, results.fields.get(channel), brain, target, to_channel)
    if config.skull != "none":
        _require_brain(scans["flair"], target, flair)
    for channel, scan in scans.items():
        write(folder / f"{channel}.nii.gz", scan, target, np.float32)
        files[channel] = f"{channel}.nii.gz"
    if case.lesions:
        mask = nifti.read_reference(case.lesions, case.lesions2, case.combine)
        nifti.check_same_grid(flair, mask)
        carried = resample(mask.array, grid_of(mask), target, results.to_flair) >= 0.5
        write(folder / f"{LESIONS}.nii.gz", carried, target, np.uint8)
        files[LESIONS] = f"{LESIONS}.nii.gz"
    nifti.write_like(folder / record.OWN_BRAIN, results.brain, flair, np.uint8)
    return files


def _require_brain(array: np.ndarray, grid: Grid, flair: Volume) -> None:
    """Refuse a prepared FLAIR that shows more than a brain, as a training would: a registration can go astray.

    Args:
        array: [X, Y, Z] on `grid`, as it is to be written.
        grid: of the prepared scan.
        flair: the raw scan.

    Raises:
        InputError: the rules of `judgement` refuse it.
    """
    prepared = dataclasses.replace(flair, array=array)      # the raw scan's name, for errors
    brain, box = preprocess.brain_mask(prepared)
    values, _ = preprocess.measured(prepared, brain, box)
    with preprocess.named(flair.path):
        judgement.judge_brain(values, brain, np.linalg.norm(grid.affine[:3, :3], axis=0), NOT_FOUND)


def _brain_scan(scan: Volume, field: np.ndarray | None, brain: np.ndarray, target: Grid, to_scan: np.ndarray) -> np.ndarray:
    """A channel on the target grid: corrected, 0 outside the brain and outside the channel's field of view, else not 0."""
    array = scan.array if field is None else bias.corrected(scan, field)
    carried = resample(array, grid_of(scan), target, to_scan, SPLINE, brain)
    seen = resample(np.ones(array.shape, bool), grid_of(scan), target, to_scan, within=brain) > 0.5
    if not seen.any():
        raise InputError(f"{scan.path}: shows nothing of the FLAIR's brain; check the file, or use --steps.align true")
    faintest = FAINTEST * abs(float(np.median(carried[seen])))
    return np.where(seen, np.maximum(carried, faintest) if array.min() >= 0 else carried, np.float32(0))
