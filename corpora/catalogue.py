"""Corpora by name: which module knows a corpus's official layout."""

from importlib import import_module

from xser.corpora.source import Corpus

MODULES = {  # name on the command line → module of this package, whose CORPUS it is
    "iemocap": "iemocap",
    "meld": "meld",
    "crema-d": "crema_d",
    "ravdess": "ravdess",
    "emodb": "emodb",
    "nemo": "nemo",
    "savee": "savee",
    "tess": "tess",
    "esd": "esd",
    "msp-podcast": "msp_podcast",
    "speechcraft": "speechcraft",
    "librispeech": "librispeech",
    "kokoro": "kokoro",
    "manifest": "manifest",
    "hub": "hub",
    "merged": "merged",
    "audiofolder": "audiofolder",
    "espeak": "espeak",
    "espeak-languages": "espeak_languages",
}
SHARED_BY_DESIGN = {  # corpora whose official splits share speakers
    "meld": "the leading characters of the series speak in all three parts, and published figures are on these parts",
    "espeak": "train, validation and test are of the same voices, test_unseen and adapt of others, which train lacks",
    "kokoro": "train, validation and test are of the same voices, test_unseen and adapt of others, which train lacks; "
    "no sentence is in two of train, validation and the tests",
}


def makes_levels(name: str | None) -> bool:
    """Whether the corpus of this name, where it is one of the catalogue, knows its levels as they were synthesised."""
    return name in MODULES and find_corpus(name).makes_levels


def find_corpus(name: str) -> Corpus:
    """The corpus of this name.

    Raises:
        ValueError: there is none; says which there are.
    """
    if name not in MODULES:
        raise ValueError(f"corpus {name!r} is not known; known are {list(MODULES)}")
    return import_module(f"xser.corpora.{MODULES[name]}").CORPUS
