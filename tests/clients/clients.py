"""Clients that others have written read a running service, without a special case of theirs or ours.

    python clients.py http://127.0.0.1:9464 TOKEN [POSTGRES FLIGHT]

POSTGRES and FLIGHT are where the service answers SQL by these protocols, as 127.0.0.1:5432.
"""

import asyncio
import io
import json
import subprocess
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi
import fewspy
import httpx
import psycopg
import pyarrow.csv
import pyarrow.ipc
import websockets
from covjson_pydantic.coverage import Coverage
from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.collections import Collection, Collections, Instance, Instances
from httpx_sse import connect_sse

POSTGRES, FLIGHT = sys.argv[3:5] if len(sys.argv) > 3 else (None, None)
SERVICE, TOKEN = sys.argv[1].rstrip("/"), sys.argv[2]
STATION = "V3524010"
client = httpx.Client(base_url=SERVICE, timeout=60)
results = {"passed": 0, "failed": 0}


def client_of(name):
    def run(function):
        try:
            function()
            results["passed"] += 1
            print(f"ok      {name}", flush=True)
        except Exception:
            results["failed"] += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
        return function

    return run


def get(path, **parameters):
    answer = client.get(path, params=parameters)
    answer.raise_for_status()
    return answer


@client_of("edr-pydantic and covjson-pydantic: EDR")
def edr():
    landing = LandingPageModel.model_validate_json(get("/edr/").content)
    links = {link.href for link in landing.links}
    assert any("openapi" in href for href in links) and any("asyncapi" in href for href in links), links
    for link in landing.links:
        client.get(link.href).raise_for_status()
    conformance = ConformanceModel.model_validate_json(get("/edr/conformance").content)
    assert any(kept.endswith("/1.2/conf/instances") for kept in conformance.conformsTo)
    collections = Collections.model_validate_json(get("/edr/collections").content)
    assert [of.id for of in collections.collections] == ["discharge-forecast", "discharge-observation", "event"]
    for of in collections.collections:
        path = f"/edr/collections/{of.id}"
        Collection.model_validate_json(get(path).content)
        places = get(f"{path}/locations").json()
        assert STATION in [feature["id"] for feature in places["features"]]
        for feature in places["features"]:
            Coverage.model_validate_json(get(feature["properties"]["edrqueryendpoint"]).content)
        Coverage.model_validate_json(get(f"{path}/position", coords="POINT(4.8 45.2)").content)
    path = "/edr/collections/discharge-forecast"
    instances = Instances.model_validate_json(get(f"{path}/instances").content)
    issue = instances.instances[-1].id
    Instance.model_validate_json(get(f"{path}/instances/{issue}").content)
    answer = get(f"{path}/instances/{issue}/locations/{STATION}", **{"parameter-name": "discharge_q05,discharge_q50"})
    assert answer.headers["content-type"] == "application/prs.coverage+json"
    coverage = Coverage.model_validate_json(answer.content)
    assert set(coverage.ranges) == {"discharge_q05", "discharge_q50"}
    ours = get(f"/api/v1/stations/{STATION}/forecast", issue=issue).json()
    assert list(coverage.ranges["discharge_q50"].values) == ours["quantiles"]["q50"]


@client_of("fewspy: FEWS PI")
def fews():
    api = fewspy.Api(f"{SERVICE}/FewsWebServices/rest/fewspiservice/v1/", ssl_verify=False)
    assert api.get_timezone_id() is not None
    assert [one["id"] for one in api.get_filters()] == ["nilometer"]
    assert STATION in api.get_locations().index
    parameters = api.get_parameters(filter_id="nilometer")
    assert {"Q.obs", "Q.fcst.q05", "Q.fcst.q50", "Q.fcst.q99"} <= set(parameters.index)
    series = api.get_time_series(
        filter_id="nilometer",
        location_ids=[STATION],
        parameter_ids=["Q.obs", "Q.fcst.q50"],
        start_time=datetime(2014, 11, 3),
        end_time=datetime(2014, 11, 6),
    )
    by_name = {one.header.parameter_id: one for one in series.time_series}
    ours = get(f"/api/v1/stations/{STATION}/forecast").json()
    # It keeps single precision.
    read, issued = by_name["Q.fcst.q50"].events["value"].tolist(), ours["quantiles"]["q50"]
    assert len(read) == 24 and all(abs(a - b) <= 1e-6 * b for a, b in zip(read, issued))
    assert len(by_name["Q.obs"].events) > 24


@client_of("pyarrow: Arrow and CSV have the same rows")
def arrow():
    path = f"/api/v1/stations/{STATION}/forecast"
    rows = pyarrow.ipc.open_stream(get(path, f="arrow").content).read_all()
    text = pyarrow.csv.read_csv(io.BytesIO(get(path, f="csv").content))
    assert rows.num_rows == text.num_rows == 24
    assert rows["q50"].to_pylist() == text["q50"].to_pylist()
    assert rows.schema.field("valid_time").type.tz == "UTC"


PEAKS = "SELECT catchment, max(q50) AS peak, max(valid_time) AS until FROM forecast GROUP BY catchment ORDER BY catchment"


@client_of("pyarrow: SQL as an Arrow stream")
def sql():
    headers = {"Accept": "application/vnd.apache.arrow.stream", "Authorization": f"Bearer {TOKEN}"}
    answer = client.post("/api/v1/sql", json={"query": PEAKS}, headers=headers)
    answer.raise_for_status()
    rows = pyarrow.ipc.open_stream(answer.content).read_all()
    assert rows.num_rows == 3 and rows["catchment"].to_pylist()[-1] == STATION, rows


@client_of("psycopg: SQL by the PostgreSQL protocol")
def postgres():
    if POSTGRES is None:
        return
    host, port = POSTGRES.rsplit(":", 1)
    with psycopg.connect(host=host, port=port, user="desk", password=TOKEN, dbname="nilometer") as session:
        rows = session.execute(PEAKS).fetchall()
        assert [row[0] for row in rows][-1] == STATION and rows[0][2].tzinfo is not None, rows
        text = "SELECT issue_time, q50, shadow FROM forecast WHERE catchment = %s AND lead_time_s = %s ORDER BY issue_time"
        with session.cursor(binary=True) as cursor:
            series = cursor.execute(text, (STATION, 3600)).fetchall()
        assert len(series) > 24 and isinstance(series[0][1], float) and series[0][2] is False
        names = {name for (name,) in session.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        assert {"forecast", "forecast_latest", "observation", "station"} <= names
        try:
            session.execute("COPY forecast TO STDOUT")
        except psycopg.errors.InsufficientPrivilege as refused:
            assert "accepted is" in str(refused)
        else:
            raise AssertionError("COPY was not refused")
        session.rollback()
        assert session.execute("SELECT count(*) FROM station").fetchone() == (3,)


@client_of("adbc-driver-flightsql: SQL by Flight SQL")
def flight():
    if FLIGHT is None:
        return
    bearer = {adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {TOKEN}"}
    with adbc_driver_flightsql.dbapi.connect(f"grpc://{FLIGHT}", db_kwargs=bearer) as session, session.cursor() as cursor:
        cursor.execute(PEAKS)
        rows = cursor.fetch_arrow_table()
        assert rows.num_rows == 3 and rows["catchment"].to_pylist()[-1] == STATION, rows
        assert rows.schema.field("until").type.tz == "UTC"
        cursor.execute("SELECT count(*) AS leads FROM forecast_latest WHERE catchment = $1 AND q50 > $2", (STATION, 0.0))
        assert cursor.fetchone() == (24,)
        known = session.adbc_get_objects(depth="tables").read_all().to_pylist()
        tables = [table["table_name"] for schema in known[0]["catalog_db_schemas"] for table in schema["db_schema_tables"]]
        assert "forecast" in tables and "station" in tables, tables


@client_of("httpx-sse: a stream goes on behind its last id")
def sse():
    def first(number, last=None):
        headers = {"Last-Event-ID": last} if last else {}
        parameters = {"topics": "forecast", "station": STATION} | ({} if last else {"from": "f0:20"})
        with connect_sse(client, "GET", "/api/v1/events", params=parameters, headers=headers) as source:
            events = (event for event in source.iter_sse() if event.event == "forecast")
            return [next(events) for _ in range(number)]

    whole = [(event.id, json.loads(event.data)["issue_time"]) for event in first(12)]
    begin = [(event.id, json.loads(event.data)["issue_time"]) for event in first(6)]
    rest = [(event.id, json.loads(event.data)["issue_time"]) for event in first(6, begin[-1][0])]
    assert begin + rest[: len(whole) - len(begin)] == whole


@client_of("websockets: text and Arrow frames")
def frames():
    async def listen():
        address = SERVICE.replace("http", "ws") + "/api/v1/events/ws?topics=forecast&from=f0:30"
        async with websockets.connect(address) as socket:
            said = json.loads(await socket.recv())
            while said["event"] != "forecast":
                said = json.loads(await socket.recv())
            assert said["data"]["quantiles"]["q50"]
        async with websockets.connect(address + "&format=arrow", max_size=None) as socket:
            frame = await socket.recv()
            while isinstance(frame, str):
                frame = await socket.recv()
            rows = pyarrow.ipc.open_stream(frame).read_all()
            assert rows.num_rows == 72 and rows.schema.metadata[b"event"] == b"forecast"
            assert rows.schema.metadata[b"id"].startswith(b"f0:")

    asyncio.run(listen())


def schemathesis(document, *more):
    with tempfile.TemporaryDirectory() as folder:
        command = ["schemathesis", "run", f"{SERVICE}{document}", "--max-examples", "25", "--seed", "1", "--no-color", "--workers", "2"]
        command += ["--header", f"Authorization: Bearer {TOKEN}"]
        # Streams have no end, so they are not asked. What a document lets through may mean nothing all the same: a begin behind its end.
        command += ["--exclude-path-regex", "/events", "--exclude-checks", "positive_data_acceptance", *more]
        ended = subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True, text=True, cwd=folder)
        assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]


@client_of("schemathesis: no 5xx, and no answer against the document of the API")
def api_document():
    schemathesis("/api/v1/openapi.json")


@client_of("schemathesis: the same of EDR")
def edr_document():
    schemathesis("/edr/openapi.json")


print(f"{results['passed']} passed, {results['failed']} failed")
sys.exit(bool(results["failed"]))
