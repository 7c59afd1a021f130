"""Load a folder as a user of the Hub does: in a process that sees neither the package nor a network nor a login."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from xser.backbone_places_xser import VARIABLE
from xser.publishing import reload
from xser.publishing.problems import PublishError, without_secrets

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")
LAST_LINES = 8


def load_in_isolation(folder: Path) -> dict:
    """Load the folder by its public names, and ask its pipeline.

    Returns:
        `classes`, what each Auto class gave, and `answer`, what the pipeline says of a generated voice.

    Raises:
        PublishError: it does not load; the message ends with the process's last lines.
    """
    with tempfile.TemporaryDirectory() as modules:
        environment = {key: value for key, value in os.environ.items() if key not in TOKENS}
        if given := os.environ.get(VARIABLE):  # the process starts elsewhere
            environment[VARIABLE] = str(Path(given).expanduser().absolute())
        environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": modules, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        done = subprocess.run(
            [sys.executable, "-I", reload.__file__, str(folder)],
            env=environment,
            cwd=modules,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise PublishError(without_secrets(f"{folder} does not load by its public names:\n{last}"))
    return json.loads(done.stdout.splitlines()[-1])
