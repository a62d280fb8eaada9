"""The contracts between the host and its plugins. Light: standard library only at run time.

A plugin's entry module yields `Component`s; each component's `target` follows the protocol of its kind. What every
plugin of a kind must do is checked by `lmtool.testing`.

    descriptors   what hooks yield               learning     tasks, optimizers, the compiled step
    text          readers, tokenizers            evaluation   predictions, evaluators, trackers
    models        trained models, backbones      classes      documents, classifiers, augmentations
    texts         models that answer a text with a text, evaluators of what they answer
"""

from __future__ import annotations

from lmtool.api.classes import Augmentation, Classifier, ClassPredictions, Document, FittedClassifier
from lmtool.api.descriptors import API_VERSION, KINDS, CommandSpec, Component, Family
from lmtool.api.evaluation import Evaluator, Metric, TokenPredictions, Tracker
from lmtool.api.learning import Optimizer, OptimizerFactory, StepFactory, Task, VariationalOptimizer
from lmtool.api.models import (
    AdaptableModel,
    Backbone,
    ExportableModel,
    FittedModel,
    HiddenStateModel,
    ImportedModel,
    LanguageModel,
    ParametricModel,
    ResumableModel,
)
from lmtool.api.text import Reader, Record, TextTokenizer, Tokenizer
from lmtool.api.texts import (
    Answerer,
    FittedTextModel,
    Hypothesis,
    ParametricTextModel,
    TextEvaluator,
    TextModel,
    TextPredictions,
)

__all__ = [
    "API_VERSION",
    "KINDS",
    "AdaptableModel",
    "Answerer",
    "Augmentation",
    "Backbone",
    "ClassPredictions",
    "Classifier",
    "CommandSpec",
    "Component",
    "Document",
    "Evaluator",
    "ExportableModel",
    "Family",
    "FittedClassifier",
    "FittedModel",
    "FittedTextModel",
    "HiddenStateModel",
    "Hypothesis",
    "ImportedModel",
    "LanguageModel",
    "Metric",
    "Optimizer",
    "OptimizerFactory",
    "ParametricModel",
    "ParametricTextModel",
    "Reader",
    "Record",
    "ResumableModel",
    "StepFactory",
    "Task",
    "TextEvaluator",
    "TextModel",
    "TextPredictions",
    "TextTokenizer",
    "TokenPredictions",
    "Tokenizer",
    "Tracker",
    "VariationalOptimizer",
]
