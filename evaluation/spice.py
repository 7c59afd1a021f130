"""SPICE of captions, by the original Java program; where that cannot run, one line says why.

Anderson, Fernando, Johnson, Gould: SPICE: Semantic Propositional Image Caption Evaluation. ECCV, 2016. It compares
scene graphs, parsed by Stanford CoreNLP 3.6.0, and takes synonyms from WordNet. `pip install 'xser[spice]'` brings the
program; CoreNLP, 540 MB, has to be fetched once, which this never does by itself.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PARSER = "stanford-corenlp-3.6.0.jar"
FETCH = "python -c 'from pycocoevalcap.spice.spice import Spice; Spice()'"


def spice(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float | None, str | None]:
    """SPICE from 0 to 1, or `None` and why it is not known.

    Args:
        predictions: one caption an utterance.
        references: one or several captions an utterance.
    """
    reason = why_not()
    if reason is not None:
        return None, reason
    from pycocoevalcap.spice.spice import Spice

    places = range(len(references))
    try:
        value, _ = Spice().compute_score(
            {place: list(references[place]) for place in places}, {place: [predictions[place]] for place in places}
        )
    except (subprocess.CalledProcessError, OSError) as error:
        return None, f"SPICE's Java program failed ({' '.join(str(error).split())[:200]})"
    return float(value), None


def why_not() -> str | None:
    """Why SPICE cannot be computed here; `None` if it can."""
    package = importlib.util.find_spec("pycocoevalcap")
    if package is None:
        return "SPICE needs Java and the extra: pip install 'xser[spice]'"
    if shutil.which("java") is None:
        return "SPICE needs Java, and there is no program 'java' here"
    if not (Path(package.submodule_search_locations[0]) / "spice" / "lib" / PARSER).is_file():
        return f"SPICE needs Stanford CoreNLP 3.6.0, fetched once by: {FETCH}"
    return None
