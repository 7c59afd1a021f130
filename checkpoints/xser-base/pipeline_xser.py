"""`pipeline("audio-emotion-explain")`: recordings in, emotions with their reasons out."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import islice, repeat

from transformers import Pipeline
from transformers.utils import logging

from .agreement_xser import matching_processor
from .audio_xser import SAMPLE_RATE, AudioError, audio_name, is_recording, load_audio, undecoded
from .checks_xser import check_batch_size, check_flag, is_list
from .explain_xser import ANSWER_KEYS, empty_answer
from .options_xser import refuse_unknown
from .references_xser import holds_references, one_reference, several
from .request_xser import Request, as_options, common_request, each_request, place
from .transcriber_xser import TranscriberError, asked_transcriber, load_transcriber

logger = logging.get_logger(__name__)

BATCH_SIZE = 8
OPTIONS = ("batch_size", "slots", "transcript", "verify", "reference", "gender", "transcriber", "transcriber_options")
NAMED_FAILURES = 5  # in the closing warning; every one has its message in its own dict


class XSERPipeline(Pipeline):
    """Explains recordings by `model.explain`.

    ```py
    explain = pipeline("audio-emotion-explain", "USER/xser", trust_remote_code=True)
    explain("speech.wav")["emotion"]
    ```

    All options may be set here or at each call. Generation options are refused: answers are decoded under the grammar.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(self, *args, **options):
        ignored = [name for name in ("num_workers", "binary_output") if options.get(name)]
        refuse_unknown(ignored, OPTIONS, "XSERPipeline")
        options.pop("local_files_only", None)  # of `pipeline`, which hands it on
        self._transcribers = {}  # (id, device, dtype) -> loaded
        super().__init__(*args, **options)
        if self._batch_size is not None:
            check_batch_size(self._batch_size)

    def _sanitize_parameters(self, **options):
        """Check options that hold for every call; a reference is measured once, here."""
        if self.device.type == "cpu" and getattr(self.model, "dtype_is_open", False):
            self.model.float()  # before a reference is measured by it
        matching_processor(self.processor, self.model.config)
        refuse_unknown(options, OPTIONS, "XSERPipeline")
        if "slots" in options and options["slots"] is not None:
            options["slots"] = self.processor.schema.check_slots(options["slots"])
        if "verify" in options:
            check_flag("verify", options["verify"])
        if "transcript" in options:
            check_flag("transcript of every call", options["transcript"])
        if is_list(options.get("gender")):
            raise ValueError(f"gender is {options['gender']!r}; what holds for every call is one gender, not a list")
        if "reference" in options:
            reference = options["reference"]
            entries = several(reference)
            if holds_references(entries):
                raise ValueError("reference holds one for each recording; what holds for every call is one for all")
            options["reference"] = one_reference(self.model, self.processor, reference if entries is None else entries)
        if "transcriber" in options or "transcriber_options" in options:
            given = (options.pop(name, None) for name in ("transcriber", "transcriber_options"))
            options["transcriber"] = asked_transcriber(*given, options.get("transcript", True), self._load_transcriber)
        return {}, options, {}

    def __call__(self, inputs, batch_size: int | None = None, **options) -> dict | list[dict] | Iterator[dict]:
        """Explain one recording or many.

        Args:
            inputs: one recording as `load_audio` takes it (path, bytes, `(array, rate)`, dict); a list of them; a
                column of a data set; or a generator, which is read a batch at a time.
            batch_size (`int`): recordings a pass, 8 by default; it does not change the answers.
            slots (`list[str]`): what to ask for; all that the model knows by default.
            transcript (`bool`, `str` or `list`): the words of a single recording, or a list with those of each, `None`
                where they are not known. They stand for the model's own transcript in the prompt, in the words that
                may be emphasised, in `verify` and in the answer. `False` saves time where no transcript is wanted.
            verify (`bool`): also measure the voice, and say of each descriptor whether that agrees.
            reference: of the speaker, without labels: three or more recordings, a `SpeakerProfile` (or the
                .safetensors file it was saved to), or a `Reference`. A list of such references, or `None`, holds one
                for each recording. A model made with `speaker_reference` answers relative to it, but to a `Reference`,
                which has measurements alone; `verify` judges by it. Other models use it only with `verify`.
            gender (`str` or `list`): stands in where there is no reference; a list holds one or `None` for each
                recording. Only with `verify`.

            transcriber: another recogniser, whose words stand for the model's own where `transcript` gives none: the
                id or folder of one, an `automatic-speech-recognition` pipeline, a function from a list of waves at 16
                kHz to a list of strings, or "tower" for the decoder of the model's own Whisper. What an id names is
                loaded once.
            transcriber_options (`dict`): of its `generate`, such as `{"language": "en"}`.

            A generator does not say how many recordings it has: its `transcript` is `True` or `False`, its reference
            and gender hold for all. So do those that are given to the pipeline itself.

        Returns:
            A dict for one recording, a list for a list or column, a generator for a generator. The keys of a dict are
            `status` (`ok`, `no_speech`, `too_short`), `emotion`, `scores`, `descriptors`, `emphasis`, `transcript`,
            `transcript_source` (`model`, `given` or `transcriber NAME`) and `explanation`. Among many, a recording
            that cannot be used, or that the transcriber fails on, has the status `error`, the message in `error`, and
            `None` elsewhere. With `verify` there is `verification` too: slot → `claim`, `verdict` (`agree`,
            `contradict`, `can't tell`), `value`, `unit`, `cuts`, `basis` and `reason`. With a reference that the model
            takes there is `speaker_reference`, too: of how many `recordings` and `seconds` it is, and a `warning`
            where it is plainly of another person.

        Raises:
            AudioError: a single recording cannot be used.
            TranscriberError: the transcriber fails on a single recording.
            ValueError, TypeError: an option or the input is not right; before the first recording is read.
        """
        refuse_unknown(options, OPTIONS, "XSERPipeline")
        if batch_size is None:
            batch_size = BATCH_SIZE if self._batch_size is None else self._batch_size
        batch_size = check_batch_size(batch_size)
        options = {**self._forward_params, **options}
        slots = options.pop("slots", None)
        if slots is not None:
            slots = self.processor.schema.check_slots(slots)
        asked = {"slots": slots, "batch_size": batch_size, "verify": options.get("verify", False)}
        given = (options.pop(name, None) for name in ("transcriber", "transcriber_options"))
        asked["transcriber"] = asked_transcriber(*given, options.get("transcript", True), self._load_transcriber)
        if is_recording(inputs):
            [request] = each_request(self.model, self.processor, [audio_name(inputs)], **options)
            [answer] = self.postprocess(self.forward([self.preprocess(inputs)], requests=[request], **asked))
            if answer["status"] == "error":
                raise TranscriberError(f"{audio_name(inputs)}: {answer['error']}")
            return answer
        if hasattr(inputs, "column_names"):
            raise TypeError(f"give one column of the data set, such as dataset['audio'], of {inputs.column_names}")
        if not isinstance(inputs, Iterable) and not hasattr(inputs, "__getitem__"):
            raise TypeError(f"{type(inputs).__name__} is neither a recording nor a list or generator of recordings")
        inputs = undecoded(inputs)
        if not isinstance(inputs, Sized):
            request = common_request(self.model, self.processor, **options)
            return self._explain_each(zip(inputs, repeat(request), strict=False), asked)
        is_at_hand = isinstance(inputs, list)  # a column would read its recordings to name them
        places = [place(i, inputs[i]) if is_at_hand else f"recording {i}" for i in range(len(inputs))]
        requests = each_request(self.model, self.processor, places, **options)
        return list(self._explain_each(zip(inputs, requests, strict=True), asked))

    def _explain_each(self, pairs: Iterator[tuple[object, Request]], asked: dict) -> Iterator[dict]:
        """Answers in order, batch by batch; recordings that cannot be used cost no others, nor their requests."""
        total, failures = 0, []
        try:
            while batch := list(islice(pairs, asked["batch_size"])):
                waves, errors = {}, {}
                for index, (source, _) in enumerate(batch):
                    try:
                        waves[index] = self.preprocess(source)
                    except AudioError as error:
                        errors[index] = str(error)
                total += len(batch)
                answers = iter(())
                if waves:
                    loaded, its = list(waves.values()), [batch[index][1] for index in waves]
                    answers = iter(self.postprocess(self.forward(loaded, requests=its, **asked)))
                for index, (source, request) in enumerate(batch):
                    if index in errors:
                        answer = {**empty_answer("error", request, self.model.config), "error": errors[index]}
                    else:
                        answer = next(answers)
                        if answer["status"] == "error":  # of the transcriber, which knows no names
                            answer["error"] = f"{audio_name(source)}: {answer['error']}"
                    if answer["status"] == "error":
                        failures.append(answer["error"])
                    yield answer
        finally:
            if failures:
                listed = "; ".join(failures[:NAMED_FAILURES]) + ("; …" if len(failures) > NAMED_FAILURES else "")
                logger.warning(f"{len(failures)} of {total} recordings could not be used: {listed}")

    def _load_transcriber(self, transcriber, options: Mapping | None):
        """A transcriber of any form; one that an id names is kept for the next call."""
        if isinstance(transcriber, (str, os.PathLike)):
            key = (os.fspath(transcriber), str(self.model.device), self.model.dtype)
            if key not in self._transcribers:
                self._transcribers[key] = load_transcriber(self.model, transcriber)
            transcriber, options = self._transcribers[key], options or {}
        return load_transcriber(self.model, transcriber, options)

    def preprocess(self, source):
        """Load one recording: its samples and rate."""
        return load_audio(source, self.processor.max_audio_seconds), SAMPLE_RATE

    def _forward(self, recordings: list, requests: list[Request], **asked) -> list[dict]:
        return self.model.explain(recordings, self.processor, **asked, **as_options(requests))

    def postprocess(self, answers: list[dict]) -> list[dict]:
        return answers

    def save_pretrained(self, save_directory, **kwargs):
        """Save the model, its code (this file included) and the processor."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


__all__ = ["ANSWER_KEYS", "XSERPipeline"]
