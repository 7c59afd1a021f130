"""Licences: the Hub's names of them, those that a text names, and whether one keeps the terms of others."""

import difflib
import re
from dataclasses import dataclass

# Of https://huggingface.co/docs/hub/repositories-licenses: huggingface_hub ships no list, and asks its server instead.
_NAMES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
    openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown
    other
"""
HUB_LICENSES = tuple(_NAMES.split())
OTHER = "other"
NON_COMMERCIAL, SAME, NO_DERIVATIVES, ATTRIBUTION = "non-commercial", "same licence", "no derivatives", "attribution"
_RESEARCH = (
    "apple-amlr",
    "h-research",
    "intel-research",
    "fair-noncommercial-research-license",
    "deepfloyd-if-license",
)
_NO_CONDITIONS = ("cc0-1.0", "unlicense", "wtfpl", "pddl", "cc", "unknown")
_SAME = re.compile(
    r"cc-by-(nc-)?sa|a?gpl|gfdl|odbl|osl-|eupl-|cdla-sharing|llama|gemma|.*rail|grok2|deepfloyd|apple-amlr"
)

_OF_DATA = re.compile(r"cc-|odbl|cdla-")

_CC = re.compile(
    r"creativecommons\.org/licenses/(?P<url>by[a-z-]*)/(?P<url_version>\d\.\d)"
    r"|\bCC[ -]BY(?P<short>(?:[ -]?(?:NC|SA|ND)\b)*)(?:[ -]?v?(?P<version>\d\.\d))?"
    r"|\bAttribution(?P<long>(?:[ -](?:Non[ -]?Commercial|Share[ -]?Alike|No[ -]?Deriv(?:ative)?s))*)"
    r" (?P<long_version>\d\.\d)",
    re.IGNORECASE,
)
_NAMED = (
    (re.compile(r"\bApache(?:[- ]Licen[cs]e)?,?(?: Version)?[ -]2(?:\.0)?\b", re.IGNORECASE), "apache-2.0"),
    (re.compile(r"\bMIT[ -]licen[cs]e", re.IGNORECASE), "mit"),
    (re.compile(r"\bCC0\b|creativecommons\.org/publicdomain/zero", re.IGNORECASE), "cc0-1.0"),
    (re.compile(r"\bODbL\b|Open Database Licen[cs]e"), "odbl"),
    (re.compile(r"\bODC-By\b", re.IGNORECASE), "odc-by"),
    (re.compile(r"\bAGPL[- ]?v?3|GNU Affero General Public Licen[cs]e"), "agpl-3.0"),
    (re.compile(r"(?<![AL])GPL[- ]?v?3|GNU General Public Licen[cs]e,? (?:version |v)3", re.IGNORECASE), "gpl-3.0"),
    (re.compile(r"(?<![AL])GPL[- ]?v?2|GNU General Public Licen[cs]e,? (?:version |v)2", re.IGNORECASE), "gpl-2.0"),
    (re.compile(r"\bGemma Terms of Use", re.IGNORECASE), "gemma"),
)
_LLAMA = re.compile(r"\bLlama[ -]?(\d(?:\.\d)?) Community Licen[cs]e", re.IGNORECASE)
_HUB_NAME = re.compile(
    r"(?<![\w.-])("
    + "|".join(re.escape(name) for name in HUB_LICENSES if "-" in name or re.match(r"llama", name))
    + r")(?![\w-]|\.\d)",
    re.IGNORECASE,
)
_RESTRICTION = re.compile(
    r"not (?:be )?(?:for |used for )?commercial|non-?commercial|no commercial|research (?:use |purposes )?only|"
    r"(?:academic|research) (?:research|use|purposes)|only for research|not (?:to be|be) (?:passed on|redistributed)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Terms:
    """A licence that something names, by the Hub's name for it, or a restriction in words (then `license` is None)."""

    license: str | None
    words: str
    where: str

    def __str__(self) -> str:
        return f"{self.license or repr(self.words)} ({self.where})"


def terms_in(text: str, where: str) -> list[Terms]:
    """Licences and restrictions that a text names, in the order of their places; lines are counted from 1."""
    found = [(match.start(), _creative_commons(match), match[0]) for match in _CC.finditer(text)]
    found += [(match.start(), name, match[0]) for pattern, name in _NAMED for match in pattern.finditer(text)]
    found += [(match.start(), f"llama{match[1]}", match[0]) for match in _LLAMA.finditer(text)]
    found += [(match.start(), match[1].lower(), match[0]) for match in _HUB_NAME.finditer(text)]
    found += [(match.start(), None, match[0]) for match in _RESTRICTION.finditer(text)]
    has_lines = "\n" in text.strip()
    terms = []
    for at, name, words in sorted(found, key=lambda one: one[0]):
        line = f", line {text.count(chr(10), 0, at) + 1}" if has_lines else ""
        terms.append(Terms(name, words, where + line))
    return list(dict.fromkeys(terms))


def conditions(license_id: str) -> set[str]:
    """What a licence asks of what is made of the work."""
    asked = set() if license_id in _NO_CONDITIONS else {ATTRIBUTION}
    if "-nc" in license_id or license_id in _RESEARCH:
        asked.add(NON_COMMERCIAL)
    if "-nd" in license_id:
        asked.add(NO_DERIVATIVES)
    if _SAME.match(license_id):
        asked.add(SAME)
    return asked


def contradicted(license_id: str, terms: list[Terms]) -> list[Terms]:
    """Those of the terms that a licence does not keep.

    `other` keeps all, but for a licence of data that alone must stay: what it would be is known.
    """
    if license_id == OTHER:
        binding = {term.license for term in terms if term.license is not None and SAME in conditions(term.license)}
        alone = {name for name in binding & set(HUB_LICENSES) if len(binding) == 1 and _OF_DATA.match(name)}
        return [term for term in terms if term.license in alone]
    offered = conditions(license_id)
    broken = []
    for term in terms:
        asked = {NON_COMMERCIAL} if term.license is None else conditions(term.license)
        must_be_it = SAME in asked and term.license != license_id
        if must_be_it or asked - {SAME} - offered:
            broken.append(term)
    return broken


def implied(terms: list[Terms]) -> list[str]:
    """Licences among those named that keep all the terms: one, and it is the model's; else somebody must choose."""
    named = dict.fromkeys(term.license for term in terms if term.license in HUB_LICENSES)
    return [name for name in named if not contradicted(name, terms)]


def nearest(license_id: str) -> list[str]:
    """Up to three of the Hub's names that look like it."""
    name = re.sub(r"[\s_]+", "-", license_id.strip().lower())
    close = [term.license for term in terms_in(license_id, "") if term.license in HUB_LICENSES]
    return list(dict.fromkeys([*close, *difflib.get_close_matches(name, HUB_LICENSES, n=3, cutoff=0.6)]))[:3]


def _creative_commons(match: re.Match) -> str:
    parts = re.sub("[ -]", "", match["url"] or match["short"] or match["long"] or "").lower()
    spelt = {"nc": ("nc",), "sa": ("sa", "sharealike"), "nd": ("nd", "noderiv")}  # "noncommercial" holds an nc
    kinds = [kind for kind, spellings in spelt.items() if any(spelling in parts for spelling in spellings)]
    version = match["url_version"] or match["version"] or match["long_version"] or "4.0"
    return "-".join(["cc-by", *kinds, version])
