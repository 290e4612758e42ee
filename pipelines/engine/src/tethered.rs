//! Programs that tests need: they end with the process that started them.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(90);

/// Starts a program and waits until its input ends, with the process that holds the other end or before: then kills it, and takes its
/// files away unless it keeps them.
const TETHER: &str = r#"
    "$@" </dev/null >>"$3.log" 2>&1 & program=$!
    read -r word
    kill -9 $program
    wait $program
    [ "$word" = keep ] || { rm -rf "$3" "$3.log"; rmdir "$(dirname "$3")"; }
"#;

/// A script of `ops/` whose `serve FOLDER ARGUMENTS` serves at a port of this machine.
#[derive(Debug)]
pub(crate) struct Tethered(Child);

impl Tethered {
    pub(crate) fn start(script: &str, folder: &Path, arguments: &[String]) -> Self {
        let child = Command::new("sh")
            .args(["-c", TETHER, "sh"])
            .arg(path(script))
            .arg("serve")
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("sh runs"))
    }

    /// Ends it as a power cut would; its files stay.
    pub(crate) fn kill(mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            let _ = input.write_all(b"keep\n");
        }
        drop(self.0.wait());
    }
}

/// Waits until something listens at a port.
///
/// # Panics
/// When nothing does in time.
pub(crate) fn await_port(port: u16, folder: &Path) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nothing listens at port {port}; see {}", folder.display());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Free ports.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    // Held together, so that no port is given twice.
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect()
}

fn path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops").join(script)
}
