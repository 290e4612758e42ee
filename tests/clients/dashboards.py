"""The dashboards of ops/grafana, held against the JSON schemas that Grafana publishes.

    python dashboards.py DASHBOARDS FOLDER
"""

import json
import sys
from pathlib import Path

import jsonschema_rs

DASHBOARDS, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
PANELS = {"timeseries": "timeseries", "stat": "stat", "table": "table", "state-timeline": "statetimeline"}
failed = 0


def schema(name, definition=None):
    document = json.loads((FOLDER / f"{name}.jsonschema.json").read_text())
    if definition:
        document["$ref"] = f"#/definitions/{definition}"
    # Values of overrides and matchers may be anything; the schemas say object, as Go's `any` is written there.
    for of, key in [("DynamicConfigValue", "value"), ("MatcherConfig", "options")]:
        if of in document["definitions"]:
            document["definitions"][of]["properties"][key] = {}
    return jsonschema_rs.validator_for(document)


def hold(name, validator, document):
    global failed
    problems = [f"{error.message} at {list(error.instance_path)}"[:400] for error in validator.iter_errors(document)]
    failed += bool(problems)
    if problems:
        print(f"FAILED  {name}", *problems[:5], sep="\n    ", flush=True)


whole, query, asked = schema("dashboard"), schema("prometheus"), 0
options = {kind: schema(name, "Options") for kind, name in PANELS.items()}
custom = {kind: schema(name, "FieldConfig") for kind, name in PANELS.items() if kind != "stat"}


def panels(of):
    for panel in of:
        yield panel
        yield from panels(panel.get("panels", []))


for file in sorted(DASHBOARDS.glob("*.json")):
    dashboard = json.loads(file.read_text())
    hold(file.name, whole, dashboard)
    for panel in panels(dashboard["panels"]):
        if panel["type"] == "row":
            continue
        name, kind = f"{file.name}: {panel['title']}", panel["type"]
        hold(f"{name}: options", options[kind], panel["options"])
        if kind in custom and "custom" in panel["fieldConfig"]["defaults"]:
            hold(f"{name}: field", custom[kind], panel["fieldConfig"]["defaults"]["custom"])
        for target in panel["targets"]:
            asked += 1
            if "expr" in target:
                hold(f"{name}: query", query, target)

print(f"some do not hold, of {asked} questions" if failed else f"all hold, {asked} questions")
sys.exit(bool(failed))
