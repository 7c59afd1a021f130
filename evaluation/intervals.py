"""How sure a figure is: bootstrap intervals of the unweighted accuracy.

Utterances of one speaker resemble each other, so whole speakers are resampled where they are known. A handful of
speakers says little about the next one, and resampling them alone would hide even the noise within each: below
`MIN_SPEAKERS` their utterances are resampled as well.

Legend: R resamples, S speakers, C classes.
"""

import numpy as np

MIN_SPEAKERS = 10


def unweighted_accuracy_interval(
    hits: list[bool],
    classes: list[str],
    speakers: list[str | None],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, str]:
    """Percentile bootstrap interval of the mean recall.

    Args:
        hits: whether each utterance's label was right.
        classes: each utterance's true label.
        speakers: who spoke each; one `None` among them, and utterances are resampled instead.
        level: share of the resamples that the interval holds.
        resamples: R.
        seed: of the resampling.

    Returns:
        low, high, and what was resampled: `"speakers"`, `"speakers and their utterances"` or `"utterances"`.

    Raises:
        ValueError: there are no utterances, or `level` lies outside (0, 1).
    """
    if not hits:
        raise ValueError("an interval of 0 utterances: give at least one")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    known = None not in speakers
    speaker_index = np.unique(speakers, return_inverse=True)[1] if known else np.zeros(len(hits), dtype=int)
    class_names, class_index = np.unique(classes, return_inverse=True)
    num_speakers, num_classes = int(speaker_index.max()) + 1, len(class_names)

    counts = np.zeros((num_speakers, num_classes, 2), dtype=np.int64)  # (S, C, wrong or right)
    np.add.at(counts, (speaker_index, class_index, np.asarray(hits, dtype=int)), 1)
    rng = np.random.default_rng(seed)
    if num_speakers == 1:
        drawn = np.zeros((resamples, 1), dtype=int)
    else:
        drawn = rng.integers(num_speakers, size=(resamples, num_speakers))  # (R, S)
    if num_speakers < MIN_SPEAKERS:
        spoken = counts.reshape(num_speakers, -1)
        sizes = spoken.sum(axis=1)
        cells = rng.multinomial(sizes[drawn], (spoken / sizes[:, None])[drawn])  # (R, S, 2C)
        cells = cells.sum(axis=1).reshape(resamples, num_classes, 2)
    else:
        times = np.stack([np.bincount(row, minlength=num_speakers) for row in drawn])  # (R, S)
        cells = np.tensordot(times, counts, axes=1)  # (R, C, 2)

    seen = cells.sum(axis=2)  # (R, C); a class that a resample lacks does not count in it
    recalls = np.divide(cells[:, :, 1], seen, out=np.full(seen.shape, np.nan), where=seen > 0)
    low, high = np.quantile(np.nanmean(recalls, axis=1), [(1 - level) / 2, (1 + level) / 2])
    if num_speakers == 1:
        unit = "utterances"
    else:
        unit = "speakers and their utterances" if num_speakers < MIN_SPEAKERS else "speakers"
    return float(low), float(high), unit
