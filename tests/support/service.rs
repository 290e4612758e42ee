//! A process that serves, and what it answers.

use std::path::Path;

use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::{
    definition, nilometer,
    processes::{Process, until},
};

/// A replay that stays up behind its window.
pub struct Service {
    pub process: Process,
    /// where it listens, as `127.0.0.1:40000`
    pub address: String,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// What was answered.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Service {
    /// Starts a replay of the Cance with overrides, and waits until it is ready.
    pub fn start(set: &[String], more: &[&str], said: &Path) -> Self {
        let mut command = nilometer("replay", &definition(), set);
        command.arg("--serve").args(more);
        let mut process = Process::start(command, said.to_owned());
        let mut address = None;
        until("it says where it listens", || {
            assert!(process.lives(), "the process ended:\n{}", process.said());
            let said = process.said();
            let line = said.split_once("metrics at http://").and_then(|(_, behind)| behind.split_once("/metrics"));
            address = line.map(|(address, _)| address.to_owned());
            address.is_some()
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { process, address: address.unwrap(), client: Client::new(), runtime }
    }

    /// Waits until the window has ended and everything of it is served.
    pub fn settled(&mut self) {
        until("the window is finished", || {
            assert!(self.process.lives(), "the process ended:\n{}", self.process.said());
            let health = self.root("/health").text();
            health.contains("\"serve/0\"") && !health.contains("running")
        });
    }

    /// Where another protocol listens, as the process said behind `before`.
    pub fn also_at(&self, before: &str) -> String {
        let said = self.process.said();
        let (_, behind) = said.split_once(before).unwrap_or_else(|| panic!("{said}"));
        behind.split_whitespace().next().unwrap().to_owned()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1{path}", self.address)
    }

    /// A request that is made by hand.
    pub fn request(&self, method: Method, path: &str, make: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Answer {
        self.send(make(self.client.request(method, self.url(path))))
    }

    /// What lies below `/api/v1`.
    pub fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, |request| request)
    }

    /// What lies beside it.
    pub fn root(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("http://{}{path}", self.address)))
    }

    fn send(&self, request: RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
        })
    }

    /// What a stream says until `enough`, as whole events.
    pub fn listen(&self, path: &str, last_event_id: Option<&str>, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let request = self.client.get(self.url(path));
        let request = last_event_id.iter().fold(request, |request, id| request.header("Last-Event-ID", *id));
        self.hear(request, enough)
    }

    /// The same with a token.
    pub fn listen_with(&self, path: &str, token: &str, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        self.hear(self.client.get(self.url(path)).bearer_auth(token), enough)
    }

    fn hear(&self, request: RequestBuilder, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        self.runtime.block_on(async {
            let mut response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let (mut held, mut events) = (String::new(), Vec::new());
            while !enough(&events) {
                let chunk = tokio::time::timeout(std::time::Duration::from_secs(120), response.chunk()).await;
                let Some(chunk) = chunk.expect("the stream says nothing").unwrap() else { break };
                held.push_str(&String::from_utf8_lossy(&chunk));
                while let Some((block, behind)) = held.split_once("\n\n") {
                    events.extend(Event::of(block));
                    held = behind.to_owned();
                }
            }
            events
        })
    }
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Event {
    /// None where a block is a sign of life, or says where the client stands.
    fn of(block: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            Some(line.to_owned())
        };
        // Where the client stands is no news.
        let name = field("event").filter(|name| name != "position")?;
        Some(Self { name, id: field("id"), data: serde_json::from_str(&field("data")?).unwrap() })
    }

    /// Of a line of `nilometer subscribe`.
    pub fn of_line(line: &str) -> Self {
        let mut event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self {
            name: event["event"].as_str().unwrap().to_owned(),
            id: event["id"].as_str().map(str::to_owned),
            data: event["data"].take(),
        }
    }
}
