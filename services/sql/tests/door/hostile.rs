//! Statements that want to write, to leave the archive, to learn of the machine, or never to end: by every protocol they are refused or bounded.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt as _;
use nilometer_sql::{Engine, Limits, routes, serve_flight, serve_postgres};
use object_store::ObjectStore as _;
use tokio::net::TcpListener;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tonic::transport::Channel;

use crate::world::{World, number};

/// What must be refused.
const REFUSED: [&str; 44] = [
    "COPY forecast TO '/tmp/nilometer-hostile.parquet'",
    "COPY (SELECT 1) TO '/tmp/nilometer-hostile.csv' STORED AS CSV",
    "COPY forecast TO 's3://bucket/x.parquet'",
    "COPY forecast TO 'archive://nilometer/forecast.v1/date=2014-11-03/x.parquet'",
    "COPY forecast TO STDOUT",
    "COPY forecast FROM STDIN",
    "COPY forecast TO PROGRAM 'cat > /tmp/nilometer-hostile'",
    "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/'",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION 'file:///etc/passwd'",
    "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'archive://nilometer/'",
    "CREATE TABLE x AS SELECT * FROM forecast",
    "CREATE TABLE x (a INT)",
    "CREATE OR REPLACE VIEW forecast AS SELECT 1",
    "CREATE SCHEMA x",
    "CREATE DATABASE x",
    "CREATE FUNCTION x(DOUBLE) RETURNS DOUBLE RETURN $1 + 1",
    "CREATE ROLE x SUPERUSER",
    "DROP TABLE forecast",
    "DROP VIEW forecast_latest",
    "DROP SCHEMA public CASCADE",
    "ALTER TABLE forecast ADD COLUMN x INT",
    "INSERT INTO station VALUES ('x', 'x', 'x', NULL, NULL, NULL, NULL, NULL, 1, NULL)",
    "INSERT INTO forecast SELECT * FROM forecast",
    "UPDATE station SET name = 'x'",
    "DELETE FROM forecast",
    "TRUNCATE TABLE forecast",
    "MERGE INTO station USING threshold ON station.id = threshold.catchment WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM forecast RETURNING *) SELECT * FROM gone",
    "SELECT * INTO x FROM forecast",
    "SELECT * FROM forecast FOR UPDATE",
    "SET datafusion.execution.target_partitions = 100000",
    "SET datafusion.catalog.information_schema = false",
    "SET datafusion.runtime.memory_limit = '1T'",
    "RESET datafusion.execution.batch_size",
    "EXPLAIN ANALYZE INSERT INTO forecast SELECT * FROM forecast",
    "EXPLAIN COPY forecast TO '/tmp/nilometer-hostile.parquet'",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT count(*) FROM generate_series(1, 1000000000000)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT array_length(range(0, 1000000000))",
    "SELECT length(repeat('x', 2000000000))",
];

/// What must end soon, with rows or without.
const BOUNDED: [&str; 10] = [
    "SELECT count(*) FROM forecast a, forecast b, forecast c, forecast d WHERE a.mean + b.mean > c.mean + d.mean",
    "SELECT * FROM forecast a CROSS JOIN forecast b CROSS JOIN forecast c",
    "SELECT a.catchment, array_agg(b.mean) FROM forecast a, forecast b, forecast c GROUP BY a.catchment",
    "SELECT a.*, b.* FROM forecast a, forecast b, forecast c ORDER BY a.mean * b.mean",
    "SELECT count(DISTINCT (a.mean, b.mean, c.mean)) FROM forecast a, forecast b, forecast c",
    "SELECT regexp_replace(a.catchment || b.catchment, '(S|0)*(S|0)*(S|0)*1', 'x') FROM forecast a, forecast b, forecast c",
    "SELECT * FROM information_schema.df_settings",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT version()",
    "SHOW ALL",
];

struct Doors {
    world: World,
    engine: Engine,
    http: SocketAddr,
    postgres: SocketAddr,
    flight: SocketAddr,
}

const LIMITS: Limits = Limits { memory_mib: 16, time: Duration::from_secs(1), rows: 20_000 };

impl Doors {
    async fn open() -> Self {
        Self::within(LIMITS).await
    }

    async fn within(limits: Limits) -> Self {
        let world = World::new(5, &[]);
        for hour in 0..30 {
            world.append(hour).await;
            world.publish(hour).await;
        }
        world.compact().await;
        let engine = world.limited(limits);
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(local).await.unwrap();
        let http = listener.local_addr().unwrap();
        let service =
            nilometer_serve::router(world.site.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST), routes(engine.clone()));
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let (postgres, _) = serve_postgres(local, None, &world.site, engine.clone()).await.unwrap();
        let (flight, _) = serve_flight(local, None, &world.site, engine.clone()).await.unwrap();
        Self { world, engine, http, postgres, flight }
    }

    async fn over_http(&self, text: &str) -> Result<usize, String> {
        let body = serde_json::json!({"query": text});
        let sent = reqwest::Client::new().post(format!("http://{}/api/v1/sql", self.http)).json(&body).send();
        let answer = sent.await.unwrap();
        let status = answer.status();
        let body = answer.text().await.map_err(|error| format!("cut: {error}"))?;
        assert!(status.is_success() || status.is_client_error(), "{text}: {status} {body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        match body["rows"].as_array() {
            Some(rows) => Ok(rows.len()),
            None => Err(body["detail"].as_str().unwrap().to_owned()),
        }
    }

    async fn client(&self) -> tokio_postgres::Client {
        let address = format!("host=127.0.0.1 port={} user=reader dbname=nilometer", self.postgres.port());
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn over_simple(&self, text: &str) -> Result<usize, String> {
        let rows = self.client().await.simple_query(text).await.map_err(|error| message(&error))?;
        Ok(rows.iter().filter(|row| matches!(row, SimpleQueryMessage::Row(_))).count())
    }

    async fn over_extended(&self, text: &str) -> Result<usize, String> {
        Ok(self.client().await.query(text, &[]).await.map_err(|error| message(&error))?.len())
    }

    async fn over_flight(&self, text: &str) -> Result<usize, String> {
        let channel = Channel::from_shared(format!("http://{}", self.flight)).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        let info = client.execute(text.to_owned(), None).await.map_err(|error| error.to_string())?;
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let batches = client.do_get(ticket).await.map_err(|error| error.to_string())?;
        let batches: Vec<_> = batches.try_collect().await.map_err(|error| error.to_string())?;
        Ok(batches.iter().map(|batch: &arrow::array::RecordBatch| batch.num_rows()).sum())
    }

    /// What each protocol answers.
    async fn everywhere(&self, text: &str) -> [(&'static str, Result<usize, String>); 4] {
        [
            ("HTTP", self.over_http(text).await),
            ("PostgreSQL, simple", self.over_simple(text).await),
            ("PostgreSQL, extended", self.over_extended(text).await),
            ("Flight SQL", self.over_flight(text).await),
        ]
    }

    async fn objects(&self) -> Vec<(String, u64)> {
        let listed: Vec<_> = self.world.archive.list(None).try_collect().await.unwrap();
        let mut objects: Vec<_> = listed.into_iter().map(|object| (object.location.to_string(), object.size)).collect();
        objects.sort();
        objects
    }
}

fn message(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_statements_are_refused_or_bounded_by_every_protocol() {
    let doors = Doors::open().await;
    let before = doors.objects().await;
    let expected = number(&doors.engine, "SELECT count(*) FROM forecast").await;
    for text in REFUSED {
        for (protocol, answer) in doors.everywhere(text).await {
            let Err(said) = &answer else { panic!("{protocol}: {text}: {answer:?}") };
            assert!(!said.is_empty() && !said.contains("root:"), "{protocol}: {text}: {said}");
        }
    }
    for text in BOUNDED {
        for (protocol, answer) in doors.everywhere(text).await {
            assert!(answer.as_ref().map_or(true, |rows| *rows <= 20_000), "{protocol}: {text}: {answer:?}");
        }
        let begun = Instant::now();
        assert_eq!(number(&doors.engine, "SELECT count(*) FROM forecast").await, expected, "{text}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{text}: {:?}", begun.elapsed());
    }
    // Several statements in one text: none of a text is begun where one is refused.
    for text in ["SELECT 1; DROP TABLE forecast", "SELECT 1; SET datafusion.execution.batch_size = 1"] {
        for (protocol, answer) in doors.everywhere(text).await {
            assert!(answer.is_err(), "{protocol}: {text}: {answer:?}");
        }
    }
    assert_eq!(doors.objects().await, before);
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("nilometer-hostile")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_gives_the_same_rows() {
    let doors = Doors::open().await;
    for (text, expected) in [
        ("SELECT * FROM forecast WHERE catchment = 'S00003'", 30 * 6),
        ("SELECT * FROM forecast_latest", 30),
        ("SELECT * FROM station JOIN threshold ON id = catchment WHERE kind = 'flow' AND id = 'S00001'", 2),
        ("SELECT catchment, max(q50) AS peak, max(valid_time) FROM forecast GROUP BY catchment", 5),
        ("SELECT * FROM observation WHERE station IS NULL", 0),
        ("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'", 12),
        ("EXPLAIN SELECT * FROM forecast", 2),
    ] {
        for (protocol, answer) in doors.everywhere(text).await {
            let rows = answer.unwrap_or_else(|error| panic!("{protocol}: {text}: {error}"));
            assert_eq!(rows, expected, "{protocol}: {text}");
        }
    }
    // Beside ours those that clients of PostgreSQL look at, by every protocol the same.
    let tables = doors.everywhere("SHOW TABLES").await.map(|(_, answer)| answer.unwrap());
    assert!(tables[0] >= 12 && tables.iter().all(|rows| *rows == tables[0]), "{tables:?}");
    // Parameters, and values of several types.
    let client = doors.client().await;
    let text = "SELECT catchment, q50, issue_time, lead_time_s, shadow FROM forecast WHERE catchment = $1 AND q50 > $2 ORDER BY q50";
    let found = client.query(text, &[&"S00003", &50.0_f64]).await.unwrap();
    assert!(!found.is_empty());
    let (station, q50, shadow): (&str, f64, bool) = (found[0].get(0), found[0].get(1), found[0].get(4));
    assert!(station == "S00003" && q50 > 50.0 && !shadow);
    client.batch_execute("BEGIN; SET extra_float_digits = 3; SET application_name = 'test'; COMMIT").await.unwrap();
    let shown: &str = &client.query_one("SHOW server_version", &[]).await.unwrap().get::<_, String>(0);
    assert!(shown.starts_with("16"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_postgresql_is_cancelled() {
    // So long that only who cancels ends it.
    let doors = Doors::within(Limits { time: Duration::from_secs(600), ..LIMITS }).await;
    let client = doors.client().await;
    let cancel = client.cancel_token();
    let endless = "SELECT count(*) FROM forecast a, forecast b, forecast c WHERE a.mean + b.mean > c.mean";
    let asked = tokio::spawn(async move { client.simple_query(endless).await.map(drop) });
    // A query that has not begun cannot be cancelled, so it is asked for until it ends.
    let cancelled = async {
        while !asked.is_finished() {
            cancel.clone().cancel_query(NoTls).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), cancelled).await.expect("it ends long before its limit of time");
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("57014"), "{error}");
}
