//! Programs that tests need: they end with the process that started them.

use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

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

/// A port of this machine that is reserved for a program that cannot choose its port itself.
///
/// The socket is bound and does not listen. Linux assigns its port to no socket that asks for any port or connects, but a socket that sets
/// SO_REUSEADDR, as this one does, may bind to it by its number: those of servers in Java, Python and Go do.
#[derive(Debug)]
pub(crate) struct ReservedPort(TcpSocket);

impl ReservedPort {
    /// # Panics
    /// When no port is free.
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_reuseaddr(true).expect("a socket that is not bound takes options");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port is free");
        Self(socket)
    }

    pub(crate) fn number(&self) -> u16 {
        self.0.local_addr().expect("it is bound").port()
    }
}

fn path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops").join(script)
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{TcpListener, TcpStream},
    };

    use super::ReservedPort;

    #[test]
    fn a_reserved_port_refuses_connections_until_the_program_that_it_is_for_listens() {
        let reserved = ReservedPort::new();
        let port = reserved.number();
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // The standard library sets SO_REUSEADDR.
        let program = TcpListener::bind(("127.0.0.1", port)).unwrap();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(program);
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn no_other_socket_is_given_a_reserved_port() {
        let reserved: Vec<ReservedPort> = (0..200).map(|_| ReservedPort::new()).collect();
        let numbers: Vec<u16> = reserved.iter().map(ReservedPort::number).collect();
        for _ in 0..5_000 {
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            assert!(!numbers.contains(&other.local_addr().unwrap().port()));
        }
    }
}
