"""What a service answers, held against the schemas of the standards themselves.

    python standards.py http://127.0.0.1:9464 TOKEN FOLDER
"""

import json
import sys
from pathlib import Path

import httpx
import jsonschema_rs

SERVICE, TOKEN, FOLDER = sys.argv[1].rstrip("/"), sys.argv[2], Path(sys.argv[3])
STATION = "V3524010"
client = httpx.Client(base_url=SERVICE, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"})
failed = 0


def get(path):
    answer = client.get(path)
    answer.raise_for_status()
    return answer.json()


def hold(name, validator, document):
    global failed
    problems = [f"{error.message} at {list(error.instance_path)}"[:400] for error in validator.iter_errors(document)]
    failed += bool(problems)
    print(f"{'FAILED' if problems else 'ok'}  {name}", *problems[:5], sep="\n    ", flush=True)


bundle = json.loads((FOLDER / "ogc-edr/ogcapi-environmental-data-retrieval-1-oas31.bundled.json").read_text())
EDR = "urn:nilometer:edr"
edr = jsonschema_rs.Registry([(EDR, bundle)])


def resolved(reference):
    found = bundle
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def answer_of(path):
    """The schema of a path's JSON answer."""
    response = bundle["paths"][path]["get"]["responses"]["200"]
    pointer = f"#/paths/{path.replace('/', '~1')}/get/responses/200"
    if "$ref" in response:
        pointer = response["$ref"]
        response = resolved(pointer)
    kinds = [kind for kind in response["content"] if "json" in kind]
    kind = next((kind for kind in kinds if kind == "application/geo+json"), kinds[0])
    return jsonschema_rs.validator_for({"$ref": f"{EDR}{pointer}/content/{kind.replace('/', '~1')}/schema"}, registry=edr)


C = "/collections/{collectionId}"
forecast = "/edr/collections/discharge-forecast"
issue = get(f"{forecast}/instances")["instances"][-1]["id"]
for path, asked in [
    ("/", ["/edr/"]),
    ("/conformance", ["/edr/conformance"]),
    ("/collections", ["/edr/collections"]),
    (C, [f"/edr/collections/{of['id']}" for of in get("/edr/collections")["collections"]]),
    (f"{C}/locations", [f"/edr/collections/{of['id']}/locations" for of in get("/edr/collections")["collections"]]),
    (f"{C}/instances", [f"{forecast}/instances"]),
    (f"{C}/instances/{{instanceId}}/locations", [f"{forecast}/instances/{issue}/locations"]),
]:
    for one in asked:
        hold(f"EDR bundle: {one}", answer_of(path), get(one))

folder = FOLDER / "coveragejson"
files = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
covjson = jsonschema_rs.Registry([(file["$id"], file) for file in files if "$id" in file])
root = next(file for file in files if file.get("$id", "").endswith("coveragejson.json"))
coverage = jsonschema_rs.validator_for(root, registry=covjson)
for of in get("/edr/collections")["collections"]:
    hold(f"CoverageJSON: {of['id']}", coverage, get(f"/edr/collections/{of['id']}/locations/{STATION}"))
members = f"{forecast}/instances/{issue}/locations/{STATION}?parameter-name=discharge_member"
hold("CoverageJSON: members", coverage, get(members))

schema = json.loads((FOLDER / "asyncapi/3.1.0.json").read_text())
hold("AsyncAPI 3.1", jsonschema_rs.validator_for(schema), get("/api/v1/asyncapi.json"))

# The schema of a notice, whose references are to the features of EDR.
notice = jsonschema_rs.validator_for({
    "required": ["id", "type", "geometry", "properties"],
    "properties": {
        "properties": {"type": "object", "required": ["pubtime"], "properties": {
            "pubtime": {"type": "string", "format": "date-time"}, "operation": {"enum": ["create", "update", "delete"]}}},
        "links": {"type": "array", "items": {"$ref": f"{EDR}#/components/schemas/link"}},
    },
}, registry=edr, validate_formats=True)
with client.stream("GET", "/api/v1/events", params={"topics": "forecast,alert,event", "payload": "edr", "from": "f0:0"}) as stream:
    said = 0
    for line in stream.iter_lines():
        data = json.loads(line[6:]) if line.startswith("data: {") else {}
        if "properties" not in data:
            continue
        hold(f"notice of EDR Part 2: {data['id']}", notice, data)
        for link in data["links"]:
            client.get(link["href"]).raise_for_status()
        said += 1
        if said == 5:
            break

print("some do not hold" if failed else "all hold")
sys.exit(bool(failed))
