"""Run the benchmarks named on the command line, or all of them."""

import importlib
import pkgutil
import sys

import benchmarks


def main(names):
    known = [
        module.name for module in pkgutil.iter_modules(benchmarks.__path__)
        if not module.name.startswith("_")
    ]
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or known:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
