//! SQL of a running service and of a store: the rows are those that the API gives, and reading needs what reading needs.

use std::{fs, process::Command};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    refused, root,
    service::{Answer, Service},
    succeed, window,
};
use nilometer_needs::needs;

const STATION: &str = "V3524010";
const FROM: &str = "2014-11-02T00:00:00Z";
const TO: &str = "2014-11-04T08:00:00Z";

fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).args(arguments);
    command
}

fn ask(service: &Service, text: &str, accept: &str) -> Answer {
    service.request(Method::POST, "/sql", |request| request.header("Accept", accept).json(&json!({"query": text})))
}

fn rows(service: &Service, text: &str) -> Vec<Value> {
    let answer = ask(service, text, "application/json");
    assert_eq!(answer.status, StatusCode::OK, "{text}: {}\n{}", answer.text(), service.process.said());
    answer.json()["rows"].as_array().unwrap().clone()
}

#[needs(cance)]
#[test]
fn tables_have_the_rows_that_the_api_gives() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut set = window(&store, FROM, TO);
    // Memory of a day: what is older comes from the archive, of which the first days are compacted.
    set.extend(["serve.memory=1d", "log.compact_after=1d", "serve.sql_rows=10000"].map(str::to_owned));
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    for (topic, table, key, time) in [
        ("observations", "observation", "station", "valid_time"),
        ("forcing", "forcing", "catchment", "valid_time"),
        ("forecasts", "forecast", "catchment", "issue_time"),
        ("events", "event", "catchment", "issue_time"),
        ("scores", "score", "catchment", "valid_time"),
        ("analyses", "analysis", "catchment", "valid_time"),
        ("states", "state", "catchment", "valid_time"),
        ("alerts", "alert", "catchment", "time"),
        ("drought", "drought", "catchment", "valid_time"),
    ] {
        let path = format!("/stations/{STATION}/{topic}?from={FROM}&to={TO}&limit=100000");
        let given = service.get(&path).json()["rows"].as_array().unwrap().clone();
        let text = format!("SELECT * FROM {table} WHERE {key} = '{STATION}' AND {time} BETWEEN '{FROM}' AND '{TO}'");
        let found = rows(&service, &text);
        let sorted = |rows: Vec<Value>| {
            let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
            rows.sort();
            rows
        };
        assert_eq!(sorted(found), sorted(given), "{table}");
    }
    let latest = rows(&service, "SELECT DISTINCT issue_time FROM forecast_latest");
    assert_eq!(latest, [json!({"issue_time": TO})]);
    let levels = "SELECT id, count(*) AS levels FROM station JOIN threshold ON id = catchment GROUP BY id";
    assert_eq!(rows(&service, levels)[0]["id"], STATION);
    assert_eq!(rows(&service, "SELECT count(*) AS n FROM station"), [json!({"n": 3})]);

    let csv = ask(&service, "SELECT issue_time, q50 FROM forecast_latest ORDER BY 1, 2 LIMIT 3", "text/csv");
    assert!(csv.text().starts_with("issue_time,q50\n2014-11-04T08:00:00Z,"), "{}", csv.text());
    for (text, status, word) in [
        ("DROP TABLE forecast", 400, "accepted is"),
        ("SELECT nix FROM forecast", 400, "nix"),
        ("nix", 400, "nix"),
        ("SELECT 1 AS n FROM forecast a, forecast b", 422, "10000 rows"),
    ] {
        let answer = ask(&service, text, "application/json");
        assert_eq!(answer.status.as_u16(), status, "{text}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.json()["detail"].as_str().unwrap().contains(word), "{text}: {}", answer.text());
    }
    let long = service.request(Method::POST, "/sql", |request| request.body("x".repeat(100_000)));
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);

    // The command asks the service, and the store that it leaves.
    let url = format!("http://{}", service.address);
    let text = "SELECT count(*) AS forecasts FROM forecast";
    let of_service = succeed(binary(&["query", text, "--url", &url, "--format", "csv"])).stdout;
    service.process.signal("TERM");
    service.process.end();
    let place = store.display().to_string();
    let of_store = succeed(binary(&["query", text, "--store", &place, "--format", "csv"])).stdout;
    assert_eq!(String::from_utf8_lossy(&of_store), "forecasts\n4104\n");
    assert_eq!(of_service, of_store);
    let table = succeed(binary(&["query", "SELECT catchment, max(q50) FROM forecast GROUP BY 1", "--store", &place]));
    assert!(String::from_utf8_lossy(&table.stdout).contains(STATION));
    refused(&binary(&["query", "DROP TABLE forecast", "--store", &place]).output().unwrap(), &["accepted is"]);
    assert!(fs::read_dir(store.join("archive/forecast.v1")).unwrap().count() > 0);
}

#[needs(cance)]
#[test]
fn elsewhere_than_on_this_machine_sql_needs_a_token_by_every_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let place = store.display().to_string();
    let mut set = window(&store, FROM, "2014-11-02T02:00:00Z");
    set.extend(["serve.address=0.0.0.0:0", "serve.postgres=0.0.0.0:0", "serve.flight=0.0.0.0:0"].map(str::to_owned));
    let made = succeed(binary(&["token", "new", "desk", "--store", &place])).stdout;
    let token = String::from_utf8(made).unwrap().trim().to_owned();
    let service = Service::start(&set, &[], &folder.path().join("log"));
    assert_eq!(ask(&service, "SELECT 1", "application/json").status, StatusCode::UNAUTHORIZED);
    let with = service.request(Method::POST, "/sql", |request| request.bearer_auth(&token).body("SELECT 1 AS one"));
    assert_eq!(with.json()["rows"], json!([{"one": 1}]));

    let port = service.also_at("PostgreSQL protocol at").rsplit_once(':').unwrap().1.to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connected = |password: &str| {
        let how = format!("host=127.0.0.1 port={port} user=desk password='{password}'");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&how, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.query_one("SELECT count(*) FROM station", &[]).await.map(|row| row.get::<_, i64>(0))
        })
    };
    for wrong in ["wrong", "nilometer_00"] {
        let error = connected(wrong).unwrap_err();
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("28P01"), "{error}");
    }
    assert_eq!(connected(&token).unwrap(), 3);
    assert!(!service.process.said().contains(&token), "a secret is in the log");
}
