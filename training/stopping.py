"""Ends of a training before its last step: by the clock, or by a signal. All processes stop at the same step."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAME_SECONDS = 3.0  # in which a second Ctrl-C is the first one's echo: launchers pass on what a terminal sends
LAUNCHER_SECONDS = 20.0  # in which other signals are: a launcher on a busy machine takes its time
WORKER_SECONDS = 60  # for which a worker that loads data outlives SIGTERM


class TimeLimit(TrainerCallback):
    """Stop training after some minutes of this call, with a checkpoint if the run keeps any."""

    def __init__(self, minutes: float):
        self.minutes, self.start = minutes, None

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        is_over = torch.tensor(float(time.monotonic() - self.start > 60 * self.minutes), device=args.device)
        if args.world_size > 1:
            torch.distributed.broadcast(is_over, src=0)
        if is_over:
            control.should_training_stop = True
            control.should_save = args.save_strategy != SaveStrategy.NO


class StopSignal(TrainerCallback):
    """Stop training after the step in which SIGTERM, SIGHUP or Ctrl-C came, with a checkpoint if the run keeps any.

    A second Ctrl-C, three seconds later or more, ends the process at once, other signals after twenty.

    Attributes:
        number: of the signal that any process received; `None` where none did.
        is_stopping: whether training ends for it.
    """

    def __init__(self):
        self.number, self.is_stopping = None, False
        self._received = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, signals are noted. One that came too late to stop a step is delivered afterwards."""
        self.number, self.is_stopping = None, False
        if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
            yield
            return
        heeded = [each for each in SIGNALS if signal.getsignal(each) not in (signal.SIG_IGN, None)]
        before = {each: signal.signal(each, self._receive) for each in heeded}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
        if self.number is not None and not self.is_stopping:
            os.kill(os.getpid(), self.number)

    def _receive(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self._received = number, now
            message = f"{signal.Signals(number).name}: training stops after this step\n"
            os.write(2, message.encode())  # what logs may be interrupted in the middle of a line
        elif now - self._received >= (SAME_SECONDS if number == signal.SIGINT else LAUNCHER_SECONDS):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def on_step_end(self, args, state, control, **kwargs):
        number = self.number or 0
        if args.world_size > 1:
            largest = torch.tensor(number, device=args.device)
            torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
            number = int(largest)
        if number:
            self.number, self.is_stopping = number, True
            control.should_training_stop = True
            control.should_evaluate = False
            control.should_save = args.save_strategy != SaveStrategy.NO

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.is_stopping:  # saved at the end of the step already
            control.should_evaluate = control.should_save = False


def heed_no_signals(worker: int) -> None:
    """For processes that load data: training needs them until its step has ended, and ends them itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(WORKER_SECONDS))
