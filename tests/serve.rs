//! The service, as programs ask it: what it answers is what the archive has, in every format; a stream that breaks loses nothing; nothing is
//! written without a token, and what is written is read again by a replay.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{Cursor, Write as _},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use arrow::{compute::concat_batches, ipc::reader::StreamReader};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    archived, definition, nilometer,
    processes::{Process, until},
    refused, root,
    service::{Event, Service},
    succeed, window,
};
use nilometer_needs::needs;
use nilometer_schemas::Forecasts;

const STATION: &str = "V3524010";
/// What is asked by POST, and writes nothing.
const QUESTIONS: [&str; 2] = ["/what-if", "/sql"];
/// The night of the flood.
const FROM: &str = "2014-11-02T00:00:00Z";
const TO: &str = "2014-11-04T08:00:00Z";

fn token(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).arg("token").args(arguments);
    String::from_utf8(succeed(command).stdout).unwrap().trim().to_owned()
}

/// What Prometheus reads of stations is what the API says of them, of two of the three.
fn stations_are_scraped(service: &Service, stands: &Value) {
    let scraped = service.root("/metrics/stations");
    assert!(scraped.header("content-type").starts_with("text/plain"), "{}", scraped.header("content-type"));
    let text = scraped.text();
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    };
    let of = |name: &str, labels: &str| value(&format!("nilometer_station_{name}{{{labels}station=\"{STATION}\"}}"));
    assert_eq!(of("observed_cubic_meters_per_second", ""), stands["observed"]["value"].as_f64().unwrap());
    let forecast = service.get(&format!("/stations/{STATION}/forecast")).json();
    let sixth = forecast["quantiles"]["q95"][5].as_f64().unwrap();
    assert_eq!(of("forecast_cubic_meters_per_second", "lead=\"6h\",level=\"q95\","), sixth);
    let event = &stands["events"][0];
    let threshold = format!("{STATION}\",threshold={}", event["threshold"]);
    let odds = value(&format!("nilometer_station_threshold_probability_ratio{{station=\"{threshold}}}"));
    assert_eq!(odds, event["probability"].as_f64().unwrap());
    let states = ["normal", "watch", "warning"];
    let state = states.iter().position(|state| stands["state"] == *state).unwrap();
    assert_eq!((of("alert_state", ""), of("data_state", "")), (state as f64, 0.0));
    assert_eq!(value("nilometer_stations_left_out"), 1.0);
    assert_eq!(text.lines().filter(|line| line.starts_with("nilometer_station_info{")).count(), 2);
}

#[needs(cance)]
#[test]
fn what_is_answered_is_what_was_issued_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut set = window(&store, FROM, TO);
    // Memory of a day: what is older comes from the archive.
    set.extend(["serve.memory=1d", "forecast.member_values=true", "serve.station_metrics=2"].map(str::to_owned));
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    let ready = service.root("/ready");
    assert!(
        ready.status == StatusCode::OK && ready.json()["ready"] == true && ready.json()["snapshot"] == true,
        "{}",
        ready.text()
    );

    let stations = service.get("/stations").json();
    let of_cance = &stations["features"][0];
    assert_eq!((&stations["type"], &of_cance["id"]), (&json!("FeatureCollection"), &json!(STATION)));
    assert_eq!(of_cance["geometry"]["coordinates"], json!([4.8, 45.18]));
    assert_eq!((&stations["time"], &of_cance["properties"]["data"]), (&json!(TO), &json!("ok")));
    assert_eq!(service.get("/stations?bbox=0,0,1,1").json()["features"], json!([]));
    until("the map is drawn", || service.get("/map").status == StatusCode::OK);
    let map = service.get("/map").json();
    let outlines: Vec<&Value> = map["catchments"].as_array().unwrap().iter().map(|of| &of["outlines"][0]).collect();
    assert!(
        outlines.len() == 3
            && outlines.iter().all(|line| line.as_array().unwrap().first() == line.as_array().unwrap().last())
    );
    assert!(map["rivers"].as_array().unwrap().len() > 10 && map["crs"] == "EPSG:2154", "{}", map["crs"]);
    assert_eq!(service.get(&format!("/stations/{STATION}")).json(), *of_cance);
    stations_are_scraped(&service, &of_cance["properties"]);

    let rows: Vec<Forecasts> =
        archived(&store, "forecast.v1").into_iter().map(|batch| Forecasts::try_from(batch).unwrap()).collect();
    // Of the newest issue, which is in memory, and of one that only the archive has.
    for issue in [TO, "2014-11-02T05:00:00Z"] {
        let answer = service.get(&format!("/stations/{STATION}/forecast?issue={issue}&quantiles=5,50,99&members=1"));
        let forecast = answer.json();
        let of_issue: BTreeMap<String, (f64, f64)> = rows
            .iter()
            .flat_map(|rows| (0..rows.len()).map(move |row| (rows, row)))
            .filter(|(rows, row)| rows.catchment().value(*row) == STATION)
            .filter(|(rows, row)| rows.issue_time().value(*row) == time(issue))
            .map(|(rows, row)| {
                let [.., q99] = rows.tails();
                (moment(rows.valid_time().value(row)), (rows.quantile(0.5).value(row), q99.value(row)))
            })
            .collect();
        assert_eq!(of_issue.len(), 24);
        let times: Vec<&str> = forecast["valid_time"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
        assert_eq!(times, of_issue.keys().map(String::as_str).collect::<Vec<_>>());
        for (at, (median, q99)) in of_issue.values().enumerate() {
            assert_eq!(forecast["quantiles"]["q50"][at].as_f64().unwrap(), *median, "{issue}");
            assert_eq!(forecast["quantiles"]["q99"][at].as_f64().unwrap(), *q99, "{issue}");
        }
        assert_eq!(forecast["exceedance"]["major"].as_array().unwrap().len(), 24);
        assert_eq!(forecast["trajectories"][0].as_array().unwrap().len(), 24);
    }
    let latest = format!("/stations/{STATION}/forecast");
    assert_eq!(service.get(&latest).json()["issue_time"], TO);

    // A tag that is known is answered without a body.
    let tag = service.get(&latest).header("etag").to_owned();
    let again = service.request(Method::GET, &latest, |request| request.header("If-None-Match", &tag));
    assert!(again.status == StatusCode::NOT_MODIFIED && again.body.is_empty());

    let arrow = |path: &str| {
        let accept = "application/vnd.apache.arrow.stream";
        let answer = service.request(Method::GET, path, |request| request.header("Accept", accept));
        assert_eq!(answer.header("content-type"), accept, "{}", answer.text());
        let reader = StreamReader::try_new(Cursor::new(answer.body), None).unwrap();
        let (schema, batches) = (reader.schema(), reader.collect::<Result<Vec<_>, _>>().unwrap());
        concat_batches(&schema, &batches).unwrap()
    };
    let csv = |path: &str| service.request(Method::GET, path, |request| request.header("Accept", "text/csv")).text();
    // Both memory and archive have the second day; each row is there once.
    for (topic, expected) in [("observations", 57), ("forecasts", 57 * 24), ("scores", 0)] {
        let path = format!("/stations/{STATION}/{topic}?from={FROM}&to={TO}");
        let (in_arrow, in_csv, in_json) = (arrow(&path), csv(&path), service.get(&path).json());
        if expected > 0 {
            assert_eq!(in_arrow.num_rows(), expected, "{topic}");
        }
        assert_eq!(in_csv.lines().count(), in_arrow.num_rows() + 1, "{topic}");
        assert_eq!(in_json["rows"].as_array().unwrap().len(), in_arrow.num_rows(), "{topic}");
    }
    let foresight = arrow(&format!("/stations/{STATION}/foresight?valid_time={TO}"));
    assert_eq!(foresight.num_rows(), 24, "one of each issue that looked so far");

    for (path, status, word) in [
        ("/stations/nix", 404, "V3524010"),
        ("/nix", 404, "openapi.json"),
        ("/stations/V3524010/nix", 404, "observations"),
        ("/stations/V3524010/forecast?issue=2014-11-04T02:30:00Z", 404, "every 1h"),
        ("/stations/V3524010/forecast?issue=soon", 400, "RFC 3339"),
        ("/stations/V3524010/forecast?quantiles=7", 400, "multiples of 5"),
        ("/stations/V3524010/observations?from=2014-11-04&to=2014-11-03", 400, "in this order"),
        ("/stations/V3524010/observations?limit=0", 400, "1 to 100000"),
        ("/stations?bbox=1,2,3", 400, "west,south,east,north"),
        ("/stations?colour=red", 400, "colour"),
        ("/events?topics=rumour", 400, "forecast"),
        ("/events?from=x9", 400, "f0:128734"),
        ("/stations/V3524010/forecasts?from=2013-11-04&to=2014-11-04", 400, "up to 31 days"),
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(word), "{path}: {}", answer.text());
    }
    let unknown = service.request(Method::GET, &latest, |request| request.header("Accept", "image/png"));
    assert_eq!(unknown.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(service.request(Method::DELETE, "/alerts", |request| request).status, StatusCode::METHOD_NOT_ALLOWED);
    service.process.signal("TERM");
    service.process.end();
}

fn time(text: &str) -> i64 {
    text.parse::<nilometer_schemas::Timestamp>().unwrap().0
}

fn moment(time: i64) -> String {
    nilometer_schemas::Timestamp(time).to_string()
}

#[needs(cance)]
#[test]
fn a_stream_that_breaks_goes_on_behind_what_was_heard() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = window(&folder.path().join("store"), FROM, TO);
    set.push("serve.memory=7d".to_owned());
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    let path = "/events?topics=forecast,alert&from=f0:-1,a0:-1";
    // 57 issues of three stations, and alerts between them.
    let forecasts = |events: &[Event]| events.iter().filter(|event| event.name == "forecast").count();
    let whole = service.listen(path, None, |events| forecasts(events) == 57 * 3);
    let alerts = whole.iter().filter(|event| event.name == "alert").count();
    assert!(alerts > 3, "{alerts}");
    // Broken after every few messages, in the middle of one too.
    let (mut heard, mut id): (Vec<Event>, Option<String>) = (Vec::new(), None);
    let mut cuts = 0;
    while forecasts(&heard) < 57 * 3 {
        let some = service.listen(path, id.as_deref(), |events| {
            events.len() >= 20 || forecasts(&heard) + forecasts(events) == 57 * 3
        });
        // What comes behind the last id was of a message that was not heard whole.
        let known = some.iter().rposition(|event| event.id.is_some()).unwrap();
        id = some[known].id.clone();
        heard.extend(some.into_iter().take(known + 1));
        cuts += 1;
    }
    assert!(cuts > 5);
    assert!(heard == whole, "what was heard in parts is not what was heard at once");

    // The command writes the same to a file, also where it is killed, and what it had begun to write is cut off.
    let out = folder.path().join("messages.jsonl");
    let subscribe = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.args(["subscribe", &format!("http://{}", service.address), "--topics", "forecast,alert"]);
        command.args(["--from", "f0:-1,a0:-1", "--out"]).arg(&out);
        Process::start(command, folder.path().join("subscribe"))
    };
    let lines = || fs::read_to_string(&out).map_or(0, |text| text.lines().count());
    let mut first = subscribe();
    until("some of it is written", || lines() > 50);
    first.kill();
    OpenOptions::new().append(true).open(&out).unwrap().write_all(b"{\"event\":\"forecast\",\"id\":nu").unwrap();
    let mut second = subscribe();
    until("all of it is written", || lines() >= whole.len());
    second.kill();
    let written: Vec<Event> = fs::read_to_string(&out).unwrap().lines().map(Event::of_line).collect();
    // Behind the last forecast there may be an alert of it.
    assert!(written[..whole.len()] == whole, "what was written is not what was heard");

    let of_station =
        service.listen("/events?topics=forecast&station=V3515010&from=f0:-1", None, |events| events.len() == 57);
    assert!(of_station.iter().all(|event| event.data["station"] == "V3515010"));
    let urgent =
        service.listen("/events?topics=alert&severity_min=warning&from=a0:-1", None, |events| !events.is_empty());
    assert_eq!(urgent[0].data["rows"][0]["state"], "warning");
    // An id of another log is more than there is.
    let ahead = service.listen("/events?topics=alert&from=a0:9223372036854775807", None, |events| !events.is_empty());
    assert_eq!((ahead[0].name.as_str(), &ahead[0].data["reason"]), ("reset", &json!("ahead")));
    service.process.signal("TERM");
    service.process.end();
}

#[needs(cance)]
#[test]
fn nothing_is_written_without_a_token_and_what_is_written_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let place = store.display().to_string();
    // Two hours come a second: there are ticks left that take what is written.
    let set = window(&store, "2014-11-03T00:00:00Z", "2014-11-06T12:00:00Z");
    let mut service = Service::start(&set, &["--speed", "7200"], &folder.path().join("log"));
    let mut alert = Value::Null;
    until("a warning stands", || {
        assert!(service.process.lives(), "the process ended:\n{}", service.process.said());
        let list = service.get("/alerts").json();
        alert = list["rivers"][0]["alerts"][0].clone();
        alert["state"] == "warning"
    });
    let id = alert["id"].as_str().unwrap().replace('/', "%2F");
    let acknowledge = format!("/alerts/{id}/acknowledge");
    let post = |path: &str, token: Option<&str>, body: &Value| {
        service.request(Method::POST, path, |request| {
            let request = request.json(body);
            token.iter().fold(request, |request, token| request.bearer_auth(token))
        })
    };
    let body = json!({"by": "Ada", "note": "gate 3 is shut"});
    let off = post(&acknowledge, None, &body);
    assert!(off.status == StatusCode::FORBIDDEN && off.text().contains("so it is off"), "{}", off.text());

    let reader = token(&["new", "desk", "--store", &place, "--scope", "read"]);
    let operator = token(&["new", "night", "--store", &place, "--scope", "operate", "--expires", "1d"]);
    until("the tokens are known", || post(&acknowledge, None, &body).status == StatusCode::UNAUTHORIZED);
    // Every path of the document that writes refuses who has none, and who may only read.
    let document = service.get("/openapi.json").json();
    let mut writing = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        // A question that is too long for an address: nothing of it is kept.
        if QUESTIONS.contains(&path.as_str()) {
            continue;
        }
        for method in
            methods.as_object().unwrap().keys().filter(|method| !["get", "parameters"].contains(&method.as_str()))
        {
            let path = path.replace("{id}", &id).replace("{action}", "note");
            assert_eq!(method, "post", "{path}");
            assert_eq!(post(&path, None, &body).status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(post(&path, Some("nilometer_00"), &body).status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(post(&path, Some(&reader), &body).status, StatusCode::FORBIDDEN, "{path}");
            writing += 1;
        }
    }
    assert!(writing > 0);
    let done = post(&acknowledge, Some(&operator), &body);
    assert_eq!(done.status, StatusCode::ACCEPTED, "{}", done.text());
    assert_eq!(done.json()["operator"], "Ada (night)");
    for (path, body, status) in [
        (format!("/alerts/{id}/dance"), body.clone(), 404),
        ("/alerts/none/note".to_owned(), body.clone(), 404),
        (format!("/alerts/{id}/note"), json!({}), 400),
        (format!("/alerts/{id}/silence"), json!({"until": "soon"}), 400),
        (format!("/alerts/{id}/note"), json!({"note": 7}), 422),
        (format!("/alerts/{id}/note"), json!({"note": "x".repeat(100_000)}), 413),
    ] {
        let answer = post(&path, Some(&operator), &body);
        assert_eq!(answer.status.as_u16(), status, "{path} {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    until("the alert is acknowledged", || {
        let rows = service.get(&format!("/stations/{STATION}/alerts")).json()["rows"].clone();
        let says =
            |row: &Value| row["acknowledged_by"] == "Ada (night)" && row["note"] == "Ada (night): gate 3 is shut";
        rows.as_array().unwrap().iter().any(says)
    });
    let listed = token(&["list", "--store", &place]);
    assert!(listed.contains("night") && !listed.contains(&operator), "{listed}");
    assert_eq!(token(&["revoke", "night", "--store", &place]), "night is revoked");
    until("the token is refused", || post(&acknowledge, Some(&operator), &body).status == StatusCode::UNAUTHORIZED);
    assert!(!service.process.said().contains(&operator), "a secret is in the log");
    service.settled();
    service.process.signal("TERM");
    service.process.end();
    assert!(archived(&store, "operator.v1").iter().any(|batch| batch.num_rows() > 0));
}

#[needs(cance)]
#[test]
fn elsewhere_than_on_this_machine_reading_needs_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut set = window(&store, FROM, "2014-11-02T02:00:00Z");
    set.push("serve.address=0.0.0.0:0".to_owned());
    let reader = token(&["new", "desk", "--store", &store.display().to_string()]);
    let service = Service::start(&set, &[], &folder.path().join("log"));
    assert_eq!(service.get("/stations").status, StatusCode::UNAUTHORIZED);
    assert_eq!(service.get("/stations").header("www-authenticate"), "Bearer");
    let allowed = service.request(Method::GET, "/stations", |request| request.bearer_auth(&reader));
    assert_eq!(allowed.status, StatusCode::OK);
    // Who is listening hears no more when the token is revoked.
    let (place, revoked) = (store.display().to_string(), AtomicBool::new(false));
    let heard = service.listen_with("/events?topics=alert", &reader, |events| {
        if !revoked.swap(true, Ordering::Relaxed) {
            token(&["revoke", "desk", "--store", &place]);
        }
        events.iter().any(|event| event.name == "cut")
    });
    assert!(heard.last().unwrap().data["reason"] == "access", "{:?}", heard.last());
    let reader = token(&["new", "desk-2", "--store", &place]);
    until("the new token is known", || {
        service.request(Method::GET, "/stations", |request| request.bearer_auth(&reader)).status == StatusCode::OK
    });
    // What watches processes, and the page itself, need none.
    assert!(service.root("/health").status.is_success() && service.root("/").status.is_success());
    let page = service.root("/");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    drop(service);
    set.extend(["serve.open=true", "serve.requests_per_s=1"].map(str::to_owned));
    let open = Service::start(&set, &[], &folder.path().join("log2"));
    assert_eq!(open.get("/stations").status, StatusCode::OK);
    // Five seconds of requests at once, and then one a second.
    let answers: Vec<_> = (0..20).map(|_| open.get("/models")).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).collect();
    assert!(!refused.is_empty() && refused.len() < 20, "{} refused", refused.len());
    assert!(
        refused.iter().all(|answer| answer.header("retry-after") == "1" && answer.text().contains("requests_per_s"))
    );
    assert!(open.root("/health").status.is_success());
}

#[needs(cance)]
#[test]
fn with_a_certificate_all_is_answered_over_tls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    openssl
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key);
    succeed(openssl);
    let mut set = window(&folder.path().join("store"), FROM, "2014-11-02T02:00:00Z");
    set.push(format!("serve.certificate={}", certificate.display()));
    let alone = nilometer("validate", &definition(), &set).output().unwrap();
    refused(&alone, &["serve.key: is missing beside the certificate"]);
    set.push(format!("serve.key={}", certificate.display()));
    let wrong = nilometer("replay", &definition(), &set).output().unwrap();
    refused(&wrong, &["serve.key", "in PEM"]);
    set.pop();
    set.push(format!("serve.key={}", key.display()));
    set.extend(["serve.postgres=127.0.0.1:0", "serve.flight=127.0.0.1:0"].map(str::to_owned));
    let mut command = nilometer("replay", &definition(), &set);
    command.arg("--serve");
    let mut process = Process::start(command, folder.path().join("log"));
    until("it says where it listens", || {
        assert!(process.lives(), "{}", process.said());
        process.said().contains("metrics at https://")
    });
    let said = process.said();
    let address = said.split_once("metrics at https://").unwrap().1.split_once('/').unwrap().0;
    let trusted = reqwest::Certificate::from_pem(&fs::read(&certificate).unwrap()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(trusted).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let get = |url: String| runtime.block_on(async { client.get(url).send().await?.text().await });
    assert!(get(format!("https://{address}/api/v1/stations")).unwrap().contains("FeatureCollection"));
    assert!(get(format!("https://{address}/edr/")).unwrap().contains(&format!("https://{address}/edr/collections")));
    assert!(get(format!("http://{address}/api/v1/stations")).is_err());
    // The same of SQL's other protocols.
    let at = |before: &str| said.split_once(before).unwrap().1.split_whitespace().next().unwrap().to_owned();
    let postgres = at("PostgreSQL protocol at");
    for (address, how) in [(&postgres, "-starttls=postgres"), (&at("Flight SQL at"), "-alpn=h2")] {
        let mut openssl = Command::new("openssl");
        let (option, value) = how.split_once('=').unwrap();
        openssl.args(["s_client", "-connect", address, option, value, "-verify_return_error", "-brief", "-CAfile"]);
        let shaken = succeed({
            openssl.arg(&certificate).stdin(std::process::Stdio::null());
            openssl
        });
        let shown = String::from_utf8_lossy(&shaken.stderr).into_owned();
        assert!(shown.contains("Verification: OK") && shown.contains("TLSv1.3"), "{shown}");
    }
    let port = postgres.rsplit_once(':').unwrap().1;
    let plain = format!("host=127.0.0.1 port={port} user=desk");
    let refused = runtime.block_on(tokio_postgres::connect(&plain, tokio_postgres::NoTls)).err().unwrap();
    assert!(refused.as_db_error().unwrap().message().contains("sslmode=require"), "{refused:?}");
    process.signal("TERM");
    process.end();
}
