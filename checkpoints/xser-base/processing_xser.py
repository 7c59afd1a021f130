"""XSERProcessor: recordings and tasks to the model's inputs, and the model's tokens to answers.

A prompt holds placeholder tokens, one for every `frame_stack` frames of a stream (`prompts_xser`); the model puts that
stream's features in their place. An answer is tokenised piece by piece (`answers_xser`). What is usual for the speaker
and the features of further streams come from `voice_inputs_xser`.

Shapes: B batch, L tokens, S samples, U CTC units.
"""

import copy
import inspect
import json

import numpy as np
from transformers import AddedToken, BatchFeature, ProcessorMixin

from .activity_xser import contains_speech
from .agreement_xser import AgreementMixin
from .answers_xser import AnswersMixin
from .audio_xser import SAMPLE_RATE, AudioError, audio_name, check_seconds, list_recordings, load_audio, loudness_dbfs
from .calibration_xser import check_number
from .checks_xser import check_flag, known_options_only, one_for_each
from .configuration_xser import of_before
from .ctc_candidates_xser import ctc_text
from .grammar_xser import TRANSCRIPT, EmotionDescription, LabelSchema, OwnCaption
from .options_xser import LOADING_OPTIONS, refuse_unknown
from .padding_xser import pad_left, pad_right
from .prompts_xser import AUX_TOKEN, CONTENT_TOKEN, DESCRIPTOR_TOKEN, ZERO_TOKEN, PromptsMixin, chat_template_of
from .tower_frames_xser import TowerFrames
from .voice_inputs_xser import VoiceInputsMixin

IGNORED = -100  # labels that carry no loss
TARGETS = {"tags": (EmotionDescription,), "caption": (EmotionDescription, OwnCaption)}  # of task describe
MODEL_OPTIONS = (  # that reach the model's processor as well
    "dtype", "torch_dtype", "device_map", "quantization_config", "attn_implementation", "local_files_only",
)  # fmt: skip
LOADING = ("config", "repo_type", "user_agent", "return_unused_kwargs", "_from_auto", "_commit_hash", *LOADING_OPTIONS)
TOKENIZER_OPTIONS = (  # beside those in its signature and its special tokens
    "model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces", "split_special_tokens",
    "extra_special_tokens", "additional_special_tokens", "model_input_names", "use_fast", "from_slow", "legacy",
    "tokenizer_file", "tokenizer_type", "gguf_file", "fix_mistral_regex", "add_prefix_space", "add_bos_token",
    "add_eos_token",
)  # fmt: skip
FLAGS = (
    *("emphasis", "disentangled", "summary_tokens", "speaker_reference", "speaker_std", "voice_activity"),
    "transcript",
)


class XSERProcessor(AgreementMixin, PromptsMixin, AnswersMixin, VoiceInputsMixin, ProcessorMixin):
    r"""Prepares recordings and prompts for [`XSERForEmotionDescription`].

    Args:
        feature_extractor ([`Wav2Vec2FeatureExtractor`] or [`WhisperFeatureExtractor`]): the tower's own, which says
            whether clips are normalised; 16 kHz.
        tokenizer ([`PreTrainedTokenizerFast`]): the language model's, with both placeholder tokens added.
        conv_kernel, conv_stride (`list[int]`), conv_padding (`list`, *optional*): of the audio tower, from which the
            number of frames follows; see `tower_frames_xser`.
        frame_stack (`int`): frames that make one placeholder.
        emotions, descriptors, transcript, emphasis, slot_order, age_cuts: the label schema, as in [`XSERConfig`].
        answer, system_prompt, asr_descriptors (`str`): as in [`XSERConfig`].
        disentangled (`bool`): whether describe prompts hold the descriptor stream beside the content stream.
        ctc_unit (`str`): `byte` or `token`, what `ctc_labels` are made of.
        content_token, descriptor_token, zero_token (`str`): the placeholders.
        min_audio_seconds, max_audio_seconds, silence_dbfs (`float`), voice_activity: as in [`XSERConfig`].
        aux_streams (`dict`), summary_tokens, speaker_reference, speaker_std: as in [`XSERConfig`].
        usual_pitch (`float`, *optional*): F0 in semitones re 1 Hz of the training data's speakers, which measured
            prosody is relative to where no reference is given.
        usual_measures (`list`, *optional*): mean and deviation of each of `voice_measures_xser.NAMES` for these
            speakers.
        calibration (`dict`, *optional*): where the levels of the training data begin and end, as
            `Calibration.to_dict` gives it; what the pipeline's `verify` judges by.
        chat_template (`str`, *optional*): the tokenizer's own by default, or a plain one where it has none.

    Raises:
        ValueError: the tokenizer lacks what is needed, or cannot write the labels; the sampling rate is not 16 kHz; an
            option does not exist or has a value that is not allowed.
    """

    def __new__(cls, *args, **options):
        # here, not in __init__, whose signature transformers reads
        refuse_unknown(options, cls.option_names(), "XSERProcessor")
        return super().__new__(cls)

    def __init__(
        self,
        feature_extractor,
        tokenizer,
        conv_kernel,
        conv_stride,
        frame_stack,
        emotions,
        descriptors,
        emphasis=True,
        disentangled=True,
        ctc_unit="byte",
        content_token=CONTENT_TOKEN,
        descriptor_token=DESCRIPTOR_TOKEN,
        min_audio_seconds=0.1,
        max_audio_seconds=30.0,
        silence_dbfs=-60.0,
        voice_activity=True,
        aux_streams=None,
        summary_tokens=False,
        speaker_reference=False,
        speaker_std=True,
        transcript=True,
        slot_order=None,
        age_cuts=None,
        answer="tags",
        system_prompt=None,
        asr_descriptors="absent",
        zero_token=ZERO_TOKEN,
        usual_pitch=None,
        usual_measures=None,
        calibration=None,
        chat_template=None,
        conv_padding=None,
    ):
        self.conv_kernel = list(conv_kernel)
        self.conv_stride = list(conv_stride)
        self.conv_padding = None if conv_padding is None else [list(each) for each in conv_padding]
        self.frame_stack = frame_stack
        self.emotions = list(emotions)
        self.descriptors = {slot: list(levels) for slot, levels in descriptors.items()}
        self.emphasis = emphasis
        self.disentangled = disentangled
        self.ctc_unit = ctc_unit
        self.content_token = content_token
        self.descriptor_token = descriptor_token
        self.min_audio_seconds = min_audio_seconds
        self.max_audio_seconds = max_audio_seconds
        self.silence_dbfs = silence_dbfs
        self.voice_activity = voice_activity
        self.aux_streams = {name: dict(options) for name, options in (aux_streams or {}).items()}
        self.summary_tokens = summary_tokens
        self.speaker_reference = speaker_reference
        self.speaker_std = speaker_std
        self.transcript = transcript
        self.slot_order = None if slot_order is None else list(slot_order)
        self.age_cuts = None if age_cuts is None else list(age_cuts)
        self.answer = answer
        self.system_prompt = system_prompt
        self.asr_descriptors = asr_descriptors
        self.zero_token = zero_token
        self.usual_pitch = usual_pitch
        self.usual_measures = usual_measures
        self.calibration = calibration
        labels = self.emotions, self.descriptors, self.emphasis
        self.schema = LabelSchema(*labels, self.transcript, self.slot_order, self.age_cuts)
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template or chat_template_of(tokenizer))
        if feature_extractor.sampling_rate != SAMPLE_RATE:
            raise ValueError(
                f"feature_extractor.sampling_rate is {feature_extractor.sampling_rate}, not {SAMPLE_RATE}"
            )
        if self.num_frames(int(min_audio_seconds * SAMPLE_RATE)) < 1:
            raise ValueError(f"min_audio_seconds is {min_audio_seconds}, shorter than a frame of the audio tower")
        self._check_values()
        self._check_streams()
        self._prepare_tokenizer()

    @classmethod
    def option_names(cls) -> list[str]:
        """The names of what a processor is made with."""
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **options) -> "XSERProcessor":
        """Load a saved processor.

        Args:
            options: fields of the processor instead of what was saved, and options of the tokenizer, the feature
                extractor and the Hub.

        Raises:
            ValueError: an option is of none of them, or the folder's processor_config.json holds an unknown field.
        """
        processor = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        if "_from_pipeline" not in options:  # which hands over the model's options, for the model to refuse
            parts = processor[0] if isinstance(processor, tuple) else processor
            known = dict.fromkeys((*cls.option_names(), *LOADING, *TOKENIZER_OPTIONS))
            known |= dict.fromkeys(parts.tokenizer.SPECIAL_TOKENS_ATTRIBUTES)
            for part in (parts.feature_extractor, parts.tokenizer):
                for each in type(part).__mro__:
                    known |= dict.fromkeys(inspect.signature(each.__init__).parameters)
            refuse_unknown(options, known, "XSERProcessor.from_pretrained")
        return processor

    @classmethod
    def from_args_and_dict(cls, args, processor_dict, **options):
        """As the base class does, but unknown fields are refused, not dropped."""
        processor_dict = of_before(processor_dict)
        fields = set(processor_dict) - {*cls.get_attributes(), "auto_map", "processor_class"}
        refuse_unknown(fields, cls.option_names(), "processor_config.json")
        return super().from_args_and_dict(args, processor_dict, **options)

    def _check_values(self):
        for name in FLAGS:
            check_flag(name, getattr(self, name))
        for name in ("min_audio_seconds", "max_audio_seconds", "silence_dbfs"):
            check_number(name, getattr(self, name))
        if not 0 < self.min_audio_seconds < self.max_audio_seconds:
            both = (self.min_audio_seconds, self.max_audio_seconds)
            raise ValueError(
                f"min_audio_seconds, max_audio_seconds are {both}; the first must lie between 0 and the second"
            )
        if self.silence_dbfs >= 0:
            raise ValueError(f"silence_dbfs is {self.silence_dbfs}; it must lie below 0 (full scale)")

    @classmethod
    def from_config(cls, config, feature_extractor, tokenizer) -> "XSERProcessor":
        """A processor for `config`: adds the placeholders to the tokenizer and writes their ids into the config."""
        names = [CONTENT_TOKEN, DESCRIPTOR_TOKEN, *(AUX_TOKEN.format(name=name) for name in config.aux_streams)]
        names += [ZERO_TOKEN] if config.asr_descriptors == "zero" else []
        tokens = [AddedToken(name, special=True, normalized=False) for name in names]
        tokenizer.add_tokens(tokens, special_tokens=True)
        shared = ("frame_stack", "emotions", "descriptors", "emphasis", "disentangled", "ctc_unit", "aux_streams")
        shared += ("summary_tokens", "speaker_reference", "transcript", "slot_order", "age_cuts", "answer")
        shared += ("system_prompt", "asr_descriptors", "speaker_std")
        config.tower.check_extractor(feature_extractor)
        limits = ("min_audio_seconds", "max_audio_seconds", "silence_dbfs", "voice_activity")
        processor = cls(
            feature_extractor,
            tokenizer,
            **config.tower.frames.options,
            **{name: getattr(config, name) for name in shared + limits},
        )
        config.content_token_id = processor.content_token_id
        config.descriptor_token_id = processor.descriptor_token_id
        config.zero_token_id = processor.zero_token_id
        config.aux_token_ids = dict(processor.aux_token_ids)
        return processor

    def _prepare_tokenizer(self):
        tokenizer = self.tokenizer
        self.content_token_id = self._placeholder_id("content_token", self.content_token)
        self.descriptor_token_id = self._placeholder_id("descriptor_token", self.descriptor_token)
        has_zero = self.asr_descriptors == "zero"
        self.zero_token_id = self._placeholder_id("zero_token", self.zero_token) if has_zero else None
        self.aux_token_ids = {
            name: self._placeholder_id(f"the token of aux_streams[{name!r}],", AUX_TOKEN.format(name=name))
            for name in self.aux_streams
        }
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no eos_token, which ends every answer: set tokenizer.eos_token")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"
        # our own: how others pad and truncate with theirs in the meantime would change what ours gives
        self._encoder = copy.deepcopy(tokenizer)
        special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special_ids = special | set(tokenizer.all_special_ids)
        self._special_tokens = tokenizer.convert_ids_to_tokens(sorted(self._special_ids))
        self._pieces = {}  # piece -> its ids
        self._captions = None  # the form of captions, made when it is needed
        self._prompts = {}  # (task, slots) -> ids with each placeholder once
        self._anchor = self._find_anchor()
        self._anchor_ids = self._tokenize([self._anchor])[0]
        self._anchor_text = self._decode(self._anchor_ids)

    def _placeholder_id(self, field_name: str, token: str) -> int:
        index = self.tokenizer.convert_tokens_to_ids(token)
        if index is None or index == self.tokenizer.unk_token_id:
            raise ValueError(
                f"the tokenizer lacks {field_name} {token!r}: use XSERProcessor.from_config, which adds it"
            )
        return index

    # Audio

    def load(self, source) -> np.ndarray:
        """`load_audio`, refusing recordings longer than `max_audio_seconds` by an `AudioError`."""
        return load_audio(source, self.max_audio_seconds)

    def status(self, wave: np.ndarray, source=None) -> str:
        """`too_short` below `min_audio_seconds`, `no_speech` below `silence_dbfs` or without speech, else `ok`.

        Args:
            wave: (S,) at 16 kHz.
            source: what it was loaded from, for the message of the `AudioError` where it is too long.
        """
        check_seconds(len(wave) / SAMPLE_RATE, self.max_audio_seconds, audio_name(wave if source is None else source))
        if len(wave) < self.min_audio_seconds * SAMPLE_RATE:
            return "too_short"
        is_silent = loudness_dbfs(wave) < self.silence_dbfs
        return "no_speech" if is_silent or (self.voice_activity and not contains_speech(wave)) else "ok"

    def num_frames(self, num_samples: int) -> int:
        """Frames that the audio tower makes of `num_samples`; 0 where they do not fill one."""
        return self.frames.num_frames(num_samples)

    @property
    def frames(self) -> TowerFrames:
        """Where the audio tower's frames are."""
        return TowerFrames(self.conv_kernel, self.conv_stride, self.conv_padding)

    def normalize(self, wave: np.ndarray) -> np.ndarray:
        """Zero mean and unit variance over this clip alone, where the feature extractor says so."""
        if not getattr(self.feature_extractor, "do_normalize", False):
            return wave
        return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)

    # Batches

    @known_options_only
    def __call__(
        self,
        audio,
        task="describe",
        targets=None,
        slots=None,
        return_prompts=False,
        return_tensors="pt",
        noise_seed=None,
        reference=None,
        aux=None,
        heard=None,
        known=None,
        wording=None,
        spared=None,
    ) -> BatchFeature:
        """Make a batch.

        Args:
            audio: one recording or a list of them, as `load_audio` takes them.
            task (`str`): `asr` or `describe`.
            targets: what is to be learnt, one for each recording: `str` for asr, `EmotionDescription` for describe,
                or `OwnCaption` where `answer` is `caption`. A describe prompt then asks for the slots that its target
                has.
            slots (`list[str]`, *optional*): what to ask for where there are no targets; by default all of the schema.
            return_prompts (`bool`): also return the prompts without answers, for generation.
            return_tensors (`str`, *optional*): `pt`, or `np`.
            noise_seed: (B,) integers that are handed on to the model.
            reference: a `SpeakerProfile` for all recordings, or one or `None` for each; only where the model was made
                with `speaker_reference`.
            aux: name → features of each recording, (T, D), for the auxiliary streams of a description. `prosody` is
                measured where it is not given; if it is, as `voice_frames_xser.prosody_frames` gives it. So is
                `measures`, as one row of `voice_measures_xser.voice_measures`.
            heard: what the frozen tower made of each recording before, in place of `audio`: (T, L+1, H) and the
                loudness in dBFS. `prosody` and `measures` must be given then.
            known: `EmotionDescription` of all that is known of each recording, for the heads on the streams, whatever
                its prompt asks for; the targets by default.
            wording: (B,) seeds of the wordings of captions; the canonical wording by default.
            spared: for each recording, whether the transcript in its answer is spared from the loss: it is there to be
                read by what follows, and is learnt in other answers.

        Returns:
            `input_ids`, `attention_mask` (B, L), padded on the left; `input_values` (B, S) float32, padded by zeros
            on the right; `input_values_mask` (B, S); `loudness` (B,) in dBFS, before normalisation.
            With targets, `labels` (B, L): the answer and eos, -100 elsewhere; for asr also `ctc_labels` (B, U): its
            bytes or tokens (`ctc_unit`), -100 elsewhere; for describe `level_labels` (B, K): the index of each
            descriptor's level and `emotion_labels` (B,), -100 where they are not known. With `return_prompts`,
            `prompt_input_ids` and `prompt_attention_mask` (B, L'). With `noise_seed`, that. With a reference,
            `reference` (B, 2, layers, width), NaN where there is none, and `knows_speaker` (B,). In a description,
            `aux_NAME` (B, T, D) float32 and `aux_NAME_mask` (B, T) of each auxiliary stream.

        Raises:
            AudioError: a recording cannot be read, is too long, or too short for a single frame.
            ValueError: the task, slots, targets, reference or features are not right.
        """
        check_flag("return_prompts", return_prompts)
        waves = self._load_all(audio) if heard is None else [None] * len(heard)
        num_frames = [self.num_frames(len(wave)) for wave in waves] if heard is None else [len(h) for h, _ in heard]
        asked = self._slots_asked(task, len(waves), targets, slots)
        profiles = self._profiles(reference, len(waves))
        streams = self._aux_features(aux, waves, profiles) if self._hears_descriptors(task) else {}
        lengths = [{name: len(each[row]) for name, each in streams.items()} for row in range(len(waves))]
        prompts = [self._prompt_ids(task, *args) for args in zip(num_frames, asked, lengths, strict=True)]
        pad = self.tokenizer.pad_token_id
        data = {}
        if targets is None:
            data["input_ids"], data["attention_mask"] = pad_left(prompts, pad)
        else:
            answers = self._answers(task, targets, wording)
            rows = [np.concatenate(pair) for pair in zip(prompts, answers, strict=True)]
            learnt = self._learnt(answers, targets, wording, spared)
            labels = [np.concatenate([np.full_like(p, IGNORED), a]) for p, a in zip(prompts, learnt, strict=True)]
            data["input_ids"], data["attention_mask"] = pad_left(rows, pad)
            data["labels"], _ = pad_left(labels, IGNORED)
            if task == "asr":
                is_token = self.ctc_unit == "token"
                spelled = [np.array([*ctc_text(text).encode()], np.int64) for text in targets]
                units = [answer[:-1] for answer in answers] if is_token else spelled
                data["ctc_labels"], _ = pad_right(units, IGNORED)
            else:
                read = [each if hasattr(each, "levels") else EmotionDescription() for each in targets]
                known = read if known is None else one_for_each("known", known, len(waves))
                if self.descriptors:
                    levels = [self._level_indices(each) for each in known]
                    data["level_labels"] = np.array(levels, dtype=np.int64)
                emotions = [IGNORED if k.emotion is None else self.emotions.index(k.emotion) for k in known]
                data["emotion_labels"] = np.array(emotions, dtype=np.int64)
        if return_prompts:
            data["prompt_input_ids"], data["prompt_attention_mask"] = pad_left(prompts, pad)
        if heard is None:
            values = [self.normalize(wave) for wave in waves]
            data["input_values"], data["input_values_mask"] = pad_right(values, 0.0, np.float32)
        else:
            data["tower_states"], data["tower_mask"] = pad_right([states for states, _ in heard], 0.0, np.float32)
        measured = [loudness_dbfs(wave) for wave in waves] if heard is None else [loudness for _, loudness in heard]
        data |= self._voice(profiles, measured)
        for name, each in streams.items():
            data[f"aux_{name}"], data[f"aux_{name}_mask"] = pad_right(each, 0.0, np.float32)
        if noise_seed is not None:
            data["noise_seed"] = np.array(noise_seed, dtype=np.int64).reshape(len(waves))
        return BatchFeature(data, tensor_type=return_tensors)

    def _load_all(self, audio) -> list[np.ndarray]:
        """Recordings as waves of at least one frame."""
        sources = list_recordings(audio)
        waves = [self.load(source) for source in sources]
        if not waves:
            raise ValueError("audio is empty: give at least one recording")
        for source, wave in zip(sources, waves, strict=True):
            if self.num_frames(len(wave)) < 1:
                name = audio_name(source)
                raise AudioError(f"{name} lasts {len(wave) / SAMPLE_RATE:.4f} s, shorter than one frame", name)
        return waves

    def _slots_asked(self, task: str, batch_size: int, targets, slots) -> list:
        """The slots of each prompt; `None` for those that ask for none, or for all."""
        if targets is None:
            return [slots] * batch_size
        if slots is not None:
            raise ValueError(f"slots is {slots} beside targets: the targets say which slots are asked for")
        if len(targets) != batch_size:
            raise ValueError(f"there are {len(targets)} targets for {batch_size} recordings")
        wanted = (str,) if task == "asr" else TARGETS[self.answer]
        for target in targets:
            # by name: the class may have been loaded twice, from the package and from a model's folder
            if type(target).__name__ not in [each.__name__ for each in wanted]:
                names = " or ".join(each.__name__ for each in wanted)
                raise ValueError(f"target {target!r} of task {task} must be of type {names}")
            if task == "describe" and not target.slots:
                raise ValueError("a target of task describe has no slot: leave that recording out")
            if task == "describe" and hasattr(target, "levels"):
                self.schema.check(target)
        return [None if task == "asr" else self.schema.check_slots(target.slots) for target in targets]

    def _answers(self, task: str, targets: list, wording=None) -> list[np.ndarray]:
        """Ids of the answers with eos, (L,) int64 each."""
        if task == "asr":
            rows = self._continuations(targets)
        else:
            wordings = [0] * len(targets) if wording is None else one_for_each("wording", wording, len(targets))
            rows = [self.answer_ids(*each) for each in zip(targets, wordings, strict=True)]
        return [np.array([*row, self.tokenizer.eos_token_id], dtype=np.int64) for row in rows]

    def _learnt(self, answers: list[np.ndarray], targets: list, wording, spared) -> list[np.ndarray]:
        """The labels of answers: their ids, but for transcripts that are spared."""
        if spared is None:
            return answers
        learnt = [answer.copy() for answer in answers]
        wordings = [0] * len(targets) if wording is None else wording
        for row, each in enumerate(zip(targets, wordings, strict=True)):
            if spared[row] and hasattr(targets[row], "levels"):
                slots = [slot for slot, piece in self.slot_pieces(*each) for _ in self.piece_ids(piece)]
                learnt[row][:-1][np.array(slots) == TRANSCRIPT] = IGNORED
        return learnt

    def save_pretrained(self, save_directory, **kwargs):
        """As the base class does, but without the loading options that the tokenizer has kept.

        A pipeline hands its options for the model to the processor too, whose tokenizer would write them to disk, or
        fail at it (`dtype`); and it keeps the processor's.
        """
        for option in {*MODEL_OPTIONS, *self.option_names()} - {"chat_template"}:
            self.tokenizer.init_kwargs.pop(option, None)
        return super().save_pretrained(save_directory, **kwargs)

    def to_json_string(self) -> str:
        """As the base class does, but unsorted: the order of the descriptors is that of the answer."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def _level_indices(self, target: EmotionDescription) -> list[int]:
        """Index of each descriptor's level, -100 where it is not known."""
        return [
            levels.index(target.levels[slot]) if slot in target.levels else IGNORED
            for slot, levels in self.descriptors.items()
        ]

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "input_values", "input_values_mask", "loudness"]


XSERProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["XSERProcessor"]
