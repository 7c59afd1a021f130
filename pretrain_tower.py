r"""Pretrain a HuBERT tower on unlabelled speech: masked prediction of clusters (Hsu et al. 2021, arXiv 2106.07447), or
regression on the states of a pretrained tower (Chang et al. 2022, arXiv 2110.01900).

    python pretrain_tower.py configs/pretraining/30-minutes.yaml
    python pretrain_tower.py configs/pretraining/120-minutes.yaml --data path/to/recordings espeak
    python pretrain_tower.py configs/pretraining/student.yaml --teacher openai/whisper-base --teacher_layers 2 3
    accelerate launch pretrain_tower.py configs/pretraining/gpu.yaml --data '{folder: DIR, weight: 3}' espeak
    python pretrain_tower.py configs/pretraining/30-minutes.yaml --resume_from_checkpoint true

The YAML file gives the options, `--key value` on the command line wins. All options: docs/tower.md, and
`python pretrain_tower.py --help`.

The run folder (`output_dir`) receives config.yaml (every option, as resolved), environment.json (versions, command,
recordings left out), iteration-N/ (checkpoints, TensorBoard logs, the iteration's tower), results.json, and final/: an
ordinary `HubertModel` folder with its feature extractor.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from transformers import set_seed

from xser.commands.entry import run_command
from xser.corpora.cache import cache_root, write_json
from xser.pretraining.arguments import (
    TOWER_ARGUMENT_CLASSES,
    TowerArguments,
    TowerDataArguments,
    TowerTrainingArguments,
    parse_tower_config,
)
from xser.pretraining.augment import Augmenter
from xser.pretraining.collator import TowerCollator
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import PREVIOUS, Iteration
from xser.pretraining.model import TowerForPretraining, export_tower, start_tower
from xser.pretraining.objectives import objective_of
from xser.pretraining.origin import named_towers, teachers_of, without_places
from xser.pretraining.plan import (
    check_plan,
    iteration_arguments,
    minutes_left,
    where_to_resume,
    with_previous,
)
from xser.pretraining.sources import TowerData, load_sources
from xser.pretraining.targets import make_targets
from xser.pretraining.trainer import TowerTrainer, needs_of, source_datasets
from xser.training.arguments import resolved_config
from xser.training.provenance import Provenance
from xser.training.run import check_run_folder, given_arguments, start_process, without_tokens, write_record
from xser.training.whole import tidy, whole_folder

logger = logging.getLogger("xser.pretrain_tower")


def run_iteration(
    iteration: Iteration,
    folder: Path,
    tower_arguments: TowerArguments,
    arguments: TowerTrainingArguments,
    sources: list[TowerData],
    cache: Path,
    checkpoint: str | None,
    start: float,
) -> tuple[TowerForPretraining, dict, bool]:
    """Train one iteration; gives the model, its figures, and whether it came to its own end."""
    set_seed(arguments.seed)
    tower = start_tower(iteration.start, tower_arguments)
    grid = FrameGrid.of(tower.config)
    with arguments.main_process_first(desc="making the targets"):
        targets = make_targets(
            iteration, sources, grid, cache, tower_arguments.fit_frames, arguments.seed, arguments.device
        )
    set_seed(arguments.seed)  # whether targets were on disk makes no difference
    model = TowerForPretraining(tower, objective_of(targets, tower.config.hidden_size, tower_arguments.head))
    augmenter = Augmenter(tower_arguments.augment) if any(tower_arguments.augment.values()) else None
    collator = TowerCollator(
        grid,
        tower_arguments.mask_prob,
        tower_arguments.mask_length,
        tower_arguments.do_normalize,
        augmenter,
        targets.objective,
    )
    train, held_out = source_datasets(sources, targets, grid)
    left = minutes_left(arguments, start)
    limits = [limit for limit in (left, iteration.max_minutes) if limit is not None]
    trainer = TowerTrainer(
        model,
        iteration_arguments(arguments, iteration, folder, tower.config.layerdrop),
        collator,
        train,
        {data.name: data.weight for data in sources},
        held_out,
        targets,
        max_minutes=min(limits, default=None),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    is_over_early = trainer.state.global_step < trainer.state.max_steps
    is_done = not (is_over_early and left is not None and left == min(limits))
    metrics = {"steps": trainer.state.global_step, "has_collapsed": trainer.has_collapsed, "targets": targets.digest}
    if len(trainer.eval_dataset):
        metrics |= trainer.evaluate()
    return model, metrics, is_done


def run_iterations(
    groups: tuple[TowerArguments, TowerDataArguments, TowerTrainingArguments],
    sources: list[TowerData],
    first: int,
    checkpoint: str | None,
    start: float,
    write_origin: Callable[[Path], None],
) -> dict:
    """Train from iteration `first` (from 0), which goes on from `checkpoint`; the figures of all, and final/.

    Args:
        write_origin: writes into final/ what it was made of.
    """
    tower_arguments, data_arguments, arguments = groups
    run = Path(arguments.output_dir)
    results = read_results(run) if first else {}
    cache = cache_root(data_arguments.cache_dir) / "tower"
    tower_folder = run / f"iteration-{first}" / "tower" if first else None
    for number, iteration in enumerate(tower_arguments.steps[first:], start=first + 1):
        folder = run / f"iteration-{number}"
        if number > 1 and minutes_left(arguments, start) == 0:
            logger.warning("max_minutes is over before %s: --resume_from_checkpoint true goes on there", folder.name)
            break
        model, metrics, is_done = run_iteration(
            with_previous(iteration, tower_folder), folder, tower_arguments, arguments, sources, cache,
            checkpoint if number == first + 1 else None, start,
        )  # fmt: skip
        results[folder.name] = metrics
        exported = folder / ("tower" if is_done else "unfinished-tower")
        if is_done or number == 1 or iteration.start == PREVIOUS:  # new weights, not yet trained, are no better
            tower_folder = exported
        if arguments.should_save:
            export_tower(model.tower, exported, tower_arguments.do_normalize)
            write_json(run / "results.json", results)
            logger.info("%s: %s", folder.name, json.dumps(metrics, indent=2))
        if not is_done:
            logger.warning("max_minutes is over in %s: --resume_from_checkpoint true goes on from there", folder.name)
            break
        wait_for_all(arguments)
    if arguments.should_save:
        with whole_folder(run / "final") as folder:
            shutil.copytree(tower_folder, folder, dirs_exist_ok=True)
            write_origin(folder)
    return results


def main(argv: list[str] | None = None) -> dict:
    """Pretrain as `argv` says; gives the figures of every iteration."""
    start = time.monotonic()
    argv = given_arguments(argv, __doc__, TOWER_ARGUMENT_CLASSES)
    groups = parse_tower_config(argv)
    tower_arguments, data_arguments, arguments = groups
    start_process(arguments)
    check_run_folder(arguments)
    check_plan(tower_arguments, data_arguments)
    teachers = teachers_of(tower_arguments.steps)
    run = Path(arguments.output_dir)
    with arguments.main_process_first(desc="looking for checkpoints"):
        for folder in (run, *run.glob("iteration-*")):
            tidy(folder)
        iterations, needs = len(tower_arguments.steps), needs_of(arguments)
        first, checkpoint = where_to_resume(run, arguments.resume_from_checkpoint, iterations, needs)
    with arguments.main_process_first(desc="preparing the data"):
        sources = load_sources(data_arguments, arguments.seed)
    if arguments.should_save:
        reports = {data.name: data.report() for data in sources}
        facts = {"data": reports, "teachers": teachers}
        write_record(run, ["pretrain_tower.py", *argv], groups, ("torchaudio", "scikit-learn"), **facts)
    return run_iterations(groups, sources, first, checkpoint, start, origin_writer(groups, teachers, argv))


def origin_writer(groups: tuple, teachers: list[dict], argv: list[str]) -> Callable[[Path], None]:
    """What writes into a folder which towers, corpora and options its tower was made of, and by which command."""
    tower_arguments, data_arguments, _ = groups
    towers = named_towers(tower_arguments.steps)
    provenance = Provenance(towers, [source.corpus or source.folder for source in data_arguments.sources])
    config = without_places({**resolved_config(*groups), "teachers": teachers}, towers.values())
    command = without_places(without_tokens(["python", "pretrain_tower.py", *argv]), towers.values())
    return partial(provenance.write, config=config, command=command)


def read_results(run: Path) -> dict:
    """What earlier iterations have given."""
    path = run / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def wait_for_all(arguments: TowerTrainingArguments) -> None:
    """Until the first process has written the tower that all go on from."""
    if arguments.world_size > 1:
        torch.distributed.barrier()


if __name__ == "__main__":
    run_command("pretrain_tower.py", main)
