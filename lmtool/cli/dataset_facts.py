"""What commands say of a dataset: its figures as one object, and as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmtool.data.dataset import Dataset
    from lmtool.data.split import Split


def described(dataset: Dataset) -> dict[str, Any]:
    """Its place, key, tokenizer, labels, targets, and the figures and sources of each split, for `--json`."""
    record = dataset.record
    splits = {
        name: {
            **split["counts"],
            **({"targets": dataset.split(name).target_counts.to_json()} if dataset.target_fields else {}),
            **({} if (count := dataset.documents_in_train(name)) is None else {"documents_in_train": count}),
            "sources": split["sources"],
        }
        for name, split in record["splits"].items()
    }
    kept: dict[str, Any] = {name: record[name] for name in ("labels", "targets") if name in record}
    return {"dataset": str(dataset.path), "key": dataset.key, "tokenizer": record["tokenizer"],
            "splits": splits, **kept}  # fmt: skip


def labels_line(dataset: Dataset) -> str:
    """Of a dataset with labels."""
    several = ", any number a document" if dataset.multi_label else ""
    return f"{len(dataset.label_names):,} classes{several}"


def target_tokenizer_line(targets: dict[str, Any]) -> str:
    """What ids of targets are made by.

    Args:
        targets: What `dataset.json` says of them.
    """
    own = targets.get("tokenizer")
    return tokenizer_line(own) if own else "the same tokenizer"


def tokenizer_line(record: dict[str, Any]) -> str:
    """Of a tokenizer as it stands in `dataset.json`."""
    return f"{record['name']} tokenizer, {record['vocab_size']:,} tokens in the vocabulary"


def split_line(dataset: Dataset, name: str) -> str:
    """The figures of a split, those of its targets included."""
    split, in_train = dataset.split(name), dataset.documents_in_train(name)
    learned = f" ({in_train:,} in the training text, too)" if in_train else ""
    unknown = f", {split.num_unknown:,} unknown" if split.num_unknown else ""
    return (
        f"{split.num_tokens:,} tokens, {split.num_lines:,} lines, {split.num_words:,} words, "
        f"{split.num_documents:,} documents{learned}{unknown}{_targets_of(split)}"
    )


def _targets_of(split: Split) -> str:
    if not split.has_targets:
        return ""
    counts = split.target_counts
    return f"; targets: {counts.tokens:,} tokens" + (f", {counts.unknown:,} unknown" if counts.unknown else "")


__all__ = ["described", "labels_line", "split_line", "target_tokenizer_line", "tokenizer_line"]
