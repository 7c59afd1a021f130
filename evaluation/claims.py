"""Claims of answers, held against the recordings: what measurements agree with, contradict, or leave open."""

import numpy as np

from xser.evaluation import counts
from xser.evaluation.tally import Tally
from xser.levels_xser import AGREE, CANNOT_TELL, CONTRADICT

VERDICTS = (AGREE, CONTRADICT, CANNOT_TELL)
CONTRADICTED, DECIDED = "claims.contradicted", "claims.decided"


def claim_figures(tally: Tally) -> dict | None:
    """How the claims of verified answers (`verify=True`) fare, over all descriptors and for each.

    Returns:
        `verdicts`: slot → verdict → claims; `n`, claims in all; `decided`, the share of claims that measurements agree
        with or contradict; `contradicted`, the share among these, `None` where none is decided. `None` without
        verified answers. The intervals of both shares go to the tally, by the names `claims.decided` and
        `claims.contradicted`.
    """
    rows = [index for index, one in enumerate(tally.predictions) if one.get("verification")]
    if not rows:
        return None
    answers = [tally.predictions[row]["verification"] for row in rows]
    slots = list(dict.fromkeys(slot for answer in answers for slot in answer))
    verdicts = {slot: dict.fromkeys(VERDICTS, 0) for slot in slots}
    columns = np.zeros((len(rows), 3))  # contradicted, decided, all
    for place, answer in enumerate(answers):
        for slot, judged in answer.items():
            verdict = judged["verdict"]
            verdicts[slot][verdict] += 1
            columns[place] += (verdict == CONTRADICT, verdict != CANNOT_TELL, 1)
    tally.n_of["claims"] = int(columns[:, 2].sum())
    values = tally.add(rows, columns[:, 1:], {DECIDED: (counts.share, "logit")})
    if columns[:, 1].any():
        values |= tally.add(rows, columns[:, :2], {CONTRADICTED: (counts.share, "logit")})
    else:
        tally.gaps[CONTRADICTED] = f"none of {tally.n_of['claims']} claims is decided by what was measured"
    found = {"verdicts": verdicts, "n": tally.n_of["claims"], "decided": values[DECIDED]}
    return {**found, "contradicted": values.get(CONTRADICTED)}
