"""The contracts between the host and its plugins. Light: standard library only at run time.

A plugin's entry module yields `Component`s; each component's `target` follows the protocol of its kind. What every
plugin of a kind must do is checked by `lmtool.testing`.

    descriptors   what hooks yield               learning     tasks, optimizers, the compiled step
    text          readers, tokenizers            evaluation   predictions, evaluators, trackers
    models        trained models, backbones      classes      documents, classifiers, augmentations
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
)
from lmtool.api.text import Reader, Record, TextTokenizer, Tokenizer

__all__ = [
    "API_VERSION",
    "KINDS",
    "AdaptableModel",
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
    "HiddenStateModel",
    "ImportedModel",
    "LanguageModel",
    "Metric",
    "Optimizer",
    "OptimizerFactory",
    "ParametricModel",
    "Reader",
    "Record",
    "StepFactory",
    "Task",
    "TextTokenizer",
    "TokenPredictions",
    "Tokenizer",
    "Tracker",
    "VariationalOptimizer",
]
