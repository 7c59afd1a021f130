"""XSERTrainer: stages of tasks, every loss term logged for its task, evaluation by generation."""

import copy
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import ProgressCallback, Seq2SeqTrainer, Trainer
from transformers.trainer_utils import EvalPrediction

from xser.agreement_xser import matching_processor
from xser.losses_xser import ctc_frames_needed
from xser.modeling_xser import AUX_INPUT
from xser.training.arguments import XSERTrainingArguments
from xser.training.averaging import FILE as AVERAGES
from xser.training.averaging import WeightAverage
from xser.training.balance import SAMPLING, WEIGHTS, emotion_weights
from xser.training.checkpoints import Needs, Resumable
from xser.training.collator import XSERCollator
from xser.training.folding import check_foldable, folded
from xser.training.groups import check_groups, frozen, parameters_by_group, trained_groups
from xser.training.loading import interleaving_loader, loader_options
from xser.training.metrics import asr_metrics, describe_metrics
from xser.training.plan import draws_of
from xser.training.rates import AtItsStep, StageScheduler, has_own_rates
from xser.training.sampler import TaskDataset, TaskRows
from xser.training.stages import JOINT, Stage
from xser.training.stopping import TimeLimit
from xser.training.timetable import plan_timetable
from xser.training.voices import Voices
from xser.weights_xser import in_dtype

LOSS_TERMS = (
    *("loss", "lm_loss", "content_kl", "descriptor_kl", "ctc_loss", "level_loss"),
    *("aux_kl", "emotion_loss", "dimension_loss"),
)
CTC_LEFT_OUT = "ctc_left_out"  # utterances that have no alignment
AUDIO_INPUTS = ("input_values", "input_values_mask", "loudness")


class LossMeter:
    """Means and counts of named values since the last reading, over all processes."""

    def __init__(self):
        self.totals = defaultdict(lambda: [0.0, 0.0])  # name → sum of the values by their weights, sum of the weights

    def add(self, task: str, outputs, without_alignment: torch.Tensor | None = None) -> None:
        """Add every loss term that a micro-batch had, as `task/term`.

        Args:
            without_alignment: (B,) whether an utterance has no alignment under CTC; `ctc_loss` is a mean over the
                others, and `task/ctc_left_out` counts these.
        """
        for term in LOSS_TERMS:
            value, weight = getattr(outputs, term), 1.0
            if value is None:
                continue
            if term == "ctc_loss" and without_alignment is not None:
                weight = (~without_alignment).sum().double()
                self._add(f"{task}/{CTC_LEFT_OUT}", without_alignment.sum().double(), 1.0)
            self._add(f"{task}/{term}", value.detach().double() * weight, weight)

    def _add(self, name: str, value, weight) -> None:
        total = self.totals[name]
        total[0], total[1] = total[0] + value, total[1] + weight

    def read(self, accelerator) -> dict[str, float]:
        """The means and counts, name → value, and start anew. Every process must hold the same names.

        A mean over no utterance at all is left out.
        """
        names = sorted(self.totals)
        if not names:
            return {}
        values = [value for name in names for value in self.totals[name]]
        values = [torch.as_tensor(value, dtype=torch.float64).to(accelerator.device) for value in values]
        self.totals.clear()
        sums = accelerator.reduce(torch.stack(values), "sum").view(-1, 2).tolist()
        return {
            name: total if name.endswith(CTC_LEFT_OUT) else total / weight
            for name, (total, weight) in zip(names, sums, strict=True)
            if weight
        }


class XSERTrainer(Resumable, Seq2SeqTrainer):
    """Trains XSER on several tasks.

    Args:
        model: `XSERForEmotionDescription`.
        args: `XSERTrainingArguments`.
        processor: its `XSERProcessor`; saved with every checkpoint.
        train_dataset, eval_dataset: task → `datasets.Dataset` of the one schema, whose rows all suit the task
            (`xser.training.data.select_rows`).
        voices: of the training data, for profiles of speakers and measured prosody.
        say_where_from: writes into the folder of a model what it was made of.

    Logged since the last log, a task: `asr/lm_loss`, `describe/descriptor_kl`, …; the KLs are in nats a frame.
    Evaluation gives `eval_asr_wer`, `eval_describe_ua`, `eval_describe_pitch_accuracy`, …
    """

    def __init__(
        self,
        model,
        args: XSERTrainingArguments,
        processor,
        train_dataset=None,
        eval_dataset=None,
        voices: Voices | None = None,
        say_where_from: Callable[[Path], None] = lambda folder: None,
        **kwargs,
    ):
        had_use_cache = hasattr(model.config, "use_cache")
        processor = matching_processor(processor, model.config)
        collator = XSERCollator(
            processor,
            args.slot_dropout,
            args.slots_kept,
            args.transcript_dropout,
            voices,
            args.reference_probability,
            args.swap_probability,
            tuple(args.speeds),
            dimensions=tuple(model.config.dimensions),
            soft_labels=args.soft_labels,
        )
        train_dataset = train_dataset or {}
        self.stages, self.timetable = args.stage_list, None
        present = parameters_by_group(model)
        check_groups(self.stages, args.schedule, model.config, present, args.heads_first)
        if args.fold_lora:
            check_foldable(model)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=TaskDataset(train_dataset, args.seed),
            eval_dataset=eval_dataset,
            processing_class=processor,
            **kwargs,
        )
        if not had_use_cache:  # the Trainer writes its own option into the config, to be published with the model
            del model.config.use_cache
        assert not self.model_accepts_loss_kwargs, "losses are means: the Trainer has to divide them by accumulation"
        self.meter, self.say_where_from = LossMeter(), say_where_from
        self.thin_dtype: torch.dtype | None = None  # of files, where it is not the model's
        self.still = {stage.name: self._held_still(stage, present) for stage in self.stages}
        if args.class_balance == WEIGHTS and "describe" in train_dataset:
            self.data_collator.emotion_weights = emotion_weights(train_dataset["describe"]["emotion"][:])
        self.add_callback(AtItsStep())
        if args.max_minutes is not None:
            self.add_callback(TimeLimit(args.max_minutes))
        self.average = None
        if args.average_weights:
            self.average = WeightAverage(self.model)
            self.add_callback(self.average)

    # ------------------------------------------------------------------ data

    def get_train_dataloader(self) -> DataLoader:
        """Our own loader: sharding and shuffling are the sampler's, so accelerate does not prepare it."""
        datasets = self.train_dataset.datasets
        emotions = {}
        if self.args.class_balance == SAMPLING:
            emotions = {"describe": datasets["describe"]["emotion"][:]}
        batch = self._train_batch_size * self.args.world_size * self.args.gradient_accumulation_steps
        self.timetable = plan_timetable(self.args, draws_of(self.args, datasets), batch)
        return interleaving_loader(
            self.args,
            self.train_dataset,
            {task: rows["duration"][:] for task, rows in datasets.items()},
            self._train_batch_size,
            self.timetable,
            self.data_collator,
            emotions,
        )

    def get_eval_dataloader(self, eval_dataset: TaskRows) -> DataLoader:
        """Rows in order, with prompts for generation; processes share them."""
        collator = replace(
            self.data_collator,
            slot_dropout=0.0,
            transcript_dropout=0.0,
            voices=None,
            speeds=(1.0,),
            emotion_weights=None,
            return_prompts=True,
        )
        loader = DataLoader(
            eval_dataset, batch_size=self.args.eval_batch_size, collate_fn=collator, **loader_options(self.args)
        )
        return self.accelerator.prepare(loader)

    # ------------------------------------------------------------------ training

    def train(self, *args, **kwargs):
        """As `Seq2SeqTrainer.train`; with `average_weights` the model has the averages afterwards."""
        output = super().train(*args, **kwargs)
        if self.average is not None:
            self.average.apply()
        return output

    def training_step(self, model, inputs: dict[str, dict], num_items_in_batch=None) -> torch.Tensor:
        """Backward for every task of the micro-batch (one, or all in the joint schedule); the sum of their losses.

        Each task has a forward and a backward of its own, as DDP wants; gradients are exchanged after the last. What
        the stage does not train gets none.
        """
        total = 0.0
        with frozen(self._still_now(inputs)), folded(self.model) if self.args.fold_lora else nullcontext():
            for number, (task, features) in enumerate(inputs.items(), start=1):
                with nullcontext() if number == len(inputs) else self.accelerator.no_sync(model):
                    total = total + super().training_step(model, {task: features}, num_items_in_batch)
        return total

    def _held_still(self, stage: Stage, present: dict[str, list]) -> list:
        """Weights that a stage does not train; those that its task does not reach get no gradient anyway."""
        stages = self.stages if self.args.schedule == JOINT else (stage,)
        if all(each.trains is None for each in stages):
            return []
        trained = {group for each in stages for group in trained_groups(each, self.model.config, present)}
        return [weight for group, weights in present.items() if group not in trained for weight in weights]

    def _still_now(self, inputs: dict[str, dict]) -> list:
        """Weights that the step's stage does not train."""
        if self.args.schedule == JOINT:
            return self.still[self.stages[0].name]
        stage = self.timetable.at(self.state.global_step).stage
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, ProgressCallback) and callback.training_bar is not None:
                callback.training_bar.set_description(stage.name, refresh=False)
        assert list(inputs) == [stage.task], f"step {self.state.global_step} is of {stage}, its batch of {[*inputs]}"
        return self.still[stage.name]

    def set_initial_training_values(self, args, dataloader):
        """The run is as long as its stages, where these have lengths."""
        if self.timetable.total is not None:
            args = copy.copy(args)
            args.max_steps = self.timetable.total
        return super().set_initial_training_values(args, dataloader)

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """Each stage's own schedule of the learning rate, where one has a rate or a length; else the run's."""
        if self.lr_scheduler is None and has_own_rates(self.stages):
            self.lr_scheduler = StageScheduler(
                self.optimizer if optimizer is None else optimizer, self.timetable, self.args, num_training_steps
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(self, model, inputs: dict[str, dict], return_outputs: bool = False, num_items_in_batch=None):
        """The loss of one task's micro-batch, its terms noted for the log."""
        [(task, features)] = inputs.items()
        if model.training and self.state.global_step < self.args.heads_first and self._has_heads(task):
            features = {**features, "heads_only": True}
        outputs = model(**features)
        self.meter.add(task, outputs, self._without_alignment(model, features))
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _has_heads(self, task: str) -> bool:
        """Whether a task can train its streams without the language model: a transcript is learned by CTC."""
        return task == "describe" or self.accelerator.unwrap_model(self.model).config.ctc_weight > 0

    def _without_alignment(self, model, features: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """(B,) whether an utterance has fewer frames than CTC needs for its text; `None` in batches of other tasks."""
        if "ctc_labels" not in features:
            return None
        if "tower_mask" in features:
            frames = features["tower_mask"].sum(-1)
        else:
            tower = self.accelerator.unwrap_model(model).config.tower
            frames = tower.frames.num_frames(features["input_values_mask"].sum(-1))
        return ctc_frames_needed(features["ctc_labels"]) > frames

    def floating_point_ops(self, inputs) -> int:
        """Not estimated: the usual formula counts tokens, and most of the work here is the audio tower's."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add every loss term's mean since the last log to the training log, and how far each stage is."""
        if "loss" in logs:
            logs |= self.meter.read(self.accelerator)
            if len(self.stages) > 1 and self.args.schedule != JOINT:
                counts = self.timetable.counts(self.state.global_step)
                logs |= {f"stage/{name}": steps for name, steps in counts.items()}
        super().log(logs, start_time)

    # ------------------------------------------------------------------ evaluation

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Evaluate each task by generation from prompts that hold no answer; with `average_weights`, the averages.

        `eval_loss` is the mean of the tasks' losses.

        Args:
            eval_dataset: task → data set; those given to the trainer by default.

        Raises:
            ValueError: there is nothing to evaluate on.
        """
        datasets = self.eval_dataset if eval_dataset is None else eval_dataset
        if not datasets:
            raise ValueError("evaluation wants eval_dataset, a dict of task → data set; it is empty")
        metrics, training_meter = {}, self.meter
        with nullcontext() if self.average is None else self.average.applied():
            for task, dataset in datasets.items():
                prefix = f"{metric_key_prefix}_{task}"
                self.meter, self.compute_metrics = LossMeter(), partial(self._score, task)
                # Seq2SeqTrainer.evaluate would gather the copies that fill up the last batch: past it, to its parent
                metrics |= Trainer.evaluate(self, TaskRows(task, dataset), ignore_keys, prefix)
        self.meter = training_meter
        losses = [metrics[f"{metric_key_prefix}_{task}_loss"] for task in datasets]
        mean = {f"{metric_key_prefix}_loss": sum(losses) / len(losses)}
        self.log(mean)
        return metrics | mean

    def prediction_step(self, model, inputs: dict[str, dict], prediction_loss_only, ignore_keys=None):
        """Loss on the answer, and an answer generated from the prompt alone."""
        [(task, features)] = self._prepare_inputs(inputs).items()
        prompts = {name: features.pop(f"prompt_{name}") for name in ("input_ids", "attention_mask")}
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, {task: features})
        if prediction_loss_only:
            return loss, None, None
        model = self.accelerator.unwrap_model(model)
        greedy = copy.deepcopy(model.generation_config)
        greedy.update(do_sample=False, max_new_tokens=self.args.eval_max_new_tokens)
        audio = {name: features[name] for name in features if name in AUDIO_INPUTS or name.startswith(AUX_INPUT)}
        with self.accelerator.autocast():
            answers = model.generate(**prompts, **audio, generation_config=greedy)
        return loss, answers, features["labels"]

    def _score(self, task: str, prediction: EvalPrediction) -> dict[str, float]:
        answers, references = self._texts(prediction.predictions), self._texts(prediction.label_ids)
        terms = {name.split("/")[1]: value for name, value in self.meter.read(self.accelerator).items()}
        if task == "asr":
            scores = asr_metrics(answers, references)
        else:
            scores = describe_metrics(answers, references, self.processing_class)
        return {**terms, **scores}

    def _texts(self, rows: np.ndarray) -> list[str]:
        """Answers without prompt and padding (both negative, or the tokenizer's special tokens)."""
        return [self.processing_class.decode_answer(row[row >= 0]) for row in rows]

    # ------------------------------------------------------------------ checkpoints

    @property
    def needs(self) -> Needs:
        return needs_of(self.args)

    def settle_dtype(self, dtype: torch.dtype) -> None:
        """Make the model what a file in `dtype` gives back, and save it as such from here on.

        With `thin_checkpoints` that is what was trained, rounded: backbones keep the dtype that they load in.

        Raises:
            ValueError: `dtype` does not hold what was trained.
        """
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if not self.args.thin_checkpoints:
            model.to(dtype)
            return
        trained = {name: tensor for name, tensor in model.state_dict().items() if model._is_trained(name)}
        for name, rounded in in_dtype(trained, dtype).items():
            trained[name].copy_(rounded)
        self.thin_dtype = dtype

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Model and processor, full or thin."""
        if not self.args.should_save:
            return
        output_dir = Path(output_dir or self.args.output_dir)
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        options = {} if self.thin_dtype is None else {"dtype": self.thin_dtype}
        model.save_pretrained(output_dir, thin=self.args.thin_checkpoints, state_dict=state_dict, **options)
        self.processing_class.save_pretrained(output_dir)
        self.say_where_from(output_dir)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.average is not None and self.args.should_save:
            self.average.save(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.average is not None and checkpoint is not None:
            self.average.load(checkpoint)

    def _issue_warnings_after_load(self, load_result) -> None:
        """A checkpoint to resume from must hold all that is trained: less is an error, not a warning."""
        present = dict(self.model.named_parameters(remove_duplicate=False))
        loaded = {id(present[name]) for name in present if name not in set(load_result.missing_keys)}
        missing = [name for name, p in present.items() if p.requires_grad and id(p) not in loaded]
        if missing or load_result.unexpected_keys:
            unknown = load_result.unexpected_keys
            raise ValueError(
                "the checkpoint to resume from does not fit this model: resume with the configuration it was trained "
                f"with. It lacks {missing[:3]} ({len(missing)} in all) and has no use for {unknown[:3]} "
                f"({len(unknown)} in all)"
            )


def needs_of(arguments: XSERTrainingArguments) -> Needs:
    """What a checkpoint must hold to go on from it."""
    averages = (AVERAGES,) if arguments.average_weights else ()
    return Needs.of(arguments, texts=("config.json", "processor_config.json"), tensors=averages)
