"""The report of a dry run as text."""

from xser.evaluation.report import text_table


def text_of(report, config: str) -> str:
    """What `python train.py CONFIG --dry_run` prints."""
    blocks = [
        f"{config}: dry run, nothing is loaded, trained or written",
        text_table(_parameters(report), ("parameters", "in all", *(f"trained in {s.name}" for s in report.stages))),
        text_table(_stages(report), ("stage", "task", "steps", "turns", "epochs", "utterances", "peak rate")),
        text_table(
            _tokens(report),
            ("tokens", "utterances", "seconds", "prompt", "answer", "prompts in all", "answers in all"),
        ),
        text_table(_memory(report), ("memory, GB", *(stage.name for stage in report.stages))),
        f"{report.batch_size} utterances a step; a tenth of the memory is for the device's own (docs/training.md)",
    ]
    if report.notes:
        blocks.append("\n".join(f"note: {note}" for note in report.notes))
    return "\n\n".join(blocks)


def _parameters(report) -> list[tuple]:
    rows = []
    for part, count in report.parameters.items():
        trained = [f"{count:,}" if part in stage.trains else "–" for stage in report.stages]
        rows.append((part, f"{count:,}", *trained))
    return [
        *rows,
        ("in all", f"{sum(report.parameters.values()):,}", *(f"{s.num_parameters:,}" for s in report.stages)),
    ]


def _stages(report) -> list[tuple]:
    rows = [
        (
            stage.name,
            stage.task,
            f"{stage.num_steps:,}",
            f"{stage.num_turns:,}",
            f"{stage.num_epochs:.2f}",
            f"{stage.num_utterances:,}",
            f"{stage.learning_rate:g}",
        )
        for stage in report.stages
    ]
    return rows


def _tokens(report) -> list[tuple]:
    rows = []
    for stage in report.stages:
        size, drawn = report.sizes[stage.task], stage.num_utterances
        about = "" if size.is_exact else "about "
        rows.append(
            (
                stage.name,
                f"{size.draws:,}",
                f"{size.seconds:.2f}",
                f"{about}{size.prompt_tokens:.1f}",
                f"{about}{size.answer_tokens:.1f}",
                f"{about}{size.prompt_tokens * drawn:,.0f}",
                f"{about}{size.answer_tokens * drawn:,.0f}",
            )
        )
    return rows


def _memory(report) -> list[tuple]:
    names = [stage.name for stage in report.stages]
    parts = {"weights": report.weights, "optimizer": report.optimizer, "averages": report.averages}
    rows = [(part, *(f"{size / 1e9:.3f}" for _ in names)) for part, size in parts.items() if size]
    for part in ("gradients", "activations"):
        rows.append((part, *(f"{getattr(report.memory[name], part) / 1e9:.3f}" for name in names)))
    return [*rows, ("at the most", *(f"{report.peak_of(name) / 1e9:.3f}" for name in names))]
