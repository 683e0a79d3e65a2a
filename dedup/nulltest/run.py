from dataclasses import dataclass


@dataclass(frozen=True)
class Tested:
    n_tested: int = 0
    n_known: int = 0
    n_failed: int = 0
    n_left: int = 0
    seconds: float = 0.0

    def __add__(self, other):
        return self


def null_tests(store, pairs, runner, observer, disks, time_limit_s):
    return Tested()
