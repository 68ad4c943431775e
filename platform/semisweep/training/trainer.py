"""One trial's training: iterations, evaluations, checkpoints. Needs no Ray.

The trainer knows nothing of any method: what an iteration is stands in
`semisweep.training.iteration`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import StateDict

from semisweep.core.errors import TrainingError
from semisweep.core.fault_injection import point
from semisweep.data.base import DataSet
from semisweep.data.splits import Split
from semisweep.store.checkpoint_file import Content
from semisweep.store.trial_records import Evaluation, TrialProgress
from semisweep.training import compilation, distributed
from semisweep.training.checkpoint_writer import CHECKPOINT_SECONDS, CheckpointWriter
from semisweep.training.iteration import iterate
from semisweep.training.kept_state import Keep, kept_state, load_kept
from semisweep.training.loader import Loader
from semisweep.training.method import Batch, Method, Progress
from semisweep.training.metric import evaluate, summary
from semisweep.training.optimizer import make_optimizers, schedule
from semisweep.training.precision import set_switches
from semisweep.training.trial import Trial, method_class, schedule_steps, total_steps

SELECTION_PART = "val"
FINITE_CHECK_STEPS = 25
PROGRESS_SECONDS = 1.0

STOP = "stop"  # what a report may answer to an evaluation

Report = Callable[[TrialProgress], object]
Score = tuple[dict[str, float], np.ndarray]  # summary, confusion matrices by image


class Folder(Protocol):
    """What the trainer asks of the place that keeps a trial."""

    def append_history(self, rows: Sequence[Mapping[str, object]]) -> None: ...
    def write_checkpoint(self, step: int, content: Content) -> None: ...
    def write_weights(self, name: str, step: int, content: Content) -> None: ...
    def share_weights(self, name: str, other: str, step: int) -> None: ...
    def write_confusion(self, name: str, array: np.ndarray) -> None: ...
    def read_weights(self, name: str, step: int | None = None) -> bytes: ...


class TrainingInterrupted(Exception):
    """Ends a training that is to go on another time, once its checkpoint is written."""


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that a resumed training needs; checkpoints have it by the names of its fields."""

    method: Mapping[str, Tensor]
    optimizers: Mapping[str, StateDict]
    scaler: StateDict
    step: int
    best_step: int
    best_score: float
    seconds: float
    sums: Mapping[str, Tensor]
    counted: int

    def to_bytes(self) -> bytes:
        """Return the bytes of a checkpoint."""
        return to_bytes(vars(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> TrainingState:
        """Return the state that a checkpoint holds."""
        return cls(**from_bytes(data))


class Training:
    """The complete state of one trial on one worker.

    `compiled`: whether networks' passes are compiled where that is possible; None where the
    training is long enough to earn it back.
    """

    def __init__(
        self,
        trial: Trial,
        dataset: DataSet,
        split: Split,
        device: str = "cpu",
        data_workers: int = 0,
        compiled: bool | None = None,
    ) -> None:
        set_switches(trial.training.precision, device)
        self.trial, self.dataset, self.device = trial, dataset, torch.device(device)
        self.data_workers = data_workers
        self.rank, self.world = distributed.world()
        kind = method_class(trial.method)
        self.method: Method = kind(trial.config, len(dataset.classes), trial.seed)
        self.method.to(self.device)
        self.method.to(memory_format=torch.channels_last)
        if self.world > 1:
            distributed.global_batch_norm(self.method)
        self.optimizers = make_optimizers(self.method, trial.training)
        scales = trial.training.precision == "fp16" and self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=scales)
        self.scale_elsewhere: StateDict = {}  # kept where this device needs none
        self.loader = Loader(
            dataset,
            split,
            trial.training,
            trial.seed,
            views=self.method.views,
            uses_unlabelled=self.method.uses_unlabelled,
            rank=self.rank,
            world=self.world,
        )
        self.steps_per_epoch = trial.training.steps_per_epoch(len(split.unlabelled))
        self.steps_per_labelled_epoch = max(1, len(split.labelled) // trial.training.labelled_batch)
        self.total_steps = total_steps(trial, split)
        self.schedule_steps = schedule_steps(trial, split)
        self.compiled = compilation.is_worth_it(compiled, device, self.total_steps, self.world)
        if self.compiled:
            compilation.compile_networks(self.method)
        else:
            compilation.forget()
        self.step = 0
        self.best_step, self.best_score = 0, -1.0
        self.seconds = 0.0
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self.scored: tuple[int, Score] | None = None  # step and score of the last evaluation

    def state(self) -> TrainingState:
        """Return everything that a resumed training needs."""
        return TrainingState(
            method=self.method.state_dict(),
            optimizers={name: own.state_dict() for name, own in self.optimizers.items()},
            scaler=self.scaler.state_dict() or self.scale_elsewhere,
            step=self.step,
            best_step=self.best_step,
            best_score=self.best_score,
            seconds=self.seconds,
            sums=self.sums,
            counted=self.counted,
        )

    def restore(self, state: TrainingState) -> None:
        """Go back to what `state` returned, on whatever device that was."""
        self.method.load_state_dict(state.method)
        for name, own in self.optimizers.items():
            own.load_state_dict(state.optimizers[name])
        if not self.scaler.is_enabled():
            self.scale_elsewhere = state.scaler
        elif state.scaler:  # empty where training has been on CPUs alone
            self.scaler.load_state_dict(state.scaler)
        self.step, self.seconds, self.counted = state.step, state.seconds, state.counted
        self.best_step, self.best_score = state.best_step, state.best_score
        self.sums = {name: value.to(self.device) for name, value in state.sums.items()}

    def progress(self) -> Progress:
        """Return where training stands in its schedule."""
        return Progress(
            step=self.step,
            total_steps=self.schedule_steps,
            epoch=self.step // self.steps_per_epoch,
            total_epochs=-(-self.schedule_steps // self.steps_per_epoch),
            seed=self.trial.seed,
            labelled_epoch=self.step // self.steps_per_labelled_epoch,
        )

    def advance(self, batch: Batch) -> None:
        """Run one iteration and add its loss terms to the sums of this stretch of history."""
        point("train", self.rank)
        if not all(part.training for part in self.method.modules()):
            self.method.train()  # takes longer than looking
        batch = Batch(*(tensor.to(self.device, non_blocking=True) for tensor in batch))
        power = self.trial.training.schedule_power
        terms = iterate(
            self.method,
            batch,
            self.progress(),
            self.optimizers,
            rate=schedule(self.step, self.schedule_steps, power),
            power=power,
            scaler=self.scaler,
            precision=self.trial.training.precision,
        )
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, value.new_zeros((), dtype=torch.float64)) + value
        self.counted += 1
        self.step += 1
        if self.step % FINITE_CHECK_STEPS == 0:
            self.check_finite()

    def check_finite(self) -> None:
        """Raise `TrainingError` naming the loss terms that were not finite, if any were."""
        values = self.mean_terms()
        broken = [f"{name}={value}" for name, value in values.items() if not np.isfinite(value)]
        if broken:
            raise TrainingError(
                f"every loss must be finite, got {', '.join(broken)} by step={self.step}; "
                "a smaller learning rate or fp32 may help"
            )

    def mean_terms(self) -> dict[str, float]:
        """Return the mean of each loss term since the last row, over steps and workers."""
        if not self.sums:
            return {}
        means = distributed.mean_over_workers(torch.stack(list(self.sums.values())) / self.counted)
        return dict(zip(self.sums, means.tolist(), strict=True))

    def evaluation_steps(self) -> list[int]:
        """Return the steps after which to evaluate: evenly spaced, the last step included."""
        first, evaluations = self._first_step(), self.trial.training.evaluations
        stretch = self.total_steps - first
        count = min(evaluations, stretch)
        return [first + round(stretch * (index + 1) / count) for index in range(count)]

    def is_recorded(self) -> bool:
        """Return whether the loss terms are to be kept after the step that has just ended."""
        every, since = self.trial.training.record_every, self.step - self._first_step()
        return every is not None and since >= 0 and since % every == 0

    def row(self) -> dict[str, object]:
        """Return step, epoch and mean loss terms, a row of the history, and begin new means."""
        terms = self.mean_terms()
        self.sums, self.counted = {}, 0
        return {"step": self.step, "epoch": self.progress().epoch, **terms}

    def _first_step(self) -> int:
        """Return the step from which on training is evaluated and recorded."""
        share = self.trial.training.evaluate_from
        return min(round(share * self.schedule_steps), self.total_steps - 1)

    def score(self, part: str) -> Score:
        """Return the summary and the per-image confusion matrices of one part of the data set."""
        protocol = self.trial.training.evaluation
        readers = self.data_workers if self.device.type == "cuda" else 0
        confusions = evaluate(
            self.method, self.dataset, part, protocol, self.device, readers=readers
        )
        return summary(confusions, self.dataset.classes), confusions


def fit(
    training: Training,
    folder: Folder,
    report: Report,
    *,
    keep: Keep = Keep(),  # noqa: B008  a frozen value
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Train from where `training` stands to the end and return the metrics of last and best.

    None, with a checkpoint in place, where `report` answers an evaluation with `STOP`. After each
    evaluation the history row is appended first, with those recorded since the one before, and the
    checkpoint written after it, so that a checkpoint never knows of a row that is not there; rows
    beyond a checkpoint are cut on resume.
    Checkpoints are written while training goes on, see `CheckpointWriter`; what writing one raises
    is raised here.
    Only the first worker writes and reports. It asks `interrupted` after each step whether to end
    with a checkpoint and `TrainingInterrupted`; other workers then wait for it in vain.
    """
    with CheckpointWriter(folder.write_checkpoint, checkpoint_seconds) as writer:
        if not _trained(training, folder, report, keep, writer, interrupted):
            return None
        metrics = dict(_final_metrics(training, folder, keep))
        writer.wait()
    return metrics


def _trained(
    training: Training,
    folder: Folder,
    report: Report,
    keep: Keep,
    writer: CheckpointWriter,
    interrupted: Callable[[], bool],
) -> bool:
    """Train to the end and return True; return False where the report has said to stop."""
    writes = training.rank == 0
    evaluations = set(training.evaluation_steps())
    recorded: list[Mapping[str, object]] = []  # written with what comes next
    started = told = time.monotonic()
    batches = training.loader.batches(
        training.step, training.total_steps, training.data_workers, training.device
    )
    for batch in batches:
        training.advance(batch)
        writer.check()
        due, stop = training.step in evaluations, False
        is_over = training.step == training.total_steps
        if due:
            evaluation = _evaluated(training)
            if writes:
                _keep_best(training, folder, keep)
                folder.append_history([*recorded, evaluation.values])
                recorded = []
                answer = report(_told(training, evaluation))
                stop = answer == STOP and not is_over
        elif training.is_recorded():
            recorded.append(training.row())
        leaves = writes and interrupted()
        now = time.monotonic()
        if writes and (stop or leaves or writer.is_due(evaluated=due, is_last=is_over)):
            training.seconds += now - started
            started = now
            if recorded:
                folder.append_history(recorded)
                recorded = []
            writer.write(training.step, vars(training.state()))
        if stop or leaves:
            writer.wait()
        if leaves:
            raise TrainingInterrupted
        if writes and (due or now - told > PROGRESS_SECONDS):
            told = now
            report(_told(training))
        if due and distributed.share(stop):
            return False
    training.seconds += time.monotonic() - started
    return True


def _told(training: Training, evaluation: Evaluation | None = None) -> TrialProgress:
    return TrialProgress(
        step=training.step, total_steps=training.total_steps, evaluation=evaluation
    )


def _evaluated(training: Training) -> Evaluation:
    point("evaluate", training.rank)
    training.check_finite()
    row = training.row()
    training.scored = training.step, training.score(SELECTION_PART)
    metrics, _ = training.scored[1]
    if metrics["miou"] > training.best_score:
        training.best_step, training.best_score = training.step, metrics["miou"]
    scores = {f"{SELECTION_PART}.{name}": value for name, value in metrics.items()}
    return Evaluation(training.step, row | scores)


def _keep_best(training: Training, folder: Folder, keep: Keep) -> None:
    if training.best_step == training.step:
        folder.write_weights("best", training.step, _weights(training, keep))


def _weights(training: Training, keep: Keep) -> Content:
    """Return what writes the weights that a trial keeps."""
    state = kept_state(training.method, whole=keep.whole)
    return lambda file: torch.save(state, file)


def _final_metrics(training: Training, folder: Folder, keep: Keep) -> Iterator[tuple[str, float]]:
    """Yield the metrics of last and best weights; equal weights are scored once on each part."""
    is_best = training.best_step == training.step
    if training.rank == 0 and "last" in keep.names:
        if is_best:
            folder.share_weights("last", "best", training.step)
        else:
            folder.write_weights("last", training.step, _weights(training, keep))
    parts = [part for part in training.dataset.parts if part != "train"]
    known: dict[str, Score] = {}
    if training.scored is not None and training.scored[0] == training.step:
        known[SELECTION_PART] = training.scored[1]
    scores = {part: known[part] if part in known else training.score(part) for part in parts}
    yield from _kept(training, folder, "last", scores)
    if not is_best:
        best = distributed.share(
            folder.read_weights("best", training.best_step) if training.rank == 0 else None
        )
        load_kept(training.method, from_bytes(best), f"the best ones of step={training.best_step}")
        scores = {part: training.score(part) for part in parts}
    yield from _kept(training, folder, "best", scores)
    yield "best.step", training.best_step


def _kept(
    training: Training, folder: Folder, name: str, scores: Mapping[str, Score]
) -> Iterator[tuple[str, float]]:
    for part, (metrics, confusions) in scores.items():
        if training.rank == 0:
            folder.write_confusion(f"{name}-{part}", confusions)
        for metric, value in metrics.items():
            yield f"{name}.{part}.{metric}", value


def to_bytes(state: Mapping[str, object]) -> bytes:
    """Return a state of tensors and plain values as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> StateDict:
    """Return the state that `to_bytes` wrote; refuses anything but tensors and plain values."""
    loaded: StateDict = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return loaded
