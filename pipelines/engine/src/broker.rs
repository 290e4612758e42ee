//! A real Apache Kafka for tests: `ops/kafka` runs its nodes, which end with the process that started them.

use std::{
    io::{self, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a node may take to come up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Starts a node and waits until its input ends, with the process that holds the other end or before: then kills it, and takes its files
/// away unless it was told to keep them.
const NODE: &str = r#"
    "$@" </dev/null >>"$3.log" 2>&1 & node=$!
    read -r word
    kill -9 $node
    wait $node
    [ "$word" = keep ] || { rm -rf "$3" "$3.log"; rmdir "$(dirname "$3")"; }
"#;

/// A cluster on this machine, in a folder of its own.
#[derive(Debug)]
pub struct Broker {
    folder: tempfile::TempDir,
    brokers: Vec<u16>,
    controllers: Vec<u16>,
    nodes: Vec<Option<Child>>,
}

impl Broker {
    /// A cluster of some nodes, ready; `None`, said loudly, where its jars or Java are absent.
    ///
    /// # Panics
    /// When a node does not come up.
    #[must_use]
    pub fn start(nodes: usize) -> Option<Self> {
        let there = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
        let fetched = there && Command::new(script()).arg("fetch").output().is_ok_and(|output| output.status.success());
        if !fetched {
            // Past the capture of the test runner, so that the summary counts it.
            let _ = writeln!(
                io::stderr(),
                "SKIPPED: Apache Kafka is absent; install Java and Maven and run ops/kafka fetch"
            );
            return None;
        }
        // Held together, so that no port is given twice.
        let listeners: Vec<TcpListener> =
            (0..2 * nodes).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
        drop(listeners);
        let mut broker = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            brokers: ports[..nodes].to_vec(),
            controllers: ports[nodes..].to_vec(),
            nodes: (0..nodes).map(|_| None).collect(),
        };
        (0..nodes).for_each(|node| broker.launch(node));
        (0..nodes).for_each(|node| broker.await_node(node));
        Some(broker)
    }

    /// What clients are told.
    #[must_use]
    pub fn address(&self) -> String {
        self.brokers.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// Ends a node as a power cut would.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            if let Some(mut input) = child.stdin.take() {
                let _ = input.write_all(b"keep\n");
            }
            drop(child.wait());
        }
    }

    /// Brings a node back that was killed.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn revive(&mut self, node: usize) {
        self.launch(node);
        self.await_node(node);
    }

    fn launch(&mut self, node: usize) {
        let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let child = Command::new("sh")
            .args(["-c", NODE, "sh"])
            .arg(script())
            .arg("serve")
            .arg(self.folder.path().join(node.to_string()))
            .args([(node + 1).to_string(), ports(&self.brokers), ports(&self.controllers)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.nodes[node] = Some(child.expect("sh runs"));
    }

    fn await_node(&self, node: usize) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.brokers[node])).is_err() {
            assert!(
                begun.elapsed() < PATIENCE,
                "Kafka node {node} did not come up; see {}",
                self.folder.path().display()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/kafka")
}
