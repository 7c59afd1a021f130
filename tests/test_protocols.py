"""Which utterances each fold of a protocol holds, what is refused, and what is named as lacking."""

import datasets
import pytest

from xser.corpora.cache import write_dataset, write_json
from xser.corpora.schema import make_row
from xser.evaluation.protocols.__main__ import main
from xser.evaluation.protocols.data import as_it_is, read_rows, written
from xser.evaluation.protocols.labels import choose_labels
from xser.evaluation.protocols.plan import make_plan
from xser.evaluation.protocols.table import FOUR, PROTOCOLS, SEVEN

IEMOCAP = (*FOUR, "excited")


def row(name: str, emotion: str | None, **known) -> dict:
    audio = {"bytes": name.encode(), "path": None}
    return make_row(id=name, emotion=emotion, audio=audio, text=f"words of {name}", duration=1.0, **known)


def iemocap_rows(emotions=IEMOCAP, sessions="12345") -> list[dict]:
    """Two speakers a session, each with every emotion."""
    return [
        row(
            f"Ses0{session}{gender}_{emotion}",
            emotion,
            speaker=f"Ses0{session}{gender}",
            session=session,
            fold=session,
            corpus="iemocap",
        )
        for session in sessions
        for gender in "FM"
        for emotion in emotions
    ]


def meld_rows() -> list[dict]:
    return [
        row(f"{split}_{speaker}_{emotion}", emotion, speaker=speaker, split=split, corpus="meld")
        for split in ("train", "validation", "test")
        for speaker in ("Joey", "Ross")
        for emotion in SEVEN
    ]


def save(rows: list[dict], folder) -> str:
    """A prepared folder."""
    parts: dict[str, list[dict]] = {}
    for one in rows:
        parts.setdefault(one["split"] or "train", []).append(one)
    data = {name: write_dataset(folder.with_name(f"{folder.name}-{name}.arrow"), part) for name, part in parts.items()}
    datasets.DatasetDict(data).save_to_disk(str(folder))
    return str(folder)


def plan_of(protocol: str, rows, test_rows=None, **emotion_map):
    return make_plan(PROTOCOLS[protocol], rows, test_rows, emotion_map)


def ids(plan, fold, part) -> set[str]:
    return {plan.rows[index]["id"] for index in fold.parts[part]}


def speakers(plan, fold, part) -> set[str]:
    return {plan.rows[index]["speaker"] for index in fold.parts[part]}


def test_iemocap_leaves_out_each_session_and_develops_on_the_one_before():
    rows = iemocap_rows()
    plan = plan_of("iemocap-loso", rows)
    assert [fold.name for fold in plan.folds] == ["1", "2", "3", "4", "5"]
    assert [fold.development for fold in plan.folds] == ["5", "1", "2", "3", "4"]
    for fold in plan.folds:
        of = {part: {r["id"] for r in rows if r["session"] in held} for part, held in (
            ("test", fold.name), ("validation", fold.development),
            ("train", set("12345") - {fold.name, fold.development}))}  # fmt: skip
        assert {part: ids(plan, fold, part) for part in of} == of
    assert plan.classes == FOUR and plan.relabelled == {"excited → happy": 10} and not plan.left_out
    assert plan.counts(plan.folds[0])["test"] == {
        "n": 10,
        "speakers": ["Ses01F", "Ses01M"],
        "emotions": {"angry": 2, "happy": 4, "sad": 2, "neutral": 2},
    }
    assert "fold 1 has 10 utterances to test on; published are 1,085" in plan.notes


def test_session_5_is_the_last_of_these_folds_alone():
    rows = iemocap_rows()
    [fold] = plan_of("iemocap-session5", rows).folds
    assert fold == plan_of("iemocap-loso", rows).folds[-1]


def test_frustrated_and_unlabelled_rows_of_iemocap_are_left_out_and_counted():
    plan = plan_of("iemocap-loso", [*iemocap_rows((*IEMOCAP, "frustrated")), row("x", None, session="1", speaker="s")])
    assert plan.left_out == {"frustrated: none of the emotions that are compared": 10, "no emotion": 1}
    assert len(plan.kept) == 50


def test_a_session_that_the_corpus_lacks_is_named():
    plan = plan_of("iemocap-loso", iemocap_rows(sessions="1245"))
    assert list(plan.missing) == ["3"] and "no utterance of session 3" in plan.missing["3"]
    assert [fold.development for fold in plan.folds] == ["5", "1", "2", "4"]
    with pytest.raises(ValueError, match="no utterance of session 5, only of"):
        plan_of("iemocap-session5", iemocap_rows(sessions="123"))


def test_rows_without_a_session_are_refused():
    with pytest.raises(ValueError, match="1 of 51 rows have no session"):
        plan_of("iemocap-loso", [*iemocap_rows(), row("x", "sad", speaker="s")])


def test_one_speaker_and_an_absent_emotion_are_gaps():
    rows = [r for r in iemocap_rows() if r["speaker"] != "Ses01M" and (r["session"], r["emotion"]) != ("2", "sad")]
    one, two, three, *_ = plan_of("iemocap-loso", rows).folds
    assert one.gaps == ["one speaker only (Ses01F): nothing can be told about others"]
    assert two.gaps == ["no utterance of sad to test on"]
    assert three.gaps == ["no utterance of sad for development"]


def test_meld_keeps_official_parts_and_says_that_they_share_speakers():
    plan = plan_of("meld", meld_rows())
    [fold] = plan.folds
    assert (fold.name, plan.classes) == ("official", SEVEN)
    for part in ("train", "validation", "test"):
        assert ids(plan, fold, part) == {r["id"] for r in meld_rows() if r["split"] == part}
    assert any("train and test share 2 speakers (Joey, Ross" in note for note in plan.notes)
    with pytest.raises(ValueError, match=r"\['validation'\] are not there"):
        plan_of("meld", [r for r in meld_rows() if r["split"] != "validation"])


def test_meld_4_leaves_the_other_three_emotions_out_of_every_part():
    plan = plan_of("meld-4", meld_rows())
    assert plan.classes == FOUR
    assert plan.left_out == {
        f"{emotion}: left out by the protocol or emotion_map": 6 for emotion in ("disgusted", "fearful", "surprised")
    }
    [fold] = plan.folds
    for part in fold.parts:
        assert {plan.rows[index]["emotion"] for index in fold.parts[part]} == set(FOUR)
        assert len(fold.parts[part]) == 8


def test_one_speaker_left_out_develops_on_the_other_of_the_session():
    plan = plan_of("loso-speaker", iemocap_rows())
    assert len(plan.folds) == 10
    for fold in plan.folds:
        other = fold.name[:-1] + ("M" if fold.name[-1] == "F" else "F")
        assert (speakers(plan, fold, "test"), speakers(plan, fold, "validation")) == ({fold.name}, {other})
        assert len(speakers(plan, fold, "train")) == 8
        assert not fold.gaps


def test_without_pairs_of_speakers_the_speaker_before_is_for_development():
    rows = [row(f"{s}{e}", e, speaker=s) for s in ("s9", "s10", "s11") for e in FOUR]
    plan = plan_of("loso-speaker", rows)
    assert [(fold.name, fold.development) for fold in plan.folds] == [("s9", "s11"), ("s10", "s9"), ("s11", "s10")]
    with pytest.raises(ValueError, match="1 of 13 rows have no speaker"):
        plan_of("loso-speaker", [*rows, row("x", "sad")])


def test_folds_of_the_corpus_that_share_speakers_are_refused():
    rows = [row(f"{f}{e}", e, speaker=f"s{f}", fold=f) for f in "ab" for e in FOUR]
    plan = plan_of("folds", rows)
    assert [fold.development for fold in plan.folds] == [None, None]
    assert plan.folds[0].gaps[0] == "nothing for development"
    rows[0]["speaker"] = "sb"
    with pytest.raises(ValueError, match=r"fold a: train and test share 1 speakers \(sb"):
        plan_of("folds", rows)


def test_speakers_that_are_not_known_are_a_gap():
    rows = [row(f"{f}{e}", e, fold=f) for f in "abc" for e in FOUR]
    assert "12 utterances have no speaker" in plan_of("folds", rows).folds[0].gaps[0]


def test_utterances_of_one_id_cannot_be_tested_on():
    rows = [row(f"{f}{e}", e, speaker=f, fold=f) for f in "abc" for e in FOUR]
    with pytest.raises(ValueError, match="1 ids are tested on several times, such as"):
        plan_of("folds", [*rows, rows[0]])


def cross_rows(corpus: str, emotions) -> list[dict]:
    return [
        row(f"{corpus}{s}{e}", e, speaker=f"s{s}", corpus=corpus) for s in range(10) for e in emotions
    ]  # fmt: skip


def test_cross_corpus_compares_the_emotions_that_both_know_after_the_map():
    rows, test_rows = cross_rows("a", ("excited", "sad", "bored", "calm")), cross_rows("b", ("happy", "sad", "angry"))
    plan = plan_of("cross-corpus", rows, test_rows, excited="happy", bored=None)
    assert plan.classes == ("happy", "sad")
    assert plan.left_out == {
        "tested on, angry: none of the emotions that are compared": 10,
        "trained on, bored: left out by the protocol or emotion_map": 10,
        "trained on, calm: none of the emotions that are compared": 10,
    }
    [fold] = plan.folds
    assert ids(plan, fold, "test") == {r["id"] for r in test_rows if r["emotion"] != "angry"}
    held, trained = speakers(plan, fold, "validation"), speakers(plan, fold, "train")
    assert len(held) == 1 and held | trained == {f"s{n}" for n in range(10)} and not held & trained
    assert ids(plan, fold, "train") | ids(plan, fold, "validation") == {
        r["id"] for r in rows if r["emotion"] in ("excited", "sad")
    }


def test_cross_corpus_refuses_corpora_without_common_emotions_and_with_common_speakers():
    a, b = cross_rows("a", ("happy", "sad")), cross_rows("b", ("angry", "calm"))
    with pytest.raises(ValueError, match=r"\['happy', 'sad'\] in the one corpus, \['angry', 'calm'\] in the other"):
        plan_of("cross-corpus", a, b)
    with pytest.raises(ValueError, match="train and test share"):
        plan_of("cross-corpus", a, cross_rows("a", ("happy", "sad")))
    with pytest.raises(ValueError, match="needs --test_corpus"):
        plan_of("cross-corpus", a)
    with pytest.raises(ValueError, match="has no use for --test_corpus"):
        plan_of("folds", a, b)


def test_a_map_of_labels_that_are_not_there_or_to_none_is_refused():
    with pytest.raises(ValueError, match=r"names 'exited', which no row has; .* nearest is .'excited'"):
        choose_labels(PROTOCOLS["iemocap-loso"], iemocap_rows(), emotion_map={"exited": "happy"})
    with pytest.raises(ValueError, match="maps 'excited' to 'hapy'"):
        choose_labels(PROTOCOLS["iemocap-loso"], iemocap_rows(), emotion_map={"excited": "hapy"})
    plan = plan_of("iemocap-loso", iemocap_rows(), excited=None)
    assert plan.left_out == {"excited: left out by the protocol or emotion_map": 10} and not plan.relabelled


def test_a_corpus_is_read_as_it_is_only_where_its_rows_are_those_of_the_protocol(tmp_path):
    four, meld = save(iemocap_rows(FOUR), tmp_path / "four"), save(meld_rows(), tmp_path / "meld")
    five = save(iemocap_rows(), tmp_path / "five")
    cases = ((four, "iemocap-loso", True), (five, "iemocap-loso", False), (four, "loso-speaker", False),
             (meld, "meld", True), (meld, "meld-4", False))  # fmt: skip
    for corpus, protocol, expected in cases:
        plan = plan_of(protocol, read_rows(corpus)[1])
        assert (as_it_is(plan, corpus) is not None) == expected, (corpus, protocol)


def test_written_rows_keep_their_recordings_and_the_cuts_of_the_corpus(tmp_path):
    corpus = save(iemocap_rows(), tmp_path / "five")
    write_json(tmp_path / "five" / "calibration.json", {"cuts": 1})
    dataset, rows = read_rows(corpus)
    plan = plan_of("loso-speaker", rows)
    selection = written(plan, dataset, tmp_path / "out" / "data", corpus)
    again, rows_again = read_rows(selection.data)
    assert again["audio"][:] == dataset["audio"][:]
    assert [r["fold"] for r in rows_again] == [r["speaker"] for r in rows]
    assert (tmp_path / "out" / "data" / "calibration.json").is_file()


def test_show_prints_what_each_fold_holds(tmp_path, capsys):
    meld = save(meld_rows(), tmp_path / "meld")
    assert main(["show", "meld-4", "--corpus", meld]) == 0
    said = capsys.readouterr().out
    assert "official  train       8" in said and "left out: surprised: left out by the protocol" in said
    assert "not speaker-independent: train and test share 2 speakers (Joey, Ross" in said
    assert main(["show", "meld", "--corpus", meld, "--fold", "1"]) == 1
    assert "are no options of show" in capsys.readouterr().err
    assert main(["show", "cross-corpus", "--corpus", meld, "--test_corpus", meld]) == 1
    assert "give another" in capsys.readouterr().err


def test_a_fold_that_leaves_nothing_to_train_on_is_refused():
    rows = [row(f"a{e}", e, corpus="a", split="validation") for e in FOUR]
    with pytest.raises(ValueError, match="fold cross: nothing is left to train on"):
        plan_of("cross-corpus", rows, cross_rows("b", FOUR))
