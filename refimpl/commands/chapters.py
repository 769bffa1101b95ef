"""Operations and models that are not ours: the options that name them, and how they come in."""

from __future__ import annotations

import argparse


def add_chapters(command: argparse.ArgumentParser) -> None:
    """Where operations that are not ours come from."""
    command.add_argument(
        "--page",
        action="append",
        default=[],
        metavar="FILE",
        dest="pages",
        help="your own functions, annotated with axes: judge functions of the same name by them",
    )
    command.add_argument(
        "--chapter",
        action="append",
        default=[],
        metavar="MODULE",
        dest="chapters",
        help="a module with OPS or MODELS of its own",
    )


def bring_chapters(options: argparse.Namespace) -> list[str]:
    """Add what installed packages, chapters and pages offer; the operations of the last two."""
    from refimpl import own, registry
    from refimpl.models.registry import bring as bring_models

    installed = own.installed_chapters()
    for name in installed:
        registry.bring(own.chapter(name))
    asked: list[str] = []
    for path in options.pages:
        asked += registry.bring(own.page(path), "--page", path)
    for name in options.chapters:
        asked += registry.bring(own.chapter(name), "--chapter", name)
    for name in (*installed, *options.chapters):
        bring_models(own.chapter_models(name), name)
    return asked
