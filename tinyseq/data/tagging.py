"""Synthetic sentences with named entities, in the format of the CoNLL shared tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np

#: Words with their tags: O outside, B- at the first word of an entity, I- at the others.
Sentence = list[tuple[str, str]]


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(";")]


_FIRST: Final = _list(
    "Ada; Alan; Alice; Amir; Ana; Ben; Carla; Chen; Chloe; Clara; David; Diego; Elena; Emma; Erik; Fatima; George; "
    "Grace; Hannah; Henry; Hiro; Ingrid; Ivan; James; Jane; Jordan; Julia; Kofi; Lars; Leila; Lincoln; Lucas; "
    "Madison; Maria; Marta; Mei; Miguel; Mohammed; Nadia; Nina; Olga; Omar; Oscar; Paris; Paul; Pedro; Priya; Rosa; "
    "Sam; Sara; Sofia; Sydney; Thomas; Victoria; Virginia; Wei; Yuki; Zoe"
)
_LAST: Final = _list(
    "Adams; Baker; Becker; Berlin; Bianchi; Brown; Carter; Chang; Costa; Davis; Diaz; Evans; Ferrari; Fischer; Ford; "
    "Garcia; Green; Haddad; Hansen; Houston; Ito; Ivanova; Jackson; Johnson; Jones; Kim; King; Kowalski; Larsen; Lee; "
    "London; Lopez; Martin; Mensah; Meyer; Miller; Morgan; Moreau; Nguyen; Novak; Okafor; Olsen; Park; Patel; Popov; "
    "Rossi; Sato; Schmidt; Silva; Singh; Smith; Suzuki; Tanaka; Taylor; Turner; Walker; Washington; Weber; White; "
    "Young"
)
_CITIES: Final = _list(
    "Accra; Amsterdam; Ankara; Athens; Baghdad; Bangkok; Beijing; Berlin; Bogota; Boston; Buenos Aires; Cairo; Cape "
    "Town; Chicago; Dublin; Hanoi; Helsinki; Houston; Jakarta; Jordan; Kyoto; Lagos; Lima; Lincoln; Lisbon; London; "
    "Madison; Madrid; Manila; Mexico City; Milan; Montreal; Moscow; Mumbai; Nairobi; New York; Oslo; Paris; Prague; "
    "Rio de Janeiro; Rome; San Francisco; Santiago; Seoul; Sydney; Tokyo; Toronto; Victoria; Vienna; Warsaw; "
    "Washington; Zurich"
)
_COUNTRIES: Final = _list(
    "Argentina; Australia; Brazil; Canada; Chile; China; Egypt; Finland; France; Germany; Ghana; India; Italy; Japan; "
    "Jordan; Kenya; Mexico; New Zealand; Nigeria; Norway; Peru; Poland; Portugal; South Africa; South Korea; Spain; "
    "Sweden; Turkey; Vietnam"
)
_STEMS: Final = _list(
    "Acme; Alpine; Apex; Atlas; Blue River; Carter; Crescent; Delta; Eastern; Falcon; First National; Ford; Global; "
    "Golden Gate; Harbor; Horizon; Jackson; King; Liberty; Meridian; Miller; Morgan; Nordic; Northern; Orion; "
    "Pacific; Pioneer; Silver Lake; Summit; Union; United; Vertex; Weber; Western; Young"
)
_SUFFIXES: Final = _list(
    "Airlines; Bank; Corporation; Electric; Energy; Foods; Group; Holdings; Inc.; Industries; Insurance; "
    "Laboratories; Ltd.; Media; Motors; Partners; Pharma; Railways; Steel; Systems; Technologies"
)
_ADJECTIVES: Final = _list(
    "American; Australian; Brazilian; British; Canadian; Chinese; Dutch; Egyptian; French; German; Greek; Indian; "
    "Italian; Japanese; Kenyan; Mexican; Nigerian; Norwegian; Polish; Portuguese; Russian; Spanish; Swedish; Turkish"
)
_EVENTS: Final = _list("World Cup; Film Festival; Open; Grand Prix; Peace Prize; Marathon; Book Fair; Science Award")
_FILLS: Final = {
    "role": _list(
        "engineer; teacher; minister; doctor; lawyer; spokeswoman; manager; pilot; professor; coach; former mayor"
    ),
    "day": _list("Monday; Tuesday; Wednesday; Friday; Sunday; last week; yesterday; in March; in 1998; this morning"),
    "thing": _list(
        "shares; bonds; a plant; two factories; its rival; the building; a new office; the contract; a small airport"
    ),
    "verb": _list("bought; sold; visited; praised; criticised; sued; left; joined; supported; opposed"),
    "said": _list("said; told reporters; announced; denied; confirmed; wrote; added"),
    "number": _list("three; 12; forty; 250; 1,900; some 30"),
    "title": _list("Mr.; Mrs.; Dr.; Professor; President; Captain"),
}
#: Upper-case slots are entities (see ``_entity``), lower-case ones ordinary words.
_TEMPLATES: Final = (
    "{PER} , a {role} from {LOC} , {said} {day} .",
    "{PER} {verb} {ORG} {day} .",
    "{ORG} {verb} {ORG} in {LOC} .",
    "{ORG} {said} {day} that {PER} had {verb} the company .",
    "{title} {PER} lives in {LOC} with {number} cats .",
    "In {LOC} , {number} people {verb} {PER} .",
    "{LOC} {verb} {LOC} at the {MISC} {day} .",
    "The {MISC} opened in {LOC} {day} .",
    "{PER} and {PER} met at the {MISC} .",
    "The {ADJ} {role} {PER} won the {MISC} .",
    "A {role} of {ORG} {said} the {ADJ} market was weak .",
    "{ORG} , based in {LOC} , sold {thing} to {ORG} .",
    "\" We left {LOC} {day} , \" {said} {PER} .",
    "{LOC} , {day} - {ORG} {verb} {thing} .",
    "{number} {ADJ} workers of {ORG} {verb} {PER} {day} .",
    "Flights from {LOC} to {LOC} were late {day} .",
    "The {role} {verb} {thing} {day} .",
    "Nobody {said} why the {role} {verb} {thing} .",
    "{day} the {role} of {LOC} , {PER} , {verb} {thing} .",
    "Who {verb} {PER} ? asked {ORG} .",
    "{PER} of {ORG} {verb} {PER} of {LOC} .",
    "{ORG} will open {number} shops in {LOC} , {LOC} and {LOC} .",
    "the {ORG} and {PER} case goes to court in {LOC} {day} .",
    "After {number} years in {LOC} , {PER} joined {ORG} .",
    "{PER} beat {PER} {number} times at the {MISC} .",
)  # fmt: skip


def entity_sentences(count: int, seed: int | np.random.Generator) -> list[Sentence]:
    """Return sentences of news with their entities tagged PER, ORG, LOC or MISC, in the IOB2 scheme.

    Sentences are filled templates. Many names are of several kinds (Washington, Jordan, Paris, Ford, Carter), entities
    have one to four words, ordinary words stand in upper case at the start of sentences and in weekdays and titles, and
    most full names of a held-out part were never seen whole, so that a list of names does not solve it.

    Source: the form is that of Tjong Kim Sang and De Meulder 2003, "CoNLL-2003 shared task"; the sentences are this
    function's.
    """
    rng = np.random.default_rng(seed)
    return [_fill(_TEMPLATES[rng.integers(len(_TEMPLATES))], rng) for _ in range(count)]


def to_conll(sentences: Iterable[Sentence]) -> str:
    """Return CoNLL text: a line for each word, then a space and its tag; an empty line after each sentence."""
    return "".join("".join(f"{word} {tag}\n" for word, tag in sentence) + "\n" for sentence in sentences)


def _fill(template: str, rng: np.random.Generator) -> Sentence:
    sentence: Sentence = []
    for part in template.split():
        slot = re.fullmatch(r"\{(\w+)\}", part)
        if slot is None:
            sentence.append((part, "O"))
        elif (name := slot[1]).isupper():
            words = _entity(name, rng)
            kind = "MISC" if name == "ADJ" else name
            sentence += [(word, f"{'I' if i else 'B'}-{kind}") for i, word in enumerate(words)]
        else:
            sentence += [(word, "O") for word in _choose(_FILLS[name], rng).split()]
    word, tag = sentence[0]
    sentence[0] = (word[0].upper() + word[1:], tag)
    return sentence


def _entity(kind: str, rng: np.random.Generator) -> list[str]:
    """Return the words of an entity."""
    form = rng.random()
    if kind == "PER":
        first, last = _choose(_FIRST, rng), _choose(_LAST, rng)
        if form < 0.5:
            return [first, last]
        if form < 0.65:
            return [first[0] + ".", last]
        return [last] if form < 0.9 else [first]
    if kind == "LOC":
        return _choose(_CITIES if form < 0.65 else _COUNTRIES, rng).split()
    if kind == "ORG":
        if form < 0.6:
            return f"{_choose(_STEMS, rng)} {_choose(_SUFFIXES, rng)}".split()
        if form < 0.75:
            return ["University", "of", *_choose(_CITIES, rng).split()]
        if form < 0.9:
            return _choose(_STEMS, rng).split()
        return ["".join(chr(65 + letter) for letter in rng.integers(0, 26, 3))]
    if kind == "ADJ":
        return [_choose(_ADJECTIVES, rng)]
    return f"{_choose(_CITIES if form < 0.5 else _ADJECTIVES, rng)} {_choose(_EVENTS, rng)}".split()


def _choose(options: list[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
