"""Which checkpoints a run keeps, and the thread that writes them while training goes on."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tinyseq import files
from tinyseq.errors import DataError
from tinyseq.train.config.checkpoint_policy import CheckpointConfig
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.checkpoint_file import Checkpoint

_NAME = re.compile(r"step-(\d{8,18})\.safetensors")


class Checkpoints:
    """The checkpoints of a run: ``checkpoints/step-00000100.safetensors`` and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        """Return where the checkpoint of a step is, or would be."""
        return self.folder / f"step-{step:08}.safetensors"

    def steps(self) -> list[int]:
        """Return the steps that there is a checkpoint of, in order."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))

    def read(self, step: int) -> Checkpoint:
        """Read a checkpoint; where it is damaged, say which earlier one is whole.

        Raises:
            DataError: see ``checkpoint_file.read``.
        """
        try:
            return checkpoint_file.read(self.path(step))
        except checkpoint_file.DamagedError as error:
            whole = next((s for s in reversed(self.steps()) if s < step and self._is_whole(s)), None)
            fix = "start anew, without --resume: no earlier checkpoint is whole"
            if whole is not None:
                fix = f"the one before it, of step {whole}, is whole: --resume-from {self.path(whole)}"
            raise checkpoint_file.DamagedError(error.what, required=error.required, got=error.got, fix=fix) from None

    def _is_whole(self, step: int) -> bool:
        try:
            checkpoint_file.read(self.path(step))
        except DataError:
            return False
        return True

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint.

        Raises:
            OSError: see ``files.write``.
        """
        files.make_folder(self.folder)
        checkpoint_file.write(self.path(checkpoint.step), checkpoint)

    def prune(self, policy: CheckpointConfig, best: int) -> None:
        """Remove what the policy does not keep; a file that cannot be removed stays."""
        steps = self.steps()
        for step in sorted(set(steps) - policy.kept(steps, best)):
            with suppress(OSError):
                self.path(step).unlink()

    def set_aside_after(self, step: int) -> None:
        """Give the checkpoints of later steps another name: a run that goes on from here makes them anew."""
        for later in self.steps():
            if later > step:
                files.set_aside(self.path(later))


class CheckpointManager:
    """A writer of checkpoints: in a thread of its own, one at a time and in order.

    What ``save`` is given must not change any more: it holds copies. A second ``save`` waits until the first is
    written, so that a slow disk slows training down instead of filling the memory. A write that fails is told, and the
    run goes on with the last checkpoint that was written.

    Args:
        place: where to.
        policy: what is kept.
        tell: takes messages for a person.
        before: is called before each write, in the writer's thread: what a checkpoint refers to goes to the disk first.
    """

    def __init__(
        self,
        place: Checkpoints,
        policy: CheckpointConfig,
        tell: Callable[[str], None],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.place, self.policy, self.tell, self.before = place, policy, tell, before
        self._thread: threading.Thread | None = None
        self._last = max(place.steps(), default=None)
        self._failure: str | None = None
        self._told: str | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Begin to write a checkpoint."""
        self.finish()
        # A daemon, because a second Ctrl-C does not wait: the file is replaced only when the new one is whole.
        self._thread = threading.Thread(target=self._write, args=(checkpoint,), name="tinyseq-checkpoint", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is written, and tell what failed; the same reason is told once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None and self._failure != self._told:
            last = "there is none yet" if self._last is None else f"the last good one is of step {self._last}"
            self.tell(f"warning: checkpoints are not written: {self._failure}; {last}; training goes on")
        self._told, self._failure = self._failure or self._told, None

    def _write(self, checkpoint: Checkpoint) -> None:
        try:
            self.before()
            self.place.write(checkpoint)
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._failure = f"{reason}: {self.place.folder}"
            return
        self._last = checkpoint.step
        self.place.prune(self.policy, int(checkpoint.facts.get("best_step", 0)))
