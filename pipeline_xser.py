"""`pipeline("audio-emotion-explain")`: recordings in, emotions with their reasons out."""

import os
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path

from transformers import Pipeline
from transformers.utils import logging

from .audio_xser import SAMPLE_RATE, AudioError, is_recording, load_audio, undecoded
from .calibration_xser import Reference
from .decoding_xser import ANSWER_KEYS
from .profile_xser import SpeakerProfile
from .verification_xser import Verifier

logger = logging.get_logger(__name__)

BATCH_SIZE = 8
OPTIONS = ("transcript", "verify", "reference", "gender")  # beside batch_size and slots
PROFILE_SUFFIX = ".safetensors"
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

    def _sanitize_parameters(self, slots=None, **options):
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise TypeError(f"unknown options {unknown}: there are batch_size, slots, {', '.join(OPTIONS)}")
        if "reference" in options:  # here, so that one given to the pipeline is measured once and not at every call
            options["reference"] = self._profile(options["reference"])
        if slots is not None:
            options["slots"] = self.processor.schema.check_slots(list(slots))
        return {}, options, {}

    def __call__(self, inputs, batch_size: int | None = None, **options) -> dict | list[dict] | Iterator[dict]:
        """Explain one recording or many.

        Args:
            inputs: one recording as `load_audio` takes it (path, bytes, `(array, rate)`, dict); a list of them; a
                column of a data set; or a generator, which is read a batch at a time.
            batch_size (`int`): recordings a pass, 8 by default; it does not change the answers.
            slots (`list[str]`): what to ask for; all that the model knows by default.
            transcript (`bool`): off saves time where no transcript is wanted.
            verify (`bool`): also measure the voice, and say of each descriptor whether that agrees.
            reference: three or more recordings of the same speaker without labels, a `SpeakerProfile` (or the file it
                was saved to), or a `Reference`. A model made with `speaker_reference` hears the voice relative to it,
                but to a `Reference`, which has measurements alone; `verify` judges by it. Other models use it only
                with `verify`.
            gender (`str`): stands in where there is no reference. Only with `verify`.

        Returns:
            A dict for one recording, a list for a list or column, a generator for a generator. The keys of a dict are
            `status` (`ok`, `no_speech`, `too_short`), `emotion`, `scores`, `descriptors`, `emphasis`, `transcript` and
            `explanation`. Among many, a recording that cannot be used has the status `error`, the message in `error`,
            and `None` elsewhere. With `verify` there is `verification` too: slot → `claim`, `verdict` (`agree`,
            `contradict`, `can't tell`), `value`, `unit`, `cuts`, `basis` and `reason`. With a reference that the model
            hears there is `speaker_reference`, too: of how many `recordings` and `seconds` it is, and a `warning`
            where it is plainly of another person.

        Raises:
            AudioError: a single recording cannot be used.
            ValueError, TypeError: an option or the input is not right.
        """
        batch_size = self._batch_size or BATCH_SIZE if batch_size is None else batch_size
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number, at least 1")
        options = {**self._forward_params, **self._sanitize_parameters(**options)[1], "batch_size": batch_size}
        reference = options.get("reference")
        options["verifier"] = self._verifier(options.pop("verify", None), reference, options.pop("gender", None))
        is_heard = self.model.config.speaker_reference and type(reference).__name__ == SpeakerProfile.__name__
        options["reference"] = reference if is_heard else None
        if is_recording(inputs):
            return self.postprocess(self.forward([self.preprocess(inputs)], **options))[0]
        if hasattr(inputs, "column_names"):
            raise TypeError(f"give one column of the data set, such as dataset['audio'], of {inputs.column_names}")
        if not isinstance(inputs, Iterable) and not hasattr(inputs, "__getitem__"):
            raise TypeError(f"{type(inputs).__name__} is neither a recording nor a list or generator of recordings")
        answers = self._explain_each(iter(undecoded(inputs)), options)
        return list(answers) if isinstance(inputs, Sized) else answers

    def _explain_each(self, sources: Iterator, options: dict) -> Iterator[dict]:
        """Answers in order, batch by batch; recordings that cannot be used cost no others."""
        total, failures = 0, []
        keys = ANSWER_KEYS + (("verification",) if options["verifier"] else ())
        keys += ("speaker_reference",) if options["reference"] is not None else ()
        try:
            while batch := list(islice(sources, options["batch_size"])):
                waves, errors = {}, {}
                for index, source in enumerate(batch):
                    try:
                        waves[index] = self.preprocess(source)
                    except AudioError as error:
                        errors[index] = str(error)
                total += len(batch)
                failures += errors.values()
                answers = iter(self.postprocess(self.forward(list(waves.values()), **options)) if waves else ())
                for index in range(len(batch)):
                    failed = {**dict.fromkeys(keys), "status": "error", "error": errors.get(index)}
                    yield failed if index in errors else next(answers)
        finally:
            if failures:
                listed = "; ".join(failures[:NAMED_FAILURES]) + ("; …" if len(failures) > NAMED_FAILURES else "")
                logger.warning(f"{len(failures)} of {total} recordings could not be used: {listed}")

    def _profile(self, reference):
        """Recordings or a file as a `SpeakerProfile`, where the model hears one; anything else as it is."""
        if isinstance(reference, (str, os.PathLike)) and Path(reference).suffix == PROFILE_SUFFIX:
            return SpeakerProfile.load(reference)
        is_known = reference is None or type(reference).__name__ in (Reference.__name__, SpeakerProfile.__name__)
        if is_known or not self.model.config.speaker_reference:
            return reference
        return self.model.profile(reference, self.processor)

    def _verifier(self, verify, reference, gender) -> Verifier | None:
        if verify:
            return Verifier(self.processor.calibration, self.processor.descriptors, reference, gender)
        is_heard = self.model.config.speaker_reference and type(reference).__name__ == SpeakerProfile.__name__
        if gender is not None or (reference is not None and not is_heard):
            raise ValueError("this model uses reference and gender for verify=True alone: give it too")
        return None

    def preprocess(self, source):
        """Load one recording: its samples and rate."""
        return load_audio(source, self.processor.max_audio_seconds), SAMPLE_RATE

    def _forward(self, recordings: list, **options) -> list[dict]:
        return self.model.explain(recordings, self.processor, **options)

    def postprocess(self, answers: list[dict]) -> list[dict]:
        return answers

    def save_pretrained(self, save_directory, **kwargs):
        """Save the model, its code (this file included) and the processor."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


__all__ = ["XSERPipeline"]
