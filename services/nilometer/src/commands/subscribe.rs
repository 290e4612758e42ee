//! `nilometer subscribe`: what a service says, printed or written to a file that goes on where it ended.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json, value::RawValue};

/// The first and the longest pause behind a stream that broke.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(15)];
/// A stream that says nothing for so long is dead: signs of life come every 15 s.
const DEAD_AFTER: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Arguments {
    /// the service, as http://127.0.0.1:9464
    url: String,
    /// forecast, event, alert, drought, score, model; all when absent
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    /// identifiers of stations; all when absent
    #[arg(long, value_delimiter = ',')]
    station: Vec<String>,
    /// of alerts: watch or warning
    #[arg(long)]
    severity_min: Option<String>,
    /// go on behind this id; from now on when absent
    #[arg(long)]
    from: Option<String>,
    /// append to this file, a line of JSON an event; one that is there goes on where it ended
    #[arg(long)]
    out: Option<PathBuf>,
    /// a token of scope read, where the service needs one
    #[arg(long, env = "NILOMETER_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let (mut out, known): (Box<dyn Write + Send>, _) = match &arguments.out {
        Some(path) => {
            let (file, id) = go_on(path).with_context(|| format!("{} cannot be written", path.display()))?;
            (Box::new(file), id)
        }
        None => (Box::new(std::io::stdout()), None),
    };
    let mut last = known.or_else(|| arguments.from.clone());
    let client = Client::builder().read_timeout(DEAD_AFTER).build()?;
    let [first, longest] = PAUSES;
    let mut pause = first;
    loop {
        let before = last.clone();
        match listen(&client, &arguments, &mut last, &mut out).await {
            Ok(()) => tracing::info!("the stream has ended; it is taken up again"),
            Err(Broken::ForGood(error)) => return Err(error),
            Err(Broken::ForNow(why)) => tracing::warn!(why, "the stream broke; it is taken up again"),
        }
        pause = if last == before { (pause * 2).min(longest) } else { first };
        tokio::time::sleep(pause).await;
    }
}

/// Why a stream ended.
enum Broken {
    ForNow(String),
    ForGood(anyhow::Error),
}

async fn listen(
    client: &Client,
    arguments: &Arguments,
    last: &mut Option<String>,
    out: &mut (impl Write + ?Sized),
) -> Result<(), Broken> {
    let for_now = |error: reqwest::Error| Broken::ForNow(error.to_string());
    let mut response = ask(client, arguments, last.as_deref()).await.map_err(for_now)?;
    match response.status() {
        StatusCode::OK => {}
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            let said = response.text().await.map_err(for_now)?;
            let problem: Value = serde_json::from_str(&said).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or("no reason");
            return Err(Broken::ForGood(anyhow::anyhow!("{} answers {status}: {detail}", arguments.url)));
        }
        status => return Err(Broken::ForNow(format!("the service answers {status}"))),
    }
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(for_now)? {
        held.extend_from_slice(&chunk);
        while let Some(end) = held.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = held.drain(..end + 2).collect();
            let Some(event) = Event::of(&String::from_utf8_lossy(&block)) else { continue };
            let (id, whole) = (event.id.clone(), event.id.is_some());
            // Where we stand is no news.
            if event.name == "position" {
                *last = id;
                continue;
            }
            waiting.push(event);
            // Only a whole message is written: what is known of it is its last event.
            if whole {
                write(out, &waiting).map_err(Broken::ForGood)?;
                waiting.clear();
                *last = id;
            }
        }
    }
    Ok(())
}

async fn ask(client: &Client, arguments: &Arguments, last: Option<&str>) -> Result<Response, reqwest::Error> {
    let url = format!("{}/api/v1/events", arguments.url.trim_end_matches('/'));
    let mut request = client.get(url);
    let lists = [("topics", &arguments.topics), ("station", &arguments.station)];
    for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        request = request.query(&[(name, values.join(","))]);
    }
    if let Some(severity_min) = &arguments.severity_min {
        request = request.query(&[("severity_min", severity_min)]);
    }
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    if let Some(token) = &arguments.token {
        request = request.bearer_auth(token);
    }
    request.send().await
}

/// An event of a stream.
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Event {
    /// None where a block is a sign of life.
    fn of(block: &str) -> Option<Self> {
        let mut event = Self { name: String::new(), id: None, data: String::new() };
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => event.data.push_str(data),
                Some(("id", id)) => event.id = Some(id.to_owned()),
                _ => {}
            }
        }
        (!event.name.is_empty()).then_some(event)
    }
}

fn write(out: &mut (impl Write + ?Sized), events: &[Event]) -> Result<()> {
    let mut lines = Vec::new();
    for event in events {
        // As it came, to the last digit.
        let data: &RawValue = serde_json::from_str(&event.data).context("an event is not JSON")?;
        serde_json::to_writer(&mut lines, &json!({"event": event.name, "id": event.id}))?;
        lines.pop();
        writeln!(lines, ",\"data\":{data}}}")?;
    }
    out.write_all(&lines)?;
    out.flush()?;
    Ok(())
}

/// A file to append to, cut behind its last whole message, and the id of that.
fn go_on(path: &Path) -> Result<(File, Option<String>)> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let (mut at, mut whole, mut id) = (0, 0, None);
    let mut reader = BufReader::new(&file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // The last one may be torn.
        let ours = line.starts_with(b"{\"event\":") || (!line.ends_with(b"\n") && b"{\"event\":".starts_with(&line));
        at += line.len() as u64;
        let event: Option<Value> = line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok()).flatten();
        if !ours || (event.is_none() && line.ends_with(b"\n")) {
            bail!("it holds a line that is no event; accepted is a file that this command wrote");
        }
        if let Some(of_message) = event.as_ref().and_then(|event| event["id"].as_str()) {
            (whole, id) = (at, Some(of_message.to_owned()));
        }
        line.clear();
    }
    drop(reader);
    file.set_len(whole)?;
    file.seek(SeekFrom::End(0))?;
    Ok((file, id))
}
