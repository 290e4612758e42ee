//! What serving costs: the newest forecast of one of 10 000 stations, the list of all, and a stream to 1 000 clients with and without one that stalls.
//!
//! `ops/bench serve` runs it in the release profile, clients and service on the same processors. A peer beside it: a handler of the same router
//! library that answers the same bytes from a constant.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{Router, routing::get};
use nilometer_definitions::Pipeline;
use nilometer_engine::{EmbeddedLog, Log, Message, Metrics, Partition, Stop};
use nilometer_schemas::{Contract, ForecastRow, ForecastsBuilder, Timestamp, Variable};
use nilometer_serve::{Dependencies, Routes, Site, router, run};
use object_store::memory::InMemory;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const HOUR: i64 = 3_600;
const LEADS: i64 = 24;

/// Each part in a process of its own, whose memory is its own.
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match std::env::var("PART").as_deref() {
        Ok("latest") => runtime.block_on(latest()),
        // For who wants to look at a page of so many.
        Ok("hold") => runtime.block_on(async {
            let (address, _stop) = many().await;
            println!("http://{address}/");
            std::future::pending::<()>().await;
        }),
        Ok(stalled) => runtime.block_on(streams(stalled.parse().unwrap())),
        Err(_) => {
            for part in ["latest", "0", "10"] {
                let mut own = std::process::Command::new(std::env::current_exe().unwrap());
                assert!(own.env("PART", part).status().unwrap().success(), "{part}");
            }
        }
    }
}

/// A pipeline of so many stations.
fn pipeline(stations: usize) -> Pipeline {
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/definitions/cance.toml");
    let mut pipeline = Pipeline::load(&definition, &[]).unwrap();
    let one = pipeline.catchments[0].clone();
    let station = |number: usize| {
        let mut catchment = one.clone();
        catchment.id = name(number);
        catchment.downstream = None;
        catchment.thresholds.clear();
        catchment
    };
    pipeline.catchments = (0..stations).map(station).collect();
    pipeline
}

fn name(station: usize) -> String {
    format!("S{station:05}")
}

/// Forecasts of some stations as one message; `mark` travels in the version of the model.
async fn append(log: &EmbeddedLog, stations: impl Iterator<Item = usize>, sequence: i64, mark: &str) {
    let issue = Timestamp(1_415_059_200_000_000).plus_s(sequence);
    let mut rows = ForecastsBuilder::new();
    for station in stations {
        let id = name(station);
        for lead in 1..=LEADS {
            let quantiles: [f64; 19] = std::array::from_fn(|level| 10.0 + lead as f64 + level as f64 / 7.0);
            rows.push(ForecastRow {
                catchment: &id,
                variable: Variable::Discharge,
                issue_time: issue,
                valid_time: issue.plus_s(lead * HOUR),
                mean: 12.5,
                quantiles: &quantiles,
                tails: Some([8.0, 9.0, 60.0, 61.0]),
                simulated: Some(11.0),
                members: 32,
                scenario: "perfect",
                state_time: issue,
                filled_steps: 0,
                model: "benchmark",
                model_version: mark,
                weights_sha256: "0000",
                observation_position: 1,
                forcing_position: 1,
                supersedes: None,
                reason: None,
                stage: None,
                member_values: None,
                shadow: false,
            });
        }
    }
    let batch = rows.finish().unwrap().into_batch();
    let message = Message { time: issue, producer: "forecast", sequence, batch };
    log.append(Partition::new(Contract::Forecast, 0), message).await.unwrap();
}

/// A service over a log, and where it listens.
async fn serve(pipeline: &Pipeline, log: Arc<EmbeddedLog>) -> (Site, SocketAddr, Stop) {
    let store: Arc<InMemory> = Arc::default();
    let site = Site::new(pipeline, store.clone(), store);
    let stop = Stop::default();
    let dependencies = Dependencies { log, metrics: Metrics::unregistered().role("serve"), partition: 0 };
    tokio::spawn({
        let (site, stop) = (site.clone(), stop.clone());
        async move { run(site, dependencies, stop).await.unwrap() }
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = router(site.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST), Routes::default());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (site, address, stop)
}

/// One request on a connection that is kept; the bytes of the body.
async fn request(stream: &mut BufReader<TcpStream>, path: &str) -> Vec<u8> {
    let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.get_mut().write_all(asked.as_bytes()).await.unwrap();
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    body
}

const STATIONS: usize = 10_000;

/// A service of many stations.
async fn many() -> (SocketAddr, Stop) {
    let pipeline = pipeline(STATIONS);
    let log = Arc::new(EmbeddedLog::new(Arc::new(InMemory::new()), "log", &Metrics::unregistered()));
    for issue in 1..=3 {
        append(&log, 0..STATIONS, issue * HOUR, "1").await;
    }
    let (_, address, stop) = serve(&pipeline, log).await;
    (address, stop)
}

async fn latest() {
    const REQUESTS: usize = 5_000;
    let (address, stop) = many().await;
    let begun = Instant::now();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    while !String::from_utf8_lossy(&request(&mut stream, "/ready").await).contains("\"log\":true") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("\n{STATIONS} stations, three issues of {LEADS} lead times");
    println!("  read from the log and held in memory   {:>8.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    let ready = String::from_utf8_lossy(&request(&mut stream, "/ready").await).into_owned();
    let bytes: f64 =
        ready.split_once("memory_bytes\":[").and_then(|(_, more)| more.split(',').next()?.parse().ok()).unwrap();
    println!("  memory of what is held                 {:>8.0} MiB", bytes / f64::from(1 << 20));
    let path = |at: usize| format!("/api/v1/stations/{}/forecast", name(at * 7_919 % STATIONS));
    let body = request(&mut stream, &path(0)).await;
    let mut all = Vec::new();
    for at in 0..REQUESTS {
        let path = path(at);
        let begin = Instant::now();
        request(&mut stream, &path).await;
        all.push(begin.elapsed());
    }
    print("the newest forecast", &mut all);
    let mut all = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        request(&mut stream, "/api/v1/stations").await;
        all.push(begin.elapsed());
    }
    print("the list of all stations, not changed", &mut all);
    // The peer.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let peer = listener.local_addr().unwrap();
    let constant = Router::new().route("/", get(move || async move { body.clone() }));
    tokio::spawn(async move { axum::serve(listener, constant).await.unwrap() });
    let mut stream = BufReader::new(TcpStream::connect(peer).await.unwrap());
    let mut all = Vec::new();
    for _ in 0..REQUESTS {
        let begin = Instant::now();
        request(&mut stream, "/").await;
        all.push(begin.elapsed());
    }
    print("beside it: the same bytes from a constant", &mut all);
    stop.now();
}

fn print(what: &str, all: &mut [Duration]) {
    all.sort_unstable();
    let at = |part: usize| all[(all.len() * part / 100).min(all.len() - 1)].as_secs_f64() * 1e3;
    println!("  {what:<42} median {:>8.3} ms, p99 {:>8.3} ms, {} times", at(50), at(99), all.len());
}

fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

async fn streams(stalled: usize) {
    const CLIENTS: usize = 1_000;
    const A_SECOND: usize = 50;
    const SECONDS: usize = 20;
    let pipeline = pipeline(CLIENTS);
    let log = Arc::new(EmbeddedLog::new(Arc::new(InMemory::new()), "log", &Metrics::unregistered()));
    append(&log, 0..CLIENTS, 1, "0").await;
    let (_, address, stop) = serve(&pipeline, log.clone()).await;
    let took: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS + stalled {
        let took = took.clone();
        let mut stream = TcpStream::connect(address).await.unwrap();
        // One that stalls wants everything and reads nothing.
        let filter = if client < CLIENTS { format!("&station={}", name(client)) } else { String::new() };
        let asked = format!("GET /api/v1/events?topics=forecast{filter} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        clients.spawn(async move {
            if client >= CLIENTS {
                return std::future::pending().await;
            }
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let sent = line
                    .split_once("\"model_version\":\"")
                    .and_then(|(_, more)| more.split('"').next()?.parse::<i64>().ok());
                if let Some(sent) = sent.filter(|sent| *sent > 0) {
                    let micros = u64::try_from(now_us() - sent).unwrap_or(0);
                    took.lock().unwrap().push(Duration::from_micros(micros));
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut every = tokio::time::interval(Duration::from_secs(1) / u32::try_from(A_SECOND).unwrap());
    for tick in 0..A_SECOND * SECONDS {
        every.tick().await;
        // Twenty stations a message: each client hears one a second.
        let first = tick * 20 % CLIENTS;
        append(&log, first..first + 20, 2 + tick as i64, &now_us().to_string()).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    clients.abort_all();
    stop.now();
    let mut took = took.lock().unwrap().clone();
    println!(
        "\n{CLIENTS} clients of a station each, {A_SECOND} messages of 20 stations' forecasts a second, {stalled} clients that read nothing"
    );
    println!("  delivered {} of {}", took.len(), A_SECOND * SECONDS * 20);
    print("from the append to the client", &mut took);
    println!("  memory of the process at most              {:>8} MiB", peak_mib());
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}
