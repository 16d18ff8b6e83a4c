"""A program of the user's own, in whatever language, as segments."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpo.paths import SweepPaths
from hpo.programs.attempt import Attempt
from hpo.programs.command import filled, find_program
from hpo.programs.one_by_one import one_by_one
from hpo.programs.process import Output, running
from hpo.programs.state import read_state
from hpo.records import Message, Segment, TrialSpec
from hpo.tracking.private import BlankRun, private_run


@dataclass(frozen=True, kw_only=True)
class ProgramWorkload:
    """Runs the program for one trial after the other, each in processes of its own."""

    command: str
    """See `hpo.programs.command`."""
    folder: Path
    """That it runs in."""
    shipped_as: Path | None = None
    """The same by its path in what every node was sent, if it is there: `folder` may be on one node alone."""
    metric: str
    max_epochs: int
    paths: SweepPaths
    blank: BlankRun
    """Each program gets a copy."""

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        """A function that trains segments by programs that this process starts."""
        given = {"OMP_NUM_THREADS": str(num_threads)} | ({} if use_gpu else {"CUDA_VISIBLE_DEVICES": ""})
        return partial(self._train, given=given)

    def _train(self, segment: Segment, *, given: Mapping[str, str]) -> Iterator[Message]:
        yield from one_by_one(segment, partial(self._train_one, segment=segment, given=given))

    def _train_one(self, spec: TrialSpec, segment: Segment, given: Mapping[str, str]) -> Iterator[Message]:
        with self._begun(spec, segment, given) as attempt:
            yield from attempt.messages()

    @contextmanager
    def _begun(self, spec: TrialSpec, segment: Segment, given: Mapping[str, str]) -> Iterator[Attempt]:
        """The program, which is ended with the block, in a scratch folder of its own."""
        began_s, folder = time.monotonic(), self._folder_here()
        title = f"--- epochs {segment.from_epoch + 1} to {segment.to_epoch}, attempt {segment.attempt + 1} ---"
        output = Output.begun(self.paths.outputs(spec.trial_id), title)
        with (
            tempfile.TemporaryDirectory(prefix="hpo-", ignore_cleanup_errors=True) as scratch,
            private_run(self.blank, Path(scratch)) as run,
        ):
            places, params = _places(spec, segment, Path(scratch)), json.loads(spec.recipe)["params"]
            first, *words = filled(self.command, {**params, **places})
            environment = {
                **run.environment({name: value for name, value in os.environ.items() if name != "HPO_STATE_IN"}),
                **{f"HPO_{name.upper()}": str(value) for name, value in places.items() if value != ""},
                "HPO_PARAMS": json.dumps(params),
                **given,
            }
            with running([find_program(first, folder) or first, *words], folder, environment, output) as wait:
                yield Attempt(
                    spec=spec,
                    segment=segment,
                    metric=self.metric,
                    max_epochs=self.max_epochs,
                    paths=self.paths,
                    run=run,
                    wait=wait,
                    output=output,
                    state=Path(str(places["state_out"])),
                    began_s=began_s,
                )

    def _folder_here(self) -> Path:
        """On this node: where Ray has put what was sent, its folder comes first among those of Python."""
        if self.folder.is_dir() or self.shipped_as is None:
            return self.folder
        return Path(os.environ.get("PYTHONPATH", "").partition(os.pathsep)[0]) / self.shipped_as


def _places(spec: TrialSpec, segment: Segment, scratch: Path) -> dict[str, int | str]:
    """What the program is told, by names that a command may hold; without a state it begins anew."""
    checkpoint = segment.checkpoints.get(spec.trial_id)
    state = None if checkpoint is None else read_state(checkpoint, scratch / "before")
    goes_on = isinstance(state, Path) and any(state.iterdir())
    (scratch / "after").mkdir()
    return {
        "from_epoch": segment.from_epoch if goes_on else 0,
        "to_epoch": segment.to_epoch,
        "state_in": str(state) if goes_on else "",
        "state_out": str(scratch / "after"),
        "seed": json.loads(spec.recipe)["seed"],
        "trial_id": spec.trial_id,
    }
