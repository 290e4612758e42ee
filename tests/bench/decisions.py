"""What thresholds, events, alerts and droughts add to the time of a hindcast.

    python tests/bench/decisions.py NILOMETER [RUNS]

Runs pipelines/definitions/cance.toml in turn without its thresholds, and with them and [drought], RUNS times each (7); prints the
median of each, and of what each pair added. NILOMETER is the binary of the release profile.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FOLDER = os.path.join(ROOT, "pipelines", "definitions")


def without_thresholds(lines):
    inside = False
    for line in lines:
        inside = inside or line.startswith("thresholds = [")
        if not inside:
            yield line
        inside = inside and not line.rstrip().endswith("]")


def hindcast(binary, definition, *settings):
    with tempfile.TemporaryDirectory() as out:
        begin = time.monotonic()
        command = [binary, "hindcast", definition, "--out", out, *settings]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - begin


def main(binary, runs="7"):
    binary, whole = os.path.abspath(binary), os.path.join(FOLDER, "cance.toml")
    with tempfile.TemporaryDirectory() as folder:
        bare = os.path.join(folder, "cance.toml")
        with open(whole) as file, open(bare, "w") as without:
            lines = without_thresholds(file)
            without.writelines(line.replace('"../../', f'"{os.path.abspath(ROOT)}/') for line in lines)
        times_s = [
            (hindcast(binary, bare), hindcast(binary, whole, "--set", "drought.years=1")) for _ in range(int(runs))
        ]
    without_s, with_s = (statistics.median(times) for times in zip(*times_s))
    added = [100.0 * (more / less - 1.0) for less, more in times_s]
    print(f"without                        {without_s:6.1f} s")
    print(f"with thresholds and [drought]  {with_s:6.1f} s")
    print(f"added, of {len(added):2} pairs             {statistics.median(added):6.1f} %  ({min(added):.1f} to {max(added):.1f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
