"""`accelerate launch --cpu --num_processes N` starts one process, however large N (accelerate 1.15, without MPI).

That would train on a batch N times smaller than meant, in silence. So the first process starts all N by torchrun.
"""

import os
import sys

import psutil
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import main as torchrun

RANK_VARIABLES = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def processes_meant() -> int:
    """How many processes the `accelerate launch --cpu` above this one was told to start; 1 if there is none."""
    if os.environ.get("ACCELERATE_USE_CPU") != "True" or any(name in os.environ for name in RANK_VARIABLES):
        return 1
    parent = psutil.Process().parent()
    command = parent.cmdline() if parent is not None else []
    if "launch" not in command:
        return 1
    arguments, _ = launch_command_parser().parse_known_args(command[command.index("launch") + 1 :])
    return arguments.num_processes or 1


def start_all_processes(argv: list[str]) -> None:
    """Run this script with `argv` in as many processes as were meant, and exit; return if that is this one alone."""
    processes = processes_meant()
    if processes > 1:
        torchrun(["--standalone", f"--nproc-per-node={processes}", sys.argv[0], *argv])
        sys.exit()
