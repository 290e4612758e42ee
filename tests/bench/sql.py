"""DuckDB beside the SQL of the archive, for ops/bench sql.

    python tests/bench/sql.py evict FOLDER      removes the files of the archive from the page cache
    python tests/bench/sql.py ask FOLDER        asks the questions that standard input has as JSON, prints times (ms) and answers as JSON

Each question is a list of texts: {"texts": [...], "cold": N}. The first N are asked cold: on a new connection, with no page of the files in
memory. Then all are asked twice; the second time counts.
"""

import json
import os
import pathlib
import statistics
import sys
import time


def evict(folder):
    os.sync()
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def connect(folder):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true")
    connection.execute(f"CREATE VIEW forecast AS SELECT * FROM read_parquet('{folder}/forecast.v1/*/compacted-*.parquet', hive_partitioning = false)")
    return connection


def ask(connection, text):
    begun = time.perf_counter()
    table = connection.sql(text).to_arrow_table()
    took = (time.perf_counter() - begun) * 1e3
    numbers = [sum(column.to_pylist()) for column in table.columns if str(column.type) == "double"]
    return took, {"rows": table.num_rows, "sum": sum(numbers)}


def answers(folder, question):
    texts, cold = question["texts"], []
    for text in texts[: question["cold"]]:
        evict(folder)
        cold.append(ask(connect(folder), text)[0])
    connection = connect(folder)
    given = [ask(connection, text)[1] for text in texts]
    warm = [ask(connection, text)[0] for text in texts]
    print(f"DuckDB: {statistics.median(warm):.0f} ms: {texts[0]}", file=sys.stderr)
    return {"cold": cold, "warm": warm, "answers": given}


def main(what, folder):
    questions = json.load(sys.stdin)
    if what == "evict":
        evict(folder)
        print("null")
        return
    import duckdb

    given = [answers(folder, question) for question in questions]
    # What getrusage says of a child begins with its parent's.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    print(json.dumps({"answers": given, "version": duckdb.__version__, "peak_mib": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
