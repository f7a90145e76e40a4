"""Plays every case against INTEROP_WEBSOCKET, prints a table, and ends with 1 if one fails.

With arguments, only the cases whose id begins with one of them.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from cases import CASES
from wire import Failed

AT_ONCE = 8


def play(case):
    number, text, run = case
    try:
        run()
    except Failed as failure:
        return number, text, str(failure)
    except Exception as error:  # A broken stream is a failure of this case alone.
        return number, text, f"{type(error).__name__}: {error}"
    return number, text, None


def main():
    wanted = [case for case in CASES if case[0].startswith(tuple(sys.argv[1:]) or ("",))]
    numbers = [number for number, _, _ in CASES]
    assert len(set(numbers)) == len(numbers), "an id is there twice"
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(play, wanted))
    failed = 0
    for number, text, failure in results:
        failed += failure is not None
        word, why = ("FAIL", f": {failure}") if failure else ("ok", "")
        print(f"{word:<5}{number:<11}{text}{why}")
    print(f"{len(results)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
