"""Checkpoints of a run: written whole or not at all, checked before a run goes on from one."""

import json
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from transformers import TrainingArguments
from transformers.trainer_callback import ExportableState

from xser.training.stopping import StopSignal
from xser.training.whole import remove_folder, whole_folder

logger = logging.getLogger(__name__)

NAME = re.compile(r"checkpoint-(\d+)")
STATE, WEIGHTS, INDEX = "trainer_state.json", "model.safetensors", "model.safetensors.index.json"
ARCHIVES = ("optimizer.pt", "scheduler.pt")


@dataclass(frozen=True)
class Needs:
    """What a checkpoint must hold, beside weights and trainer_state.json, for a run to go on from it.

    Args:
        archives: files of torch.save.
        tensors: files of safetensors.
        texts: files of JSON.
        rank, processes: of this run; `rank` is `None` where all processes see the same folder.
        is_sharded: weights and optimizer are split among the processes (FSDP, DeepSpeed), in folders of their own.
    """

    archives: tuple[str, ...] = ARCHIVES
    tensors: tuple[str, ...] = ()
    texts: tuple[str, ...] = ("config.json",)
    processes: int = 1
    rank: int | None = None
    is_sharded: bool = False

    @classmethod
    def of(cls, arguments: TrainingArguments, **files: tuple[str, ...]) -> "Needs":
        """What a training with these options needs; `files` are further ones."""
        is_sharded = bool(arguments.fsdp or arguments.deepspeed)
        archives = () if arguments.deepspeed else ("scheduler.pt",) if is_sharded else ARCHIVES
        if arguments.fp16 and not arguments.deepspeed:
            archives += ("scaler.pt",)
        rank = arguments.process_index if arguments.save_on_each_node else None
        return cls(archives=archives, processes=arguments.world_size, rank=rank, is_sharded=is_sharded, **files)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name holds."""
    return int(NAME.fullmatch(checkpoint.name).group(1))


def checkpoints_in(run: Path) -> list[Path]:
    """Checkpoints of a run folder, whole or not, the newest first."""
    found = [path for path in run.glob("checkpoint-*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of, reverse=True)


def fault_of(checkpoint: Path, needs: Needs) -> str | None:
    """Why a run cannot go on from a checkpoint; `None` where it can."""
    return next(_faults(checkpoint, needs), None)


def last_whole(run: Path, needs: Needs) -> Path | None:
    """The newest checkpoint that a run can go on from; newer ones are named in a warning, with the reason."""
    for checkpoint in checkpoints_in(run):
        fault = fault_of(checkpoint, needs)
        if fault is None:
            return checkpoint
        logger.warning("%s is passed over: %s", checkpoint, fault)
    return None


def check_whole(checkpoint: str | Path, needs: Needs) -> None:
    """`ValueError` where a run cannot go on from a checkpoint."""
    if fault := fault_of(Path(checkpoint), needs):
        raise ValueError(
            f"resume_from_checkpoint: cannot go on from {checkpoint}: {fault}. Give a checkpoint that is whole, or "
            "'true' for the newest one that is"
        )


def checkpoint_to_resume(run: Path, wanted: str | None, needs: Needs) -> str | None:
    """`resume_from_checkpoint`: a folder; 'true' for the newest whole one in the run folder; 'auto': if there is one.

    Raises:
        ValueError: there is no such checkpoint, or the run folder has some and it was not said what to do with them.
    """
    there = checkpoints_in(run)
    if wanted in (None, "false"):
        if there:
            raise ValueError(
                f"output_dir {run} holds {there[0].name} already: give resume_from_checkpoint, or another folder"
            )
        return None
    if wanted not in ("true", "auto"):
        check_whole(wanted, needs)
        return wanted
    last = last_whole(run, needs)
    if last is None and wanted == "true":
        passed = f" that is whole, only {', '.join(path.name for path in there)}" if there else ""
        raise ValueError(f"resume_from_checkpoint is 'true', but there is no checkpoint in {run}{passed}")
    return None if last is None else str(last)


def weights_fault(folder: Path) -> str | None:
    """What is wrong with the weights of a model's folder: one file of safetensors, or shards under an index."""
    names = [WEIGHTS]
    if not (folder / WEIGHTS).is_file() and (folder / INDEX).is_file():
        if fault := _text_fault(folder / INDEX):
            return fault
        names = sorted(set(_read(folder / INDEX).get("weight_map", {}).values())) or [INDEX]
    return next(filter(None, (_tensors_fault(folder / name) for name in names)), None)


def _faults(checkpoint: Path, needs: Needs) -> Iterator[str]:
    if not checkpoint.is_dir():
        yield "there is no such folder"
        return
    state = checkpoint / STATE
    yield from filter(None, [_text_fault(state)])
    if not isinstance(_read(state).get("global_step"), int):
        yield f"{STATE} names no global_step"
    yield from filter(None, (_text_fault(checkpoint / name) for name in needs.texts))
    if not needs.is_sharded:
        yield from filter(None, [weights_fault(checkpoint)])
    yield from filter(None, (_tensors_fault(checkpoint / name) for name in needs.tensors))
    yield from filter(None, (_archive_fault(checkpoint / name) for name in needs.archives))
    yield from _random_state_faults(checkpoint, needs)


def _random_state_faults(checkpoint: Path, needs: Needs) -> Iterator[str]:
    """Of the processes' random states. Those of another number of processes, complete, are no fault: that is said."""
    ranks = range(needs.processes) if needs.rank is None else [needs.rank]
    names = random_states(needs.processes, ranks)
    there = sorted(path.name for path in checkpoint.glob("rng_state*.pth"))
    if needs.rank is None and (others := processes_of(checkpoint)) not in (None, needs.processes):
        names = random_states(others, range(others))
    elif there and not (checkpoint / names[0]).is_file():
        yield f"{names[0]} is missing, the random state of a process ({', '.join(there)} are there)"
    yield from filter(None, (_archive_fault(checkpoint / name) for name in names))


def random_states(processes: int, ranks) -> list[str]:
    """Names of the files that hold the random states of some of `processes`."""
    return ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in ranks]


def processes_of(checkpoint: Path) -> int | None:
    """How many processes have written a checkpoint, by its random states; `None` where these leave gaps."""
    names = {path.name for path in checkpoint.glob("rng_state*.pth")}
    return len(names) if names and names == set(random_states(len(names), range(len(names)))) else None


def _missing(path: Path) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    return None if path.stat().st_size else f"{path.name} is empty"


def _text_fault(path: Path) -> str | None:
    if fault := _missing(path):
        return fault
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON, or of UTF-8
        return f"{path.name} is not whole JSON ({error})"
    return None if isinstance(value, dict) else f"{path.name} holds no mapping"


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _tensors_fault(path: Path) -> str | None:
    if fault := _missing(path):
        return fault
    try:
        with safe_open(path, framework="pt"):  # reads the header, and holds it against the file's length
            return None
    except SafetensorError as error:
        return f"{path.name} is not whole ({error})"


def _archive_fault(path: Path) -> str | None:
    if fault := _missing(path):
        return fault
    try:
        with ZipFile(path):  # its directory stands at the end
            return None
    except BadZipFile as error:
        return f"{path.name} is not whole ({error})"


class Resumable:
    """Before `Trainer` in a trainer's bases: its checkpoints are whole or not there, and signals leave one behind."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stop = StopSignal()
        self.add_callback(self.stop)

    @property
    def needs(self) -> Needs:
        """What a checkpoint must hold for this trainer to go on from it."""
        return Needs.of(self.args)

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.args.world_size > 1:
            torch.distributed.barrier()

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs):
        """As `Trainer.train`.

        Raises:
            ValueError: the checkpoint is not whole, or, with `True`, there is none that is.
            SystemExit: a signal stopped training; the code is that of shells (143 for SIGTERM, 130 for Ctrl-C).
        """
        if resume_from_checkpoint:
            wanted = "true" if resume_from_checkpoint is True else str(resume_from_checkpoint)
            resume_from_checkpoint = checkpoint_to_resume(Path(self.args.output_dir), wanted, self.needs)
            self._say_whose_random_states(Path(resume_from_checkpoint))
        with self.stop.listening():
            output = super().train(resume_from_checkpoint=resume_from_checkpoint or None, **kwargs)
        if self.stop.is_stopping:
            self._say_what_is_kept()
            raise SystemExit(128 + self.stop.number)
        return output

    def _say_what_is_kept(self) -> None:
        name, step = signal.Signals(self.stop.number).name, self.state.global_step
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{step}"
        if checkpoint.is_dir():
            logger.warning("%s: stopped after step %d, all of it is in %s; resume_from_checkpoint true goes on there",
                           name, step, checkpoint)  # fmt: skip
        else:
            logger.warning("%s: stopped after step %d; save_strategy is 'no', so nothing of it is kept", name, step)

    def _say_whose_random_states(self, checkpoint: Path) -> None:
        processes = processes_of(checkpoint)
        if processes not in (None, self.args.world_size):
            logger.warning(
                "%s was written by %d processes, and this run has %d: the utterances of every step are the same, the "
                "random states of dropout begin anew", checkpoint, processes, self.args.world_size,
            )  # fmt: skip

    def save_whole(self, place: Path) -> AbstractContextManager[Path]:
        """A folder for all processes to write into, which is then put at `place`."""
        return whole_folder(place, self.args.should_save, self.wait)

    def _save_checkpoint(self, model, trial) -> None:
        """As the base class does, but in a hidden folder that is renamed when all of it is on the disk."""
        self.store_flos()
        run = Path(self._get_output_dir(trial=trial))
        place = run / f"checkpoint-{self.state.global_step}"
        if best := self.state.best_global_step:
            folder = run / f"checkpoint-{best}"
            if folder == place or folder.is_dir():
                self.state.best_model_checkpoint = str(folder)
        with self.save_whole(place) as folder:
            self.save_model(str(folder), _internal_call=True)
            if not self.args.save_only_model:
                self._save_optimizer_and_scheduler(str(folder))
                self._save_scaler(str(folder))
                self._save_rng_state(str(folder))
            if self.args.should_save:
                self._note_callbacks()
                self.state.save_to_json(str(folder / STATE))
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(place))
        if self.args.should_save:
            self._rotate(run, place)

    def _note_callbacks(self) -> None:
        """What callbacks know of themselves goes into the state."""
        for callback in (*self.callback_handler.callbacks, self.control):
            if isinstance(callback, ExportableState):
                name, known = type(callback).__name__, self.state.stateful_callbacks
                if isinstance(known[name], list):
                    known[name].append(callback.state())
                else:
                    known[name] = callback.state()

    def _rotate(self, run: Path, newest: Path) -> None:
        """Remove checkpoints beyond `save_total_limit`: those that are not whole first, then the oldest.

        The newest one stays, and the best one.
        """
        limit = self.args.save_total_limit
        if not limit or limit < 0:
            return
        needs, kept = self.needs, {newest, Path(self.state.best_model_checkpoint or newest)}
        there = sorted(checkpoints_in(run), key=lambda path: (fault_of(path, needs) is None, step_of(path)))
        spare = [path for path in there if path not in kept]
        for path in spare[: max(len(there) - max(limit, len(kept)), 0)]:
            remove_folder(path)

    def _load_best_model(self) -> None:
        if not self.stop.is_stopping:  # then there is no time, and the run goes on from its last checkpoint
            super()._load_best_model()
