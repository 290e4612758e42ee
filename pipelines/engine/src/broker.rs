//! A real Apache Kafka for tests.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crate::tethered::{ReservedPort, Tethered, await_port};

/// A cluster on this machine, in a folder of its own; it ends with the process that started it.
#[derive(Debug)]
pub struct Broker {
    folder: tempfile::TempDir,
    brokers: Vec<ReservedPort>,
    controllers: Vec<ReservedPort>,
    nodes: Vec<Option<Tethered>>,
    wire: Option<Wire>,
}

impl Broker {
    /// A cluster of some nodes, ready.
    ///
    /// # Panics
    /// When a node does not come up.
    #[must_use]
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, |_| None)
    }

    /// One node that clients reach by a wire which can be cut.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_behind_a_wire() -> Self {
        Self::start_with(1, |port| Some(Wire::to(port).expect("a port is free")))
    }

    fn start_with(nodes: usize, wire: impl FnOnce(u16) -> Option<Wire>) -> Self {
        let reserve = || (0..nodes).map(|_| ReservedPort::new()).collect::<Vec<_>>();
        let (brokers, controllers) = (reserve(), reserve());
        let mut broker = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            wire: wire(brokers[0].number()),
            brokers,
            controllers,
            nodes: (0..nodes).map(|_| None).collect(),
        };
        (0..nodes).for_each(|node| broker.launch(node));
        broker.brokers.iter().for_each(|port| await_port(port.number(), broker.folder.path()));
        broker
    }

    /// Cuts the wire, or mends it. Open connections are cut, and new ones are not answered.
    pub fn cut(&self, cut: bool) {
        if let Some(wire) = &self.wire {
            wire.cut(cut);
        }
    }

    /// Configuration of clients.
    #[must_use]
    pub fn address(&self) -> String {
        if let Some(wire) = &self.wire {
            return format!("127.0.0.1:{}", wire.port);
        }
        self.brokers.iter().map(|port| format!("127.0.0.1:{}", port.number())).collect::<Vec<_>>().join(",")
    }

    /// Ends a node as a power cut would.
    pub fn kill(&mut self, node: usize) {
        if let Some(node) = self.nodes[node].take() {
            node.kill();
        }
    }

    /// Brings a node back that was killed.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn revive(&mut self, node: usize) {
        self.launch(node);
        await_port(self.brokers[node].number(), self.folder.path());
    }

    fn launch(&mut self, node: usize) {
        let ports =
            |ports: &[ReservedPort]| ports.iter().map(|port| port.number().to_string()).collect::<Vec<_>>().join(",");
        let mut arguments = vec![(node + 1).to_string(), ports(&self.brokers), ports(&self.controllers)];
        arguments.extend(self.wire.as_ref().map(|wire| wire.port.to_string()));
        let folder = self.folder.path().join(node.to_string());
        self.nodes[node] = Some(Tethered::start("kafka", &folder, &arguments));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }
}

/// Carries connections from one port of this machine to another.
#[derive(Debug)]
struct Wire {
    port: u16,
    state: Arc<Mutex<WireState>>,
}

#[derive(Debug, Default)]
struct WireState {
    cut: bool,
    /// both ends of each connection
    carried: Vec<TcpStream>,
}

impl Wire {
    fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let wire = Self { port: listener.local_addr()?.port(), state: Arc::default() };
        let state = wire.state.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                // Held open and never answered while it is cut.
                state.carried.extend(near.try_clone());
                if !state.cut
                    && let Ok(far) = TcpStream::connect(("127.0.0.1", port))
                {
                    state.carried.extend(far.try_clone());
                    let there = near.try_clone().and_then(|near| Ok((near, far.try_clone()?)));
                    there.into_iter().chain([(far, near)]).for_each(|(from, to)| drop(carry(from, to)));
                }
            }
        });
        Ok(wire)
    }

    fn cut(&self, cut: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cut = cut;
        // A wire that is mended is called anew.
        for end in state.carried.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    })
}
