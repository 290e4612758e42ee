//! Disk: how much room is left where the store lies, looked up at each scrape. A store in S3 has no such metrics.

use std::path::PathBuf;

use prometheus::{
    Gauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// The disk of a folder.
pub struct Disk {
    folder: PathBuf,
    free: Gauge,
    size: Gauge,
}

impl Disk {
    /// Of the disk that a folder lies on.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn of(folder: PathBuf) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer").subsystem("store");
        let free = Gauge::with_opts(opts("free_bytes", "room for this process on the disk that the store lies on"))?;
        Ok(Self { folder, free, size: Gauge::with_opts(opts("size_bytes", "size of that disk"))? })
    }
}

impl Collector for Disk {
    fn desc(&self) -> Vec<&Desc> {
        self.free.desc().into_iter().chain(self.size.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // No value is better than an old one.
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return Vec::new() };
        self.free.set(disk.f_bavail as f64 * disk.f_frsize as f64);
        self.size.set(disk.f_blocks as f64 * disk.f_frsize as f64);
        self.free.collect().into_iter().chain(self.size.collect()).collect()
    }
}
