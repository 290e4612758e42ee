//! Who holds a lease.

use std::{fmt, fs, path::Path, process};

use nilometer_schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::now;

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// drawn for this lease
    pub(super) id: String,
    /// what it does, as `run`
    command: String,
    process: u32,
    host: String,
    /// boot and process namespace, where the process number means something
    machine: String,
    since: Timestamp,
    /// grows with each renewal
    pub(super) renewed: u64,
    /// that it has ended in order
    pub(super) released: bool,
}

impl Owner {
    /// This process, which does `command`.
    #[must_use]
    pub fn here(command: &str) -> Self {
        let system = |file: &str| fs::read_to_string(file).map(|text| text.trim().to_owned()).unwrap_or_default();
        Self {
            id: format!("{:032x}", random()),
            command: command.to_owned(),
            process: process::id(),
            host: system("/proc/sys/kernel/hostname"),
            machine: machine(&system("/proc/sys/kernel/random/boot_id")),
            since: now(),
            renewed: 0,
            released: false,
        }
    }

    /// One of which nothing is known but what it writes.
    #[cfg(test)]
    pub(super) fn elsewhere(command: &str) -> Self {
        Self { machine: "elsewhere".to_owned(), host: "elsewhere".to_owned(), ..Self::here(command) }
    }

    /// Whether it is certain that it does not live any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let here = Self::here("");
        self.released
            || (!here.machine.is_empty()
                && self.machine == here.machine
                && !Path::new("/proc").join(self.process.to_string()).exists())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`nilometer {}`, process {} on {}, since {}", self.command, self.process, self.host, self.since)
    }
}

/// A number that no two leases share.
fn random() -> u128 {
    use std::hash::{BuildHasher as _, RandomState};
    let draw = || u128::from(RandomState::new().hash_one(process::id()));
    draw() << 64 | draw()
}

fn machine(boot: &str) -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string());
    namespace.map_or_else(|_| String::new(), |namespace| format!("{boot} {namespace}"))
}
