"""Times a hindcast of a folder in the CAMELS layout and its verification: `hindcast.py NILOMETER FOLDER`, called by ops/bench."""

import resource
import subprocess
import sys
import tempfile
import time

nilometer, folder = sys.argv[1:]
MEMBERS, FIRST, LAST = 32, "1980-01-01", "1989-09-30"


def run(*arguments: str) -> tuple[float, str]:
    """Seconds, and what was printed."""
    began = time.monotonic()
    done = subprocess.run([nilometer, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return time.monotonic() - began, done.stdout


with tempfile.TemporaryDirectory() as out:
    hindcast, _ = run(
        "hindcast", "pipelines/definitions/camels-daily.toml", "--set", f"source.path={folder}", "--set", "model=models/zoo/hybrid-regional",
        "--set", f"assimilation.members={MEMBERS}", "--assimilation", "etkf", "--from", FIRST, "--to", LAST, "--out", out,
    )  # fmt: skip
    verify, table = run("verify", out, "--observations", folder)

peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
words = table.splitlines()[-1].split()
rows = int(words[0]) + int(words[5])
print(table)
print(f"{FIRST} to {LAST}, {MEMBERS} members, ETKF, ten lead times a day")
print(f"  hindcast {hindcast:.0f} s, verification {verify:.0f} s, {rows} forecast rows, {rows / hindcast:.0f} rows/s, peak memory {peak_gib:.1f} GiB")
