"""Rows → model inputs, through the processor."""

from dataclasses import dataclass

import numpy as np
import torch

from xser.audio_xser import SAMPLE_RATE, at_speed
from xser.corpora.catalogue import makes_levels
from xser.grammar_xser import EMOTION, EMPHASIS, TRANSCRIPT, EmotionDescription, OwnCaption, one_line
from xser.measured_slots_xser import RELATIVE_SLOTS
from xser.profile_xser import SpeakerProfile
from xser.training.reference_levels import with_levels_of
from xser.training.voices import Voices
from xser.voice_frames_xser import PROSODY
from xser.voice_measures_xser import MEASURES


@dataclass
class XSERCollator:
    """Makes one micro-batch of rows: `{task: model inputs}`, one task as a rule, all in the joint schedule.

    Args:
        processor: the `XSERProcessor`.
        slot_dropout: probability that a description is asked for only some of its known slots, drawn by the row's
            noise seed. It teaches the model to answer any selection, and short answers weigh the emotion more.
        slots_kept: probability that a slot beside the emotion and the transcript is kept there.
        transcript_dropout: probability that a description is asked for without the transcript.
        voices: where measured prosody and profiles of speakers come from; measured anew, and no profiles, without.
        reference_probability: of a speaker's profile, drawn from their other recordings.
        swap_probability: of sounding, to a model that knows no reference, like another speaker (`Voices.swap`).
        speeds: at which recordings are played, drawn by the row's noise seed; each makes another voice of it.
        emotion_weights: emotion → weight of an utterance's loss (`loss_weights`); one without an emotion weighs 1.
        dimensions: columns that `dimension_labels` are made of, NaN where a row does not know one.
        soft_labels: whether raters' labels make `soft_emotion_labels`, a distribution over the model's emotions; those
            of other emotions are left out, and a row without any has zeros.
        return_prompts: add `prompt_input_ids` and `prompt_attention_mask`, without any answer, for generation.

    Rows are those of `TaskDataset`. Which rows can be used for a task is decided before (`xser.training.data`).
    """

    processor: object
    slot_dropout: float = 0.0
    slots_kept: float = 1 / 3
    transcript_dropout: float = 0.0
    voices: Voices | None = None
    reference_probability: float = 0.0
    swap_probability: float = 0.0
    speeds: tuple[float, ...] = (1.0,)
    emotion_weights: dict[str, float] | None = None
    dimensions: tuple[str, ...] = ()
    soft_labels: bool = False
    return_prompts: bool = False

    def known(self, row: dict, profile: SpeakerProfile | None = None, speed: float = 1.0) -> EmotionDescription:
        """What a description can be learnt from: the row's labels, or levels relative to the profile it is given with.

        Levels that are relative to the speaker are not asked where the model has no reference: it could only learn
        them by learning the speakers by heart. An emotion is asked all the same.
        """
        description = self.processor.schema.describe(row)
        if self.voices is None or not self.processor.speaker_reference:
            return description
        if profile is None or not profile.is_speaker:
            if row["emotion"] is None:
                return description
            return description.only([slot for slot in description.slots if slot not in RELATIVE_SLOTS])
        if self.voices.calibration is None or profile.usual is None or makes_levels(row["corpus"]):
            return description
        prosody, schema = self.voices.prosodies[row["id"], speed], self.processor.schema
        return with_levels_of(description, prosody, self.voices.calibration, profile.usual, schema)

    def profile(self, row: dict, speed: float, rng: np.random.Generator) -> SpeakerProfile | None:
        """What is usual for the row's speaker, or for another voice, now and then; descriptions alone hear it."""
        if row["task"] == "asr" or self.voices is None or not self.processor.speaker_reference:
            return None
        chance = rng.random()
        if chance < self.reference_probability:
            return self.voices.draw(row["id"], row["speaker"], speed, rng)
        if chance < self.reference_probability + self.swap_probability:
            return self.voices.swap(row["id"], row["speaker"], speed, rng)
        return None

    def __call__(self, rows: list[dict]) -> dict[str, dict[str, torch.Tensor]]:
        tasks = dict.fromkeys(row["task"] for row in rows)
        return {task: self.collate([row for row in rows if row["task"] == task]) for task in tasks}

    def collate(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Inputs for rows of one task.

        A row may hold the features of an auxiliary stream under its name.
        """
        draws = [np.random.default_rng([row["noise_seed"], 1]) for row in rows]
        speeds = [float(rng.choice(self.speeds)) for rng in draws]
        keys = [(row["id"], speed) for row, speed in zip(rows, speeds, strict=True)]
        recordings, heard = None, None
        if self.voices is not None and self.voices.heard:
            loudness = self.voices.loudness
            heard = [(self.voices.heard[key], loudness[key[0]]) for key in keys]
        else:
            recordings = [
                row["audio"] if speed == 1 else (at_speed(self.processor.load(row["audio"]), speed), SAMPLE_RATE)
                for row, speed in zip(rows, speeds, strict=True)
            ]
        aux = {
            name: [row[name] for row in rows]
            for name in self.processor.aux_streams
            if all(name in row for row in rows)
        }
        if self.voices is not None and rows[0]["task"] == "describe":
            if PROSODY in self.processor.aux_streams:
                aux[PROSODY] = [self.voices.frames_of(*key) for key in keys]
            if MEASURES in self.processor.aux_streams:
                size = self.processor.aux_streams[MEASURES]["size"]
                aux[MEASURES] = [self.voices.measures[key][None, :size] for key in keys]
        profiles = [self.profile(*each) for each in zip(rows, speeds, draws, strict=True)]
        known, spared, seeds = None, None, [row["noise_seed"] for row in rows]
        if rows[0]["task"] == "asr":
            targets = [row["text"] for row in rows]
        else:  # the heads on the streams learn all that is known, whatever the answer is asked for
            known = [
                self.known(row, profile, speed) for row, profile, speed in zip(rows, profiles, speeds, strict=True)
            ]
            dropout = self.slot_dropout, self.slots_kept, self.transcript_dropout
            drawn = [drop_slots(each, *dropout, seed) for each, seed in zip(known, seeds, strict=True)]
            targets, spared = map(list, zip(*drawn, strict=True))
            targets = [
                own_caption(row, each, self.processor) or target
                for row, each, target in zip(rows, known, targets, strict=True)
            ]
        batch = self.processor(
            recordings,
            task=rows[0]["task"],
            targets=targets,
            known=known,
            return_prompts=self.return_prompts,
            noise_seed=seeds,
            heard=heard,
            reference=profiles,
            aux=aux,
            wording=seeds,
            spared=spared,
        )
        weights = {}
        if self.emotion_weights is not None and rows[0]["task"] == "describe":
            weights["loss_weights"] = torch.tensor([self.emotion_weights.get(row["emotion"], 1.0) for row in rows])
        rated = self.rated(rows) if rows[0]["task"] == "describe" else {}
        return {**batch, **weights, **rated}

    def rated(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Labels of the heads that are numbers: (B, K) dimensions, and (B, emotions) distributions of raters."""
        labels = {}
        if self.dimensions:
            known = [[row.get(name) for name in self.dimensions] for row in rows]
            labels["dimension_labels"] = torch.from_numpy(np.array(known, dtype=np.float32))  # None is NaN
        if self.soft_labels:
            counts = [[(row.get("ratings") or []).count(name) for name in self.processor.emotions] for row in rows]
            counts = torch.tensor(counts, dtype=torch.float32)
            labels["soft_emotion_labels"] = counts / counts.sum(-1, keepdim=True).clamp(min=1)
        return labels


def own_caption(row: dict, known: EmotionDescription, model) -> OwnCaption | None:
    """A corpus's own caption, which trains as it is, asked for by the slots that the row has labels for, or by all.

    Args:
        model: its config or its processor, which say whether it answers by captions.
    """
    if model.answer != "caption" or not row.get("caption"):
        return None
    has_labels = set(known.slots) - {TRANSCRIPT, EMPHASIS}
    return OwnCaption(one_line(row["caption"]), tuple(known.slots if has_labels else model.schema.slots))


def drop_slots(
    description: EmotionDescription, probability: float, kept: float, transcript_dropout: float, seed: int
) -> tuple[EmotionDescription, bool]:
    """With some probability, only a share of the slots beside the emotion; a function of `seed`, and never empty.

    A transcript is left out by a probability of its own, and the emphasised words, which are chosen among its, with
    it. In a short answer it stands to be read alone.

    Returns:
        The description, and whether its transcript is spared from the loss.
    """
    rng = np.random.default_rng(seed)
    is_short = description.emotion is not None and rng.random() < probability
    slots = {
        slot for slot in description.slots if slot in (EMOTION, TRANSCRIPT) or not is_short or rng.random() < kept
    }
    if TRANSCRIPT in slots and rng.random() < transcript_dropout and slots - {TRANSCRIPT, EMPHASIS}:
        slots -= {TRANSCRIPT, EMPHASIS}
    return description.only(slots), is_short
