//! A receiver of alerts, which takes them, says that they are wrong, or is away.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

/// It answers with this status; 0 is not at all.
pub struct Receiver {
    pub port: u16,
    status: Arc<AtomicU16>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, status) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU16::new(200)));
        let answers = status.clone();
        std::thread::spawn(move || {
            listener.incoming().flatten().for_each(|stream| answer(stream, answers.load(Ordering::Relaxed)))
        });
        Self { port, status }
    }

    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }
}

fn answer(mut stream: TcpStream, status: u16) {
    if status == 0 {
        return;
    }
    // What is asked is a few kilobytes, and its end is not looked for.
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut asked = [0; 65_536];
    while stream.read(&mut asked).is_ok_and(|read| read == asked.len()) {}
    let _ = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
