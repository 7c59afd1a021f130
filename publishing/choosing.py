"""The licence that a model is published under, and whether it keeps the terms of all that the model was made of."""

from dataclasses import dataclass

from xser.publishing.licenses import (
    HUB_LICENSES,
    OTHER,
    SAME,
    Terms,
    conditions,
    contradicted,
    implied,
    nearest,
    terms_in,
)
from xser.publishing.problems import Problem
from xser.publishing.provenance import CARD, NOTICE, TRAINING, Provenance


@dataclass(frozen=True)
class License:
    """The Hub's name of a licence; of `other` also its own name, and where its text is."""

    id: str | None = None
    name: str | None = None
    link: str | None = None
    where: str = ""


def chosen_license(provenance: Provenance, given: License) -> tuple[License, list[Problem]]:
    """The licence to publish under: the one given, else the card's, else the one that the terms leave.

    One that only a checkpoint before it names is taken where it must stay (share alike and its kind): another may not
    be that of the recordings that came after.

    Returns:
        The licence (`id` None where there is no telling), and what is wrong with it. None is taken by default: where
        neither the folder nor the user says a licence, that is a problem.
    """
    card = provenance.card
    license = given
    if given.id is None and card.get("license") is not None:
        license = License(card["license"], card.get("license_name"), card.get("license_link"), f"{CARD}: license")
    elif given.id is None:
        left = implied(provenance.terms)
        if len(left) != 1 or not (left[0] in provenance.own or SAME in conditions(left[0])):
            named = (
                f"the folder names {_listed(provenance.terms)}" if provenance.terms else f"no {NOTICE}, {TRAINING} "
            )
            named += "" if provenance.terms else f"or {CARD} in the model's folder names one"
            return License(), [
                Problem("--license", None, f"{named}: give the licence, which must keep the terms of all the data")
            ]
        where = next(term.where for term in provenance.terms if term.license == left[0])
        license = License(left[0], where=where)
    problems = license_problems(license)
    if not problems and (broken := contradicted(license.id, provenance.terms)):
        fit = implied(provenance.terms)
        remedy = f"give --license {fit[0]}" if len(fit) == 1 else _when_none_fits(provenance.terms)
        text = f"it contradicts {_listed(broken)}, on whose terms the model is: {remedy}"
        problems.append(Problem(license.where, license.id, text))
    if not problems and given.id is not None and card.get("license") not in (None, given.id):
        text = f"{CARD} says license {card['license']!r}: leave --license out, or change that line"
        problems.append(Problem("--license", given.id, text))
    return license, problems


def license_problems(license: License) -> list[Problem]:
    """What the Hub would refuse of a licence's name."""
    if not isinstance(license.id, str) or license.id not in HUB_LICENSES:
        close = nearest(str(license.id))
        named = (
            f"did you mean {' or '.join(close)}?"
            if close
            else "see https://huggingface.co/docs/hub/repositories-licenses"
        )
        return [
            Problem(
                license.where,
                license.id,
                f"the Hub knows no such licence; {named} For another, give other, with license_name and license_link",
            )
        ]
    if license.id != OTHER:
        return []
    problems = []
    for what, value, example in (
        ("license_name", license.name, "my-terms-1.0"),
        ("license_link", license.link, "LICENSE, or an https address"),
    ):
        if not isinstance(value, str) or not value.strip():
            problems.append(
                Problem(_beside(license.where, what), value, f"with license other it must be given: {example}")
            )
    if not problems and (
        close := [term.license for term in terms_in(license.name, "") if term.license in HUB_LICENSES]
    ):
        problems.append(
            Problem(
                _beside(license.where, "license_name"),
                license.name,
                f"that is a licence of the Hub's: give {close[0]}",
            )
        )
    return problems


def _when_none_fits(terms: list[Terms]) -> str:
    binding = contradicted(OTHER, terms)
    if binding:
        return f"give --license {binding[0].license}"
    return "give one that keeps them, or --license other with --license_name and --license_link"


def _listed(terms: list[Terms]) -> str:
    """Each licence or restriction once, with the first place that names it."""
    first: dict[str, Terms] = {}
    for term in terms:
        first.setdefault(term.license or term.words, term)
    return "; ".join(map(str, first.values()))


def _beside(where: str, what: str) -> str:
    return f"--{what}" if where.startswith("--") else where.replace("license", what)
