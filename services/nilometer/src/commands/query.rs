//! `nilometer query`: one SQL statement that reads, of a store's archive or of a service.

use std::{io::Write, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use nilometer_definitions::Pipeline;
use nilometer_serve::Format;
use reqwest::{Client, header::ACCEPT};
use serde_json::{Value, json};

/// Characters of a value that a table shows.
const WIDEST: usize = 60;

#[derive(clap::Args)]
pub struct Arguments {
    /// one SELECT, EXPLAIN or SHOW, as "SELECT * FROM forecast LIMIT 10"; SHOW TABLES names the tables
    statement: String,
    /// the store whose archive is read, as log.store or hindcast --out names it
    #[arg(long, default_value = "demo-out", conflicts_with = "url")]
    store: String,
    /// pipeline definition (TOML), for the tables station and threshold of a store
    #[arg(long, conflicts_with = "url")]
    definition: Option<PathBuf>,
    /// ask this service instead, as http://127.0.0.1:9464: it sees what is newer than the archive too
    #[arg(long)]
    url: Option<String>,
    /// a token of scope read, where the service needs one
    #[arg(long, env = "NILOMETER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// how rows are written
    #[arg(long, value_enum, default_value_t = Output::Table)]
    format: Output,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// for people
    Table,
    /// lines, the first of which names the columns
    Csv,
    /// an object with an array of objects
    Json,
    /// an Arrow IPC stream
    Arrow,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let mut answer: Vec<u8> = Vec::new();
    let table = arguments.format == Output::Table;
    let format = match arguments.format {
        Output::Json => Format::Json,
        Output::Table | Output::Csv => Format::Csv,
        Output::Arrow => Format::Arrow,
    };
    let mut out = std::io::stdout();
    let to: &mut (dyn Write + Send) = if table { &mut answer } else { &mut out };
    match &arguments.url {
        Some(url) => ask(url, &arguments, format, to).await?,
        None => {
            let pipeline = arguments.definition.as_ref().map(|path| Pipeline::load(path, &[])).transpose()?;
            nilometer_pipeline::query(&arguments.store, pipeline.as_ref(), &arguments.statement, format, to).await?;
        }
    }
    if table {
        out.write_all(aligned(&answer)?.as_bytes())?;
    }
    Ok(())
}

async fn ask(url: &str, arguments: &Arguments, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
    let url = format!("{}/api/v1/sql", url.trim_end_matches('/'));
    let mut request = Client::new().post(&url).header(ACCEPT, format.content_type());
    if let Some(token) = &arguments.token {
        request = request.bearer_auth(token);
    }
    let sent = request.json(&json!({"query": arguments.statement})).send().await;
    let mut response = sent.with_context(|| format!("{url} cannot be reached"))?;
    let status = response.status();
    if !status.is_success() {
        let problem: Value = serde_json::from_str(&response.text().await?).unwrap_or_default();
        bail!("{url} answers {status}: {}", problem["detail"].as_str().unwrap_or("no reason"));
    }
    while let Some(chunk) = response.chunk().await.context("the answer was cut; the log of the service says why")? {
        out.write_all(&chunk)?;
    }
    Ok(())
}

/// Lines of CSV in columns, for people.
fn aligned(answer: &[u8]) -> Result<String> {
    let short = |text: &str| match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(answer);
    let lines: Vec<Vec<String>> =
        reader.records().map(|record| Ok(record?.iter().map(short).collect())).collect::<Result<_, csv::Error>>()?;
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut table = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    Ok(table)
}
