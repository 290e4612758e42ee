//! A real S3 server for tests: moto, or MinIO where `NILOMETER_S3` says so.

use std::{
    env,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use object_store::aws::{AmazonS3, AmazonS3Builder};

use crate::tethered::{ReservedPort, Tethered, await_port};

/// An S3 server on this machine with one bucket; it ends with the process that started it.
#[derive(Debug)]
pub struct Bucket {
    port: ReservedPort,
    /// ends with this
    _server: Tethered,
    _folder: tempfile::TempDir,
}

impl Bucket {
    /// The bucket's name.
    pub const NAME: &str = "nilometer";

    /// A server, ready.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let port = ReservedPort::new();
        let folder = tempfile::tempdir().expect("a folder can be made");
        let server = Tethered::start("s3", &folder.path().join("s3"), &[port.number().to_string()]);
        await_port(port.number(), folder.path());
        let bucket = Self { port, _server: server, _folder: folder };
        // MinIO has it already: a folder.
        if env::var("NILOMETER_S3").as_deref() != Ok("minio") {
            bucket.create().expect("a bucket can be made");
        }
        bucket
    }

    /// What the environment of AWS tools says to reach it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port.number())),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "tests".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "tests-only".to_owned()),
        ]
    }

    /// The bucket as a store.
    ///
    /// # Panics
    /// Never: what the environment says is accepted.
    #[must_use]
    pub fn store(&self) -> AmazonS3 {
        let builder = AmazonS3Builder::new().with_bucket_name(Self::NAME);
        let said = self.environment().into_iter();
        let builder = said.fold(builder, |builder, (key, value)| {
            builder.with_config(key.to_lowercase().parse().expect("it is a key"), value)
        });
        builder.build().expect("nothing is missing")
    }

    fn create(&self) -> std::io::Result<()> {
        let (name, port) = (Self::NAME, self.port.number());
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(
            stream,
            "PUT /{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other(answer)) }
    }
}
