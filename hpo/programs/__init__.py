"""Training that is the user's own, as segments: nothing of it is known but what it reports.

Nothing heavy is imported before a state holds tensors.
"""

from hpo.programs.function import FunctionWorkload, load_function
from hpo.programs.program import ProgramWorkload
from hpo.programs.state import State
from hpo.programs.trial import Trial

__all__ = ["FunctionWorkload", "ProgramWorkload", "State", "Trial", "load_function"]
