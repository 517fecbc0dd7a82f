"""Presidio's AnalyzerEngine as the host of our rules: one composite recognizer, no language model.

The engine brings what its users know: recognizers can be added, results and explanations have
its types. A model that finds names is a second engine, for prose, and only if the operator has
installed one and says so.
"""

import importlib.util
from pathlib import Path
from typing import Any

from presidio_analyzer import (
    AnalysisExplanation,
    AnalyzerEngine,
    LocalRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpEngine, NoOpNlpEngine

from libs.common.contracts.pii import TYPES
from libs.common.errors import MuxError
from services.pii.detector import Detector
from services.pii.rules.hit import Hit

LANGUAGE = "en"
# What a model calls its entities, and what we do.
NAMES = {"PERSON": "PERSON", "LOCATION": "LOCATION", "ORGANIZATION": "ORG"}
GLINER = {"person": "PERSON", "address": "ADDRESS", "location": "LOCATION", "organization": "ORG"}


class Composite(LocalRecognizer):
    """All our rules as one recognizer: they share their passes over the text and settle
    overlaps among themselves."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        super().__init__(supported_entities=list(TYPES), name="modelmuxer")

    def load(self) -> None:
        """The rules are there."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: object = None
    ) -> list[RecognizerResult]:
        return [_result(hit) for hit in self._detector.hits(text)]


class OwnContext(ContextAwareEnhancer):
    """Our rules have looked at the words around already."""

    def __init__(self) -> None:
        super().__init__(0, 0, 0, 0)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: object,
        recognizers: object,
        context: object = None,
    ) -> list[RecognizerResult]:
        return raw_results


class Engine:
    """Text in, hits out. `prose` also asks the model for names, if there is one."""

    def __init__(self, detector: Detector, model: str = "") -> None:
        self._plain = _engine(detector, _no_op(), ())
        # The same for every text, since no language model looks at it.
        self._artifacts = self._plain.nlp_engine.process_text("", LANGUAGE)
        self._prose = _with_model(detector, model) if model else self._plain

    def hits(self, text: str, *, prose: bool = False) -> list[Hit]:
        if prose and self._prose is not self._plain:
            results = self._prose.analyze(text, LANGUAGE, return_decision_process=True)
        else:
            # Asked for one type the composite finds all. Unasked, the engine would list all
            # types on each call, and look up a threshold for each result.
            results = self._plain.analyze(
                text,
                LANGUAGE,
                entities=["SECRET"],
                score_threshold=0,
                return_decision_process=True,
                nlp_artifacts=self._artifacts,
            )
        return [_hit(result) for result in results]


def _engine(
    detector: Detector, nlp: NlpEngine, more: tuple[LocalRecognizer, ...]
) -> AnalyzerEngine:
    registry = RecognizerRegistry([Composite(detector), *more], supported_languages=[LANGUAGE])
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=nlp,
        supported_languages=[LANGUAGE],
        context_aware_enhancer=OwnContext(),
    )


def _no_op() -> NoOpNlpEngine:
    return NoOpNlpEngine([{"lang_code": LANGUAGE, "model_name": "none"}])


def _with_model(detector: Detector, model: str) -> AnalyzerEngine:
    kind, colon, path = model.partition(":")
    if colon and kind == "gliner":
        return _engine(detector, _no_op(), (_gliner(path),))
    return _with_spacy(detector, path if colon and kind == "spacy" else model)


def _with_spacy(detector: Detector, model: str) -> AnalyzerEngine:
    import spacy
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    # Presidio would download what is not there.
    if not (spacy.util.is_package(model) or Path(model).is_dir()):
        raise MuxError(
            f"pii.model: {model} is neither an installed spaCy package nor a folder with one; "
            f"install it, or leave pii.model empty"
        )
    nlp = SpacyNlpEngine(
        models=[{"lang_code": LANGUAGE, "model_name": model}],
        ner_model_configuration=NerModelConfiguration(labels_to_ignore=[]),
    )
    return _engine(detector, nlp, (SpacyRecognizer(supported_entities=list(NAMES)),))


def _gliner(path: str) -> LocalRecognizer:
    if importlib.util.find_spec("gliner") is None or not Path(path).is_dir():
        raise MuxError(
            f"pii.model: gliner:{path} needs the package `gliner` and a folder with its model"
        )
    from presidio_analyzer.predefined_recognizers import GLiNERRecognizer

    return GLiNERRecognizer(model_name=path, entity_mapping=GLINER, map_location="cpu")


def _result(hit: Hit) -> RecognizerResult:
    explanation = AnalysisExplanation(
        recognizer="modelmuxer", original_score=hit.score, textual_explanation=hit.why
    )
    return RecognizerResult(hit.type, hit.start, hit.end, hit.score, explanation)


def _hit(result: RecognizerResult) -> Hit:
    explanation: Any = result.analysis_explanation
    why = explanation.textual_explanation if explanation else None
    type_ = NAMES.get(result.entity_type, result.entity_type)
    return Hit(result.start, result.end, type_, result.score, why or "a name, says the model")
